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
