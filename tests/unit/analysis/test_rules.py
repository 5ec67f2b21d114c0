"""Every rule is data with a good and a bad example, and the examples do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from okto_change import analysis
from okto_change.analysis.rules import RULES, Rule
from okto_change.model import Batch, Irreversible, ScriptUndo, Severity, Undo
from tests.unit.analysis.making import example, found, plan, step

EXAMPLES = Path(__file__).parents[2] / "rules"
SETTLEMENT = {"columns": ["id", "status"], "key": ["id"]}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_bad_example_triggers_exactly_its_rule(rule: Rule) -> None:
    """The bad example of a rule triggers it and nothing else, so the example shows what the rule is about."""
    assert {finding.code for finding in example(EXAMPLES / rule.code / "bad.sql").findings} == {rule.code}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_good_example_does_not_trigger_its_rule(rule: Rule) -> None:
    """The good example is the innocent twin: it looks alike and is left alone, apart from notes on other matters."""
    findings = example(EXAMPLES / rule.code / "good.sql").findings
    assert rule.code not in {finding.code for finding in findings}
    assert all(finding.severity is not Severity.ERROR for finding in findings)


def test_every_rule_has_examples_and_every_example_a_rule() -> None:
    """No rule goes without examples, and no example outlives its rule."""
    assert {folder.name for folder in EXAMPLES.iterdir()} == {rule.code for rule in RULES}


def test_codes_are_unique_and_texts_complete() -> None:
    """A code names one rule for ever; all five texts are there and none ends like a sentence glued to another."""
    assert len({rule.code for rule in RULES}) == len(RULES)
    for rule in RULES:
        texts = (rule.title, rule.condition, rule.effect, rule.remedy)
        assert all(text and not text.endswith(".") for text in texts), rule.code
        assert re.fullmatch(r"OC[1-7]\d\d", rule.code)


@pytest.mark.parametrize(
    ("undo", "severity"),
    [
        (Irreversible(reason="a blob is thrown away"), Severity.WARNING),
        (ScriptUndo(source="undo.sql", sql="SELECT 1"), Severity.WARNING),
        (None, Severity.ERROR),
    ],
)
def test_hand_written_undo_excuses_what_images_cannot_hold(undo: Undo | None, severity: Severity) -> None:
    """Large objects are refused with automatic undo, and a warning once a person takes the undo upon themselves."""
    result = analysis.analyse(plan(step("SELECT lo_unlink(4711)", undo=undo)))
    assert [(f.code, f.severity) for f in result.findings] == [("OC302", severity)]


def test_no_undo_excuses_what_outlives_a_rollback() -> None:
    """setval moves the sequence in the rehearsal already, so an irreversible line does not let it through."""
    result = analysis.analyse(plan(step("SELECT setval('s', 1)", undo=Irreversible(reason="really"))))
    assert [(f.code, f.severity) for f in result.findings] == [("OC301", Severity.ERROR)]


@pytest.mark.parametrize(
    "body",
    [
        "PERFORM setval('s', 1);",
        "EXECUTE 'SELECT setval(''s'', 1)';",
        "EXECUTE format('SELECT setval(%L, 1)', name);",
        "EXECUTE $q$SELECT pg_catalog.setval('s', 1)$q$;",
        "PERFORM \"setval\"('s', 1);",
    ],
)
def test_refused_function_is_found_inside_a_do_block(body: str) -> None:
    """A DO block is no hiding place, nor is literal dynamic SQL in it."""
    result = analysis.analyse(plan(step(f"DO $$ BEGIN {body} END $$")))
    assert "OC301" in {finding.code for finding in result.findings}


def test_commit_inside_a_do_block_is_transaction_control() -> None:
    """COMMIT in a block's body is found; a column or label of that name is not mistaken for it."""
    bad = analysis.analyse(plan(step("DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$")))
    good = analysis.analyse(plan(step("DO $$ BEGIN UPDATE t SET rollback = 1 WHERE t.commit > 1; END $$")))
    assert "OC401" in {finding.code for finding in bad.findings}
    assert "OC401" not in {finding.code for finding in good.findings}


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "ROLLBACK AND CHAIN",
        "COMMIT WORK",
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET LOCAL TRANSACTION READ ONLY",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    ],
)
def test_every_way_to_control_the_transaction_is_refused(sql: str) -> None:
    """The runner opens and ends the transaction, nobody else."""
    assert ("OC401", Severity.ERROR) in [(f.code, f.severity) for f in analysis.analyse(plan(step(sql))).findings]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SAVEPOINT s", "OC401"),
        ("ROLLBACK TO s", "OC401"),
        ("ROLLBACK WORK TO SAVEPOINT s", "OC401"),
        ("RELEASE s", "OC401"),
        ("RESET ALL", "OC403"),
        ("SET LOCAL ROLE auditor", "OC404"),
    ],
)
def test_what_stays_inside_the_transaction_is_only_a_warning(sql: str, code: str) -> None:
    """Savepoints, RESET and another role for the transaction end with it; the rehearsal shows whether they do harm."""
    findings = analysis.analyse(plan(step(sql))).findings
    assert [(finding.code, finding.severity) for finding in findings] == [(code, Severity.WARNING)]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SET SESSION work_mem = '1GB'", "OC403"),
        ("SET ROLE auditor", "OC403"),
        ("SET SESSION AUTHORIZATION auditor", "OC403"),
        ("SELECT set_config('work_mem', '1GB', false)", "OC403"),
        ("SELECT set_config(name, '1', true) FROM x", "OC404"),
        ("DISCARD ALL", "OC403"),
        ("SET LOCAL SESSION AUTHORIZATION auditor", "OC404"),
        ("SET LOCAL okto_change.run = ''", "OC404"),
        ("SET LOCAL standard_conforming_strings = off", "OC404"),
        ("DO $$ BEGIN PERFORM set_config('okto_change.run', '', true); END $$", "OC404"),
        ("VACUUM t", "OC402"),
        ("REINDEX INDEX CONCURRENTLY t_a", "OC402"),
        ("DROP INDEX CONCURRENTLY t_a", "OC402"),
        ("ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY", "OC402"),
        ("CREATE DATABASE x", "OC402"),
        ("ALTER SYSTEM SET work_mem = '1GB'", "OC307"),
        ("COPY t TO '/tmp/t'", "OC304"),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", "OC304"),
        ("COPY t FROM '/tmp/t'", "OC304"),
        ("WITH gone AS (DELETE FROM okto_change.image RETURNING *) SELECT count(*) FROM gone", "OC309"),
        ("DROP SCHEMA okto_change CASCADE", "OC309"),
        ("INSERT INTO pg_class (relname) VALUES ('x')", "OC308"),
    ],
)
def test_refused_statement_is_an_error(sql: str, code: str) -> None:
    """What would leave the runner's hands, or leave traces nobody can take back, stops the change."""
    findings = analysis.analyse(plan(step(sql))).findings
    assert (code, Severity.ERROR) in [(finding.code, finding.severity) for finding in findings]


