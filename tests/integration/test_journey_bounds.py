"""Row bounds and limits hold whatever the statement looks like."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from okto_change.model import Result
from tests.plugins.journey import Journey

STEP = "  - name: the step\n    target: ledger\n    sql: change.sql\n    rows: {rows}\n"


@pytest.fixture(autouse=True)
def table(database: str) -> None:
    """Give every test a table of three rows."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE t(id int PRIMARY KEY, a int); INSERT INTO t SELECT g, g FROM generate_series(1, 3) g"
        )


def values(database: str) -> list[int]:
    """Return column ``a`` by key."""
    with psycopg.connect(database) as connection:
        return [row[0] for row in connection.execute("SELECT a FROM t ORDER BY id")]


def test_a_statement_outside_its_bound_does_not_commit(journey: Journey, database: str) -> None:
    """Three rows where the plan allows two: rolled back, and the message says both numbers."""
    journey.write(STEP.format(rows=2), {"change.sql": "UPDATE t SET a = 0 WHERE id > 0;\n"})
    outcome = journey.apply()
    assert outcome.result is Result.ROLLED_BACK
    assert "changed 3 rows, the plan allows 2" in outcome.summary
    assert values(database) == [1, 2, 3]


def test_the_rows_that_a_with_statement_shows_are_not_those_it_changed(journey: Journey, database: str) -> None:
    """``WITH ... UPDATE ... SELECT count(*)`` shows one row and changes three; a bound of one must not let it pass."""
    text = "WITH u AS (UPDATE t SET a = 0 WHERE id > 0 RETURNING id) SELECT count(*) FROM u;\n"
    journey.write(STEP.format(rows=1), {"change.sql": text})
    outcome = journey.apply()
    assert outcome.result is Result.ROLLED_BACK
    assert "does not tell how many rows" in outcome.summary
    assert values(database) == [1, 2, 3]


def test_reset_all_does_not_lift_the_limits_of_the_step(journey: Journey, database: str) -> None:
    """RESET ALL inside a step drops the timeouts; they are set again before the next statement."""
    text = "RESET ALL;\nUPDATE t SET a = 0 WHERE id = 1 AND pg_sleep(5) IS NOT NULL;\n"
    journey.write(STEP.format(rows=1) + "    timeouts: {statement: 300ms}\n", {"change.sql": text})
    outcome = journey.apply()
    assert outcome.result is Result.ROLLED_BACK
    assert "statement timeout" in outcome.summary
    assert values(database) == [1, 2, 3]


def test_rows_that_could_not_be_put_back_are_refused_before_anything_runs(
    journey: Journey, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner sees only some rows under FORCE ROW LEVEL SECURITY: its undo would fail, so nothing is run."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS okto_bound_owner")
        connection.execute("CREATE ROLE okto_bound_owner LOGIN")
        try:
            connection.execute(f"GRANT CREATE ON DATABASE {connection.info.dbname} TO okto_bound_owner")
            connection.execute(
                "GRANT ALL ON SCHEMA public TO okto_bound_owner; ALTER TABLE t OWNER TO okto_bound_owner"
            )
            connection.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
            connection.execute("CREATE POLICY p ON t USING (id < 3)")
            monkeypatch.setenv("OKTO_LEDGER_DSN", make_conninfo(database, options="-c role=okto_bound_owner"))
            journey.write(STEP.format(rows=2), {"change.sql": "UPDATE t SET a = 0 WHERE id > 0;\n"})
            outcome = journey.apply()
        finally:
            connection.execute("DROP OWNED BY okto_bound_owner CASCADE; DROP ROLE okto_bound_owner")
    assert outcome.result is Result.REFUSED
    assert any("row security" in fault for fault in outcome.conflicts)
