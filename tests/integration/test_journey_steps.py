"""Several steps on one target: the rehearsal runs them all in one transaction, apply and rollback in one each."""

from __future__ import annotations

import psycopg
import pytest

from okto_change.model import Rehearsal, Result
from tests.integration.case_driver import rows
from tests.plugins.journey import Journey

TABLE = "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t VALUES (1, 1, 1), (2, 2, 2);"
VIEW = TABLE + "CREATE MATERIALIZED VIEW m AS SELECT id, a FROM t; CREATE UNIQUE INDEX ON m (id);"
PARTITIONED = (
    "CREATE TABLE p (id int, a int) PARTITION BY RANGE (id); CREATE TABLE d PARTITION OF p DEFAULT;"
    "INSERT INTO p VALUES (1, 1), (20, 2);"
)
LISTENING = TABLE + (
    "CREATE TABLE log (id int); CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN INSERT INTO log VALUES (NEW.id); RETURN NEW; END';"
    "CREATE TRIGGER told BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION told();"
)
DEFERRED = TABLE + "CREATE TABLE child (t int REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
PLANS = {
    "refreshed in the step": (VIEW, ["UPDATE t SET a = 9; REFRESH MATERIALIZED VIEW m"]),
    "refreshed by rows": (VIEW, ["UPDATE t SET a = 9; REFRESH MATERIALIZED VIEW CONCURRENTLY m; DELETE FROM t"]),
    "refreshed in a step of its own": (VIEW, ["UPDATE t SET a = 9", "REFRESH MATERIALIZED VIEW m"]),
    "refreshed by rows in a step of its own": (
        VIEW,
        ["UPDATE t SET a = 9", "REFRESH MATERIALIZED VIEW CONCURRENTLY m"],
    ),
    "column dropped in between": (TABLE, ["UPDATE t SET b = 7", "ALTER TABLE t DROP COLUMN b", "DELETE FROM t"]),
    "column renamed in between": (TABLE, ["UPDATE t SET a = 7", "ALTER TABLE t RENAME a TO c", "UPDATE t SET c = 8"]),
    "column widened, then filled": (TABLE, ["ALTER TABLE t ALTER a TYPE bigint", "UPDATE t SET a = 99999999999"]),
    "column added, then filled from a temporary table": (
        TABLE,
        [
            "ALTER TABLE t ADD COLUMN c text",
            "CREATE TEMP TABLE w AS TABLE t; UPDATE t SET c = w.a FROM w WHERE w.id = t.id",
        ],
    ),
    "copied, then truncated": (TABLE, ["CREATE TABLE backup AS TABLE t", "TRUNCATE t"]),
    "copied, emptied, dropped": (TABLE, ["CREATE TABLE backup AS TABLE t", "DELETE FROM t", "DROP TABLE t"]),
    "constraints deferred again in the next": (
        DEFERRED,
        [
            "UPDATE t SET a = 9",
            "ALTER TABLE t ADD COLUMN c int",
            "INSERT INTO child VALUES (50); INSERT INTO t (id) VALUES (50)",
        ],
    ),
    "rows moved, then attached": (
        PARTITIONED,
        [
            "CREATE TABLE p1 (LIKE p)",
            "WITH gone AS (DELETE FROM d WHERE id < 10 RETURNING *) INSERT INTO p1 TABLE gone",
            "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (10)",
        ],
    ),
}


def rehearsed(journey: Journey, database: str, schema: str, steps: list[str]) -> Rehearsal:
    """Make ``schema``, write a step for each of ``steps``, rehearse them."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(schema.encode())
    plan = "".join(f"  - {{name: step {n}, target: ledger, sql: {n}.sql}}\n" for n in range(len(steps)))
    journey.write(plan, {f"{n}.sql": text for n, text in enumerate(steps)})
    found = journey.dry_run().rehearsal
    assert found is not None
    return found


@pytest.mark.parametrize("name", PLANS)
def test_every_row_is_back_after_the_steps_are_undone(journey: Journey, database: str, name: str) -> None:
    """Last step first; what an earlier step did to the catalogue is not held against a later one."""
    found = rehearsed(journey, database, *PLANS[name])
    assert found.failure is None and found.undo.proven, found.failure or found.undo.reason
    before = rows(database)
    journey.git.commit("Rehearsed")
    assert journey.apply().result is Result.DONE and rows(database) != before
    assert journey.rollback().result is Result.DONE and rows(database) == before


@pytest.mark.parametrize("how", ["", "CONCURRENTLY"])
def test_a_view_that_was_out_of_date_is_not_refreshed_with_a_promise(journey: Journey, database: str, how: str) -> None:
    """The undo computes it from the rows of then, which is not what it held."""
    schema = VIEW + "INSERT INTO t VALUES (3, 3, 3);"
    found = rehearsed(journey, database, schema, [f"REFRESH MATERIALIZED VIEW {how} m"])
    assert not found.undo.proven and "public.m has 3 rows, it had 2" in str(found.undo.reason)


def test_what_a_step_sets_for_itself_ends_with_it(journey: Journey, database: str) -> None:
    """As it does when each step commits: triggers fire again, names are found as before, and the role is the old one."""
    found = rehearsed(
        journey,
        database,
        LISTENING,
        [
            "SET LOCAL session_replication_role = replica; DECLARE found CURSOR FOR TABLE t; UPDATE t SET a = 9",
            "ALTER TABLE t ADD COLUMN c text; SET LOCAL search_path = pg_catalog; SET LOCAL ROLE pg_monitor",
            "DECLARE found CURSOR FOR TABLE t; UPDATE t SET b = 7, c = current_role",
        ],
    )
    assert found.failure is None and found.undo.proven, found.failure or found.undo.reason
    assert [(writes.table, writes.total) for writes in found.writes] == [
        ("public.t", 2),
        ("public.log", 2),
        ("public.t", 2),
    ]
    journey.git.commit("Rehearsed")
    done = journey.apply()
    assert done.result is Result.DONE
    assert done.writes == found.writes