@pytest.mark.parametrize(
    "sql",
    ["REFRESH MATERIALIZED VIEW CONCURRENTLY mv", "SET CONSTRAINTS ALL DEFERRED", "SET LOCAL TIME ZONE 'UTC'"],
)
def test_statement_that_a_transaction_bears_is_not_called_untransactional(sql: str) -> None:
    """Not everything CONCURRENTLY is outside transactions, and settings of the transaction are the author's."""
    codes = {finding.code for finding in analysis.analyse(plan(step(sql, undo=Irreversible(reason="x")))).findings}
    assert not codes & {"OC401", "OC402", "OC403", "OC404"}


def test_unknown_table_is_forgiven_when_the_plan_makes_it() -> None:
    """A table that an earlier statement creates is no mistake; one that an earlier DO block may create is a warning."""
    catalogue = found({"chosen": None})
    use = "DELETE FROM chosen WHERE id = 1"
    made = analysis.analyse(plan(step(f"CREATE TEMP TABLE chosen (id int);{use}")), catalogue)
    perhaps = analysis.analyse(plan(step(f"DO $$ BEGIN END $$;{use}")), catalogue)
    assert "OC201" not in {finding.code for finding in made.findings}
    assert ("OC201", Severity.WARNING) in [(finding.code, finding.severity) for finding in perhaps.findings]


