"""Which tables and columns a statement reads and writes, and that no text brings analysis down or keeps it busy."""

from __future__ import annotations

import pytest

from okto_change import analysis
from okto_change.errors import PlanError
from okto_change.model import Risk, ScriptUndo, Statement
from tests.unit.analysis.making import check, plan, step


def read(sql: str) -> Statement:
    """Analyse one statement."""
    (statement,) = analysis.analyse(plan(step(sql))).statements
    return statement


@pytest.mark.parametrize(
    ("sql", "reads", "writes", "columns"),
    [
        ("SELECT a FROM x JOIN s.y ON true", {"x", "s.y"}, set(), set()),
        ('UPDATE T SET A = 1, "B" = 2', set(), {"t"}, {"a", "B"}),
        ('UPDATE "T" AS e SET (a, b) = (1, 2), c[1] = 3 FROM u', {"u"}, {"T"}, {"a", "b", "c"}),
        ("DELETE FROM s.t USING u JOIN v ON true", {"u", "v"}, {"s.t"}, set()),
        ("INSERT INTO t (a, b) SELECT 1, 2 FROM u ON CONFLICT (a) DO UPDATE SET c = 3", {"u"}, {"t"}, {"a", "b", "c"}),
        (
            "MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1 "
            "WHEN NOT MATCHED THEN INSERT (b) VALUES (1)",
            {"s"},
            {"t"},
            {"a", "b"},
        ),
        ("WITH x AS (DELETE FROM a RETURNING *) INSERT INTO b (c) SELECT * FROM x", set(), {"a", "b"}, {"c"}),
        ("WITH t AS (SELECT * FROM t) UPDATE u SET a = 1 FROM t", {"t"}, {"u"}, {"a"}),
        ("WITH RECURSIVE t AS (SELECT * FROM t) SELECT * FROM t", set(), set(), set()),
        ("WITH x AS (INSERT INTO y (a) VALUES (0)) VALUES (false)", set(), {"y"}, set()),
        ("TRUNCATE ONLY a, s.b CASCADE", set(), {"a", "s.b"}, set()),
        ("COPY t (a, b) FROM STDIN;\n\\.\n", set(), {"t"}, {"a", "b"}),
        ("SELECT * FROM generate_series(1, 3) g", set(), set(), set()),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", set(), {"t"}, {"a"}),
        ("INSERT INTO t (a) OVERRIDING SYSTEM VALUE VALUES (1)", set(), {"t"}, {"a"}),
        ("ALTER TABLE IF EXISTS ONLY s.t OWNER TO ana", set(), {"s.t"}, set()),
        ("ALTER TABLE t ADD COLUMN a int", set(), {"t"}, set()),
        ("CREATE INDEX i ON t (a)", set(), {"t"}, set()),
        ("CREATE VIEW v AS SELECT * FROM t", {"t"}, set(), set()),
        ("CREATE TABLE t AS SELECT * FROM u", {"u"}, set(), set()),
        ("DROP TABLE a, s.b", set(), {"a", "s.b"}, set()),
    ],
)
def test_tables_and_columns_are_found(sql: str, reads: set[str], writes: set[str], columns: set[str]) -> None:
    """WITH queries are no tables, data-modifying ones are writes, and tokens help where the parser gives up."""
    statement = read(sql)
    assert (set(statement.reads), set(statement.writes), set(statement.columns)) == (reads, writes, columns)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "SELECT " + "NOT " * 5000 + "a",
        "SELECT a ?# b FROM t",
        "DELETE FROM t WHERE i <<= inet '10.0.0.0/8'",
        "SELECT 1 FROM",
        "UPDATE t SET",
        "DELETE",
        "INSERT INTO",
        "MERGE INTO t",
        "TRUNCATE",
        "COPY",
        "SET",
        "SELECT ) ) 1",
        "\x00\x01 ?? $1 @@",
        "WITH",
        "ALTER",
    ],
)
def test_no_text_brings_analysis_down(sql: str) -> None:
    """Nonsense, depth and operators that the parser does not know give findings, never an exception."""
    assert analysis.analyse(plan(step(sql))).statements


def test_not_understood_is_a_warning_not_an_error() -> None:
    """The rehearsal is evidence where the parser is none."""
    (finding,) = analysis.analyse(plan(step("SELECT a ?# b FROM t"))).findings
    assert (finding.code, finding.severity, str(finding.where)) == ("OC501", "warning", "changes/fix/release.sql:1")


def test_sqlglot_says_nothing_of_its_own(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    """Its remarks about falling back would mix with ours."""
    read("ALTER TABLE t OWNER TO ana")
    assert capsys.readouterr() == ("", "")
    assert caplog.records == []


def test_names_are_what_the_catalogue_should_be_asked_for() -> None:
    """Tables of steps, checks, undo scripts and touches; functions as called."""
    undo = ScriptUndo(source="u.sql", sql="DELETE FROM extra WHERE id = s.freed(1)")
    the_plan = plan(
        step('UPDATE t SET a = f(1) FROM "U" WHERE t.id = 1', undo=undo, touches=("t", "audit.log")),
        checks=(check("SELECT count(*) FROM pending"),),
    )
    assert analysis.names(the_plan) == (("U", "audit.log", "extra", "pending", "t"), ("count", "f", "s.freed"))


def test_faults_of_all_files_come_at_once() -> None:
    """Two broken files are two lines, not two runs of the command."""
    broken = plan(step("SELECT 'a", name="one", source="one.sql"), step("SELECT (1", name="two", source="two.sql"))
    with pytest.raises(PlanError) as caught:
        analysis.analyse(broken)
    assert caught.value.faults == (
        "changes/fix/one.sql:1: string is never closed",
        "changes/fix/two.sql:1: bracket ( is never closed",
    )


def test_inline_statement_is_placed_in_the_plan() -> None:
    """An inline statement has no file of its own; its findings point to its step."""
    (finding,) = analysis.analyse(plan(step("UPDATE t SET a = 1", source="plan.yaml"))).findings
    assert str(finding.where) == "changes/fix/plan.yaml:7"


def test_risk_is_computed_with_reasons_the_worst_first() -> None:
    """Every reason names its level; a quiet update of one row has none and is low."""
    quiet = analysis.analyse(plan(step("UPDATE t SET a = 1 WHERE id = 1")))
    loud = analysis.analyse(plan(step("DELETE FROM t WHERE id = 1;\nUPDATE t SET a = 1")))
    assert (quiet.risk, quiet.risk_reasons) == (Risk.LOW, ())
    assert loud.risk is Risk.HIGH
    assert loud.risk_reasons == (
        "high: a statement changes every row of its table (changes/fix/release.sql:2)",
        "medium: rows are deleted",
    )


def test_objects_are_all_tables_named() -> None:
    """Policies look at them: read, written and created, also by an undo script, each once, in order."""
    for text, named in (("UPDATE ledger SET x = 1", "ledger"), ("DO $$BEGIN UPDATE ledger SET x = 1; END$$", "?")):
        script = ScriptUndo(source="release.undo.sql", sql=text)
        assert set(analysis.analyse(plan(step("UPDATE b SET x = 1", undo=script))).objects) == {"b", named}
    assert analysis.analyse(plan(step("UPDATE b SET x = 1 FROM a; CREATE TABLE c (x int)"))).objects == ("a", "b", "c")
