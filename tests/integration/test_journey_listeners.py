"""Event triggers that log DDL, and a role that cannot keep them silent: told before anything runs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from okto_change import pipeline
from okto_change.model import Diagnosis, Result
from tests.integration.test_event_triggers import LOGGING
from tests.plugins.journey import FIRST, Bank

MERGE = (
    "MERGE INTO accounts AS a USING (VALUES (1)) AS v (id) ON v.id = a.id WHEN MATCHED THEN UPDATE SET note = 'paid';\n"
)
CHANGES = {
    "images ahead": (FIRST, "UPDATE accounts SET balance = balance + 1 WHERE id <= 2;\n"),
    "triggers": ("  - {name: pay, target: ledger, sql: pay.sql, rows: 1, touches: [accounts]}\n", MERGE),
    "definitions": ("  - {name: pay, target: ledger, sql: pay.sql}\n", "CREATE INDEX ON accounts (note);\n"),
}


@pytest.fixture
def humble(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make the executor of a bank an ordinary role that owns the bank's tables; return its name."""
    role = f"okto_humble_{os.getpid()}"
    bank.sql(f"CREATE ROLE {role}; DROP SCHEMA okto_change CASCADE")
    bank.sql(
        f"ALTER TABLE accounts OWNER TO {role}; ALTER TABLE audit OWNER TO {role}; GRANT ALL ON SCHEMA public TO {role}"
    )
    bank.sql(f"DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {role}', current_database()); END $$")
    for variable in ("OKTO_LEDGER_DSN", "OKTO_RECORDS_DSN"):
        monkeypatch.setenv(variable, make_conninfo(bank.ledger, options=f"-c role={role}"))
    yield role
    bank.sql(f"DROP EVENT TRIGGER IF EXISTS logged; DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def listeners(bank: Bank) -> Diagnosis:
    """Return what doctor says of event triggers."""
    found = pipeline.doctor(bank.journey.repository, "sandbox")
    return next(one for one in found if one.name == "ledger: event triggers")


@pytest.mark.parametrize("change", CHANGES)
def test_what_they_log_of_ours_and_cannot_be_put_back_is_refused_before_anything_runs(
    bank: Bank, humble: str, change: str
) -> None:
    """Dry run, apply and doctor name the table and what a superuser can do about it; nothing was logged."""
    bank.plan(CHANGES[change][0], pay=CHANGES[change][1])
    bank.journey.apply()
    bank.journey.rollback()
    assert listeners(bank).ok
    bank.sql(LOGGING)
    bank.sql(f"GRANT ALL ON ddl_log TO {humble}; DELETE FROM ddl_log")
    found = bank.journey.dry_run().rehearsal
    assert found is not None and "event triggers hear what okto-change makes" in str(found.failure)
    assert "public.ddl_log belongs to" in str(found.failure) and "session_replication_role" in str(found.failure)
    bank.journey.git.commit("Rehearsed")
    done = bank.journey.apply()
    assert (done.result, done.state) == (Result.REFUSED, "nothing was changed"), done
    assert "public.ddl_log" in done.summary
    assert bank.unchanged() and bank.sql("SELECT count(*) FROM ddl_log") == [(0,)]
    assert not listeners(bank).ok and "public.ddl_log" in listeners(bank).message


def test_where_the_role_may_keep_them_silent_they_hear_nothing(bank: Bank, humble: str) -> None:
    """By the one GRANT that the message names."""
    bank.plan(CHANGES["triggers"][0], pay=MERGE)
    bank.journey.apply()  # which makes the schema okto_change
    bank.journey.rollback()
    bank.sql(LOGGING)
    bank.sql(f"GRANT ALL ON ddl_log TO {humble}; GRANT SET ON PARAMETER session_replication_role TO {humble}")
    bank.sql("DELETE FROM ddl_log")
    try:
        assert bank.journey.apply().result is Result.DONE
        assert bank.journey.rollback().result is Result.DONE and bank.unchanged()
        assert listeners(bank).ok and bank.sql("SELECT count(*) FROM ddl_log") == [(0,)]
    finally:
        bank.sql(f"REVOKE SET ON PARAMETER session_replication_role FROM {humble}")


def test_listeners_that_write_nothing_are_no_obstacle(bank: Bank, humble: str) -> None:
    """As those of hosted databases, which only watch."""
    assert humble
    bank.plan(CHANGES["triggers"][0], pay=MERGE)
    bank.sql("CREATE FUNCTION watched() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN NOTIFY ddl; END'")
    bank.sql("CREATE EVENT TRIGGER logged ON ddl_command_end EXECUTE FUNCTION watched()")
    assert bank.journey.apply().result is Result.DONE
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()