def test_unknown_column_suggests_the_nearest_one() -> None:
    """The message names table, column and the column that was probably meant, in SET and in WHERE."""
    result = analysis.analyse(
        plan(step("UPDATE settlement SET statuss = 'x' WHERE idd = 1")), found({"settlement": SETTLEMENT})
    )
    messages = {finding.message for finding in result.findings if finding.code == "OC202"}
    assert messages == {
        "public.settlement has no column statuss; did you mean status?",
        "public.settlement has no column idd; did you mean id?",
    }


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE settlement s SET status = 'x' FROM other o WHERE o.id = s.id AND colour = 1",
        "UPDATE settlement SET status = 'x' WHERE id IN (SELECT x FROM other)",
        "UPDATE settlement SET status = 'x' WHERE settlement IS NOT NULL AND xmin IS NOT NULL",
    ],
)
def test_column_that_may_be_of_another_table_is_not_called_unknown(sql: str) -> None:
    """Columns are only judged where they can be nothing but the target's."""
    result = analysis.analyse(plan(step(sql)), found({"settlement": SETTLEMENT}))
    assert "OC202" not in {finding.code for finding in result.findings}


@pytest.mark.parametrize(
    ("source", "condition", "twice"),
    [
        ("merchant m", "m.id = s.merchant_id", False),
        ("merchant m", "s.merchant_id = m.id AND m.region = 'x'", False),
        ("merchant m", "m.region = s.region", True),
        ("merchant m", "m.id = s.merchant_id OR m.id = 3", True),
        ("merchant m, acquirer a", "m.id = s.merchant_id AND a.id = m.acquirer_id", False),
        ("merchant m, acquirer a", "m.id = a.merchant_id AND a.id = m.acquirer_id", True),
        ("merchant m JOIN acquirer a ON a.id = m.acquirer_id", "m.id = s.merchant_id", False),
        ("(SELECT merchant_id, max(fee) AS fee FROM fees GROUP BY merchant_id) f", "f.merchant_id = s.id", False),
        ("(SELECT merchant_id, fee FROM fees) f", "f.merchant_id = s.id", True),
        ("(SELECT max(fee) AS fee FROM fees) f", "true", False),
        ("(SELECT DISTINCT merchant_id FROM fees) f", "f.merchant_id = s.id", False),
        ("(VALUES (1, 10), (2, 20)) v(id, fee)", "v.id = s.id", False),
        ("(VALUES (1, 10), (1, 20)) v(id, fee)", "v.id = s.id", True),
        ("(VALUES (1, 10)) v(id, fee)", "v.id = s.id", False),
        ("(VALUES (1, 10), (1.0, 20)) v(id, fee)", "v.id = s.id", True),
        ("(SELECT id, max(fee) OVER () AS fee FROM fees) f", "f.id = s.id", True),
        ("(SELECT a, max(fee) AS fee FROM fees GROUP BY a, ROLLUP (b)) f", "f.a = s.id", True),
        ("merchant m LEFT JOIN acquirer a ON a.id = m.acquirer_id", "m.id = s.merchant_id", False),
        ("merchant m LEFT JOIN acquirer a ON a.id = 5 AND m.id = a.id", "s.amount > 0", True),
        ("acquirer", "merchant_id = id", True),
    ],
)
def test_update_from_is_judged_by_unique_keys(source: str, condition: str, twice: bool) -> None:
    """A partner is unique when a key of it is tied to the target, directly or through others that are."""
    catalogue = found(
        {
            "settlement": {"columns": ["id", "merchant_id", "region", "amount"], "key": ["id"]},
            "merchant": {"columns": ["id", "acquirer_id", "region"], "key": ["id"]},
            "acquirer": {"columns": ["id", "merchant_id"], "key": ["id"]},
        }
    )
    sql = f"UPDATE settlement s SET amount = 0 FROM {source} WHERE {condition}"
    codes = {finding.code for finding in analysis.analyse(plan(step(sql)), catalogue).findings}
    assert ("OC108" in codes) is twice


def test_source_named_by_with_is_judged_by_its_query() -> None:
    """A WITH query that groups by the joined column gives at most one partner; one that does not may give several."""
    update = "UPDATE settlement s SET amount = f.fee FROM f WHERE f.id = s.id"
    once = analysis.analyse(plan(step(f"WITH f AS (SELECT id, max(fee) AS fee FROM fees GROUP BY id) {update}")))
    twice = analysis.analyse(plan(step(f"WITH f AS (SELECT id, fee FROM fees) {update}")))
    assert "OC108" not in {finding.code for finding in once.findings}
    assert "OC108" in {finding.code for finding in twice.findings}


