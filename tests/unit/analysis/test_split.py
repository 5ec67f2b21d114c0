"""The splitter loses nothing and cuts where PostgreSQL would, whatever the text tries."""

from __future__ import annotations

import pytest

from okto_change.analysis.split import split
from okto_change.errors import PlanError
from okto_change.model import StatementKind


def texts(sql: str) -> list[str]:
    """Split and return the statements' texts."""
    return [statement.text for statement in split(sql, "changes/fix/fix.sql", "fix")]


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1;;; SELECT 2;\n", ["SELECT 1", "SELECT 2"]),
        ("", []),
        ("-- only; a comment\n/* and; another */", []),
        ("SELECT ';'; SELECT ''';'", ["SELECT ';'", "SELECT ''';'"]),
        (r"SELECT 'a\'; SELECT 'b'", [r"SELECT 'a\'", "SELECT 'b'"]),
        (r"SELECT E'a\';b'; SELECT 2", [r"SELECT E'a\';b'", "SELECT 2"]),
        ("SELECT e'a'\n  -- between\n '\\'; x'; SELECT 2", ["SELECT e'a'\n  -- between\n '\\'; x'", "SELECT 2"]),
        ("SELECT E'a' '\\'; SELECT 2", ["SELECT E'a' '\\'", "SELECT 2"]),
        (r"SELECT U&'\0061;\'; SELECT 2", [r"SELECT U&'\0061;\'", "SELECT 2"]),
        ('SELECT ";" AS "a"";b"; SELECT 2', ['SELECT ";" AS "a"";b"', "SELECT 2"]),
        ("DO $$ x; $a$; $$; SELECT 2", ["DO $$ x; $a$; $$", "SELECT 2"]),
        ("DO $a$ ; $$ ; $aa$ ; $a$; SELECT 2", ["DO $a$ ; $$ ; $aa$ ; $a$", "SELECT 2"]),
        ("SELECT a$b$ FROM t; SELECT $1", ["SELECT a$b$ FROM t", "SELECT $1"]),
        ("SELECT $1$x$;$x$; SELECT 2", ["SELECT $1$x$;$x$", "SELECT 2"]),
        ("SELECT /* ; /* ; */ ; */ 1; SELECT 2", ["SELECT /* ; /* ; */ ; */ 1", "SELECT 2"]),
        ("SELECT 1 -- ; \n + 2; SELECT 3", ["SELECT 1 -- ; \n + 2", "SELECT 3"]),
        ("SELECT 1 -- end at CR\r; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT 1 +-- ;\n 2; SELECT 3", ["SELECT 1 +-- ;\n 2", "SELECT 3"]),
        ("SELECT 1 */* ; */ 2; SELECT 3", ["SELECT 1 */* ; */ 2", "SELECT 3"]),
        (
            "CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON DELETE TO t DO ALSO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        ("SELECT 'é;'; SELECT 'ü'", ["SELECT 'é;'", "SELECT 'ü'"]),
        ("/*+ SeqScan(t) */ SELECT 1; /* no hint */ SELECT 2", ["/*+ SeqScan(t) */ SELECT 1", "SELECT 2"]),
    ],
)
def test_statements_are_cut_where_postgresql_cuts(sql: str, parts: list[str]) -> None:
    """Quotes, escapes, dollar quotes, nested comments, brackets and hints, as the server's own lexer reads them."""
    assert texts(sql) == parts


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN ATOMIC SELECT 1; SELECT 2; END",
        "BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 1 AS end; SELECT t.end FROM t; END",
        "begin /* here */ atomic insert into t values (case 1 when 1 then 2 end); end",
    ],
)
def test_body_of_a_standard_sql_function_stays_whole(body: str) -> None:
    """BEGIN ATOMIC ... END holds semicolons; CASE nests in it, and a label or column called end does not close it."""
    sql = f"CREATE FUNCTION f() RETURNS int {body}; SELECT 9"
    assert texts(sql) == [f"CREATE FUNCTION f() RETURNS int {body}", "SELECT 9"]


def test_byte_ranges_leave_only_space_comments_and_semicolons_between() -> None:
    """Each statement is exactly its slice of the UTF-8 bytes, and what is left over says nothing to the server."""
    sql = "-- Überschrift\nUPDATE t SET a = 'ç' ;\n\n/* ; */ DELETE FROM \"tábla\" -- ende\n ; SELECT '€'"
    content = sql.encode()
    statements = split(sql, "f.sql", "fix")
    assert [content[s.start : s.end].decode() for s in statements] == [s.text for s in statements]
    edges = [0, *(edge for s in statements for edge in (s.start, s.end)), len(content)]
    gaps = [content[edges[i] : edges[i + 1]].decode() for i in range(0, len(edges), 2)]
    assert gaps == ["-- Überschrift\n", " ;\n\n/* ; */ ", " -- ende\n ; ", ""]
    assert [s.where.line for s in statements] == [2, 4, 5]