@pytest.mark.parametrize(
    ("condition", "always"),
    [
        ("true", True),
        ("1 = 1", True),
        ("'a' = 'a'", True),
        ("id = id", True),
        ("NOT false", True),
        ("id = 1 OR 2 > 1", True),
        ("(1 = 1) AND (name LIKE '%')", True),
        ("id = 1 AND true", False),
        ("1 = 2", False),
        ("id = 1", False),
        ("name LIKE '%a'", False),
        ("name LIKE ''", False),
        ("t.id = u.id", False),
    ],
)
def test_condition_that_is_always_true_is_recognised(condition: str, always: bool) -> None:
    """Constants, a column compared with itself, and what AND, OR and NOT make of them."""
    findings = analysis.analyse(plan(step(f"DELETE FROM t WHERE {condition}"))).findings
    assert ("OC102" in {finding.code for finding in findings}) is always


def test_undo_script_is_judged_too() -> None:
    """What must not run forward must not run backward either, and the finding points to the script."""
    undo = ScriptUndo(source="release.undo.sql", sql="UPDATE t SET a = 1 WHERE id = 1;\nCOMMIT;")
    result = analysis.analyse(plan(step("UPDATE t SET a = 2 WHERE id = 1", undo=undo)))
    assert [(f.code, str(f.where)) for f in result.findings] == [("OC401", "changes/fix/release.undo.sql:2")]
    assert [statement.text for statement in result.statements] == ["UPDATE t SET a = 2 WHERE id = 1"]


RANGE = "id BETWEEN current_setting('okto_change.batch_first')::bigint AND current_setting('okto_change.batch_last')::bigint"
BATCH = Batch(table="settlement", key="id", size=5000)


@pytest.mark.parametrize(
    ("sql", "kept"),
    [
        (f"UPDATE settlement SET a = 1 WHERE {RANGE}", True),
        (f"UPDATE settlement SET a = 1 WHERE id IN (SELECT id FROM settlement WHERE x AND ({RANGE}))", True),
        (f"INSERT INTO note (a) SELECT s.id FROM settlement AS s WHERE s.{RANGE}", True),
        (f"MERGE INTO settlement AS t USING note AS n ON t.id = n.a AND t.{RANGE} WHEN MATCHED THEN DELETE", True),
        (f"UPDATE settlement SET a = 1 WHERE NOT ({RANGE})", False),
        (f"UPDATE settlement SET a = 1 WHERE ({RANGE}) IS NULL", False),
        (f"UPDATE settlement SET a = 1 WHERE other_{RANGE}", False),
        ("UPDATE settlement SET a = 1 WHERE id BETWEEN 1 AND 5", False),
        (f"UPDATE settlement SET a = 1 -- {RANGE}", False),
    ],
)
def test_statements_of_a_batch_are_held_to_their_chunk(sql: str, kept: bool) -> None:
    """The range must be a condition that nothing around it can weaken; what the text cannot show, the run proves."""
    result = analysis.analyse(plan(step(sql, batch=BATCH)))
    assert ("OC606" not in {finding.code for finding in result.findings}) is kept


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (None, "there is no table settlement"),
        ({"columns": ["key"]}, "no column id"),
        ({"columns": ["id"], "key": ["id"]}, "may be NULL"),
        ({"columns": ["id"], "types": {"id": "bigint"}, "key": ["id", "x"]}, "no unique index on id alone"),
        ({"columns": ["id"], "types": {"id": "numeric(10,2)"}, "key": ["id"]}, "of type numeric(10,2)"),
        ({"columns": ["id"], "types": {"id": "bigint"}, "key": ["id"], "kind": "v"}, "it is no table"),
    ],
)
def test_a_key_that_rows_cannot_be_gone_through_by_is_refused(shape: dict[str, object] | None, words: str) -> None:
    """A chunk must be found by the index, and no row may be in two chunks or in none."""
    result = analysis.analyse(
        plan(step(f"UPDATE other SET a = 1 WHERE {RANGE}", batch=BATCH)), found({"settlement": shape})
    )
    assert words in " ".join(finding.message for finding in result.findings if finding.code == "OC610")