def test_copy_takes_its_data_from_the_lines_below() -> None:
    """The data is kept byte for byte, semicolons and quotes in it mean nothing, and the next statement follows."""
    sql = "COPY t (a, b) FROM STDIN; -- rows\n1\tit's; --\n2\t\\N\n\\.\nSELECT 1;"
    copy, select = split(sql, "f.sql", "fix")
    assert (copy.text, copy.kind) == ("COPY t (a, b) FROM STDIN", StatementKind.COPY)
    assert copy.data == "1\tit's; --\n2\t\\N\n"
    assert (select.text, select.where.line, select.data) == ("SELECT 1", 5, None)
    assert sql.encode()[select.start : select.end] == b"SELECT 1"


@pytest.mark.parametrize(
    ("sql", "message", "line"),
    [
        ("SELECT 1;\nSELECT 'a;\nb", "string is never closed", 2),
        ('\n\nSELECT "a', "quoted identifier is never closed", 3),
        ("SELECT 1;\n/* /* */", "comment /* is never closed", 2),
        ("DO\n$x$ $$ $y$", "dollar quote $x$ is never closed", 2),
        ("SELECT (1\n;", "bracket ( is never closed", 1),
        ("CREATE FUNCTION f() RETURNS int\nBEGIN ATOMIC SELECT 1;", "body that BEGIN ATOMIC opens is never closed", 2),
        ("COPY t FROM STDIN", "COPY FROM STDIN needs a semicolon, data on lines of its own, and \\.", 1),
        ("COPY t FROM STDIN;\n1\n2", "the data of COPY FROM STDIN has no closing line \\.", 1),
        ("COPY t FROM STDIN; SELECT 1;", "the data of COPY FROM STDIN must begin on the line after the semicolon", 1),
    ],
)
def test_text_that_never_ends_is_a_plan_error_with_its_line(sql: str, message: str, line: int) -> None:
    """The line is where the open thing begins, not where the file ends."""
    with pytest.raises(PlanError) as caught:
        texts(sql)
    assert (caught.value.message, caught.value.where) == (message, f"changes/fix/fix.sql:{line}")


def test_psql_commands_are_refused_all_at_once_with_their_lines() -> None:
    """Each backslash command is named; its quotes do not confuse what follows; strings with backslashes are fine."""
    with pytest.raises(PlanError) as caught:
        texts("\\set who 'it''s\nSELECT '\\d';\nSELECT 1 \\gset x_\n\\i other.sql")
    assert caught.value.faults == (
        "changes/fix/fix.sql:1: psql command \\set who 'it''s cannot be run here",
        "changes/fix/fix.sql:3: psql command \\gset x_ cannot be run here",
        "changes/fix/fix.sql:4: psql command \\i other.sql cannot be run here",
    )


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "select"),
        ("(SELECT 1)", "select"),
        ("VALUES (1)", "select"),
        ("TABLE t", "select"),
        ("SHOW work_mem", "select"),
        ("SELECT 1 INTO t", "ddl"),
        ("WITH x AS (SELECT 1) SELECT * FROM x", "select"),
        ("WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "delete"),
        ("WITH x AS (SELECT 1 FOR UPDATE) SELECT * FROM x", "select"),
        ("WITH x(a) AS NOT MATERIALIZED (SELECT 1), y AS (SELECT 2) UPDATE t SET a = 1", "update"),
        ("WITH RECURSIVE x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "insert"),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", "merge"),
        ("COPY t FROM STDIN;\n\\.\n", "copy"),
        ("COPY t TO STDOUT", "other"),
        ("TRUNCATE t", "truncate"),
        ("CREATE TABLE t (a int)", "ddl"),
        ("COMMENT ON TABLE t IS 'x'", "ddl"),
        ("SET LOCAL x = 1", "set"),
        ("SAVEPOINT s", "transaction"),
        ("DO $$ $$", "other"),
        ("CALL p()", "other"),
        ("CHECKPOINT", "other"),
        ("CLUSTER t", "ddl"),
        ("LISTEN x", "other"),
        ("EXPLAIN ANALYZE DELETE FROM t", "other"),
        ("LOCK TABLE t", "other"),
        ("FROB x", "other"),
    ],
)
def test_kind_comes_from_an_allow_list(sql: str, kind: str) -> None:
    """What is not on the list is OTHER, never something harmless."""
    (statement,) = split(sql, "f.sql", "fix")
    assert statement.kind == kind
