"""Doctor says what is missing before a change finds out."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from psycopg.conninfo import make_conninfo

from okto_change.database import doctor, state
from okto_change.database.session import Session, connect
from okto_change.model import Diagnosis

pytest_plugins = ["tests.plugins.sessions"]
Open = Callable[[], Session]


def named(found: tuple[Diagnosis, ...]) -> dict[str, Diagnosis]:
    """Return the diagnoses by name."""
    return {diagnosis.name: diagnosis for diagnosis in found}


def test_a_fresh_database_is_fit_and_stays_untouched(session: Session) -> None:
    """Looking installs nothing."""
    found = doctor.diagnose(session)
    assert [diagnosis.message for diagnosis in found if not diagnosis.ok] == []
    assert "made by the first run" in named(found)["schema okto_change"].message
    assert not state.is_installed(session)


def test_an_installed_schema_is_named_with_its_version(session: Session) -> None:
    """An old one is brought up to date by the next run."""
    state.ensure_schema(session)
    assert "version" in named(doctor.diagnose(session))["schema okto_change"].message
    session.run("UPDATE okto_change.installed SET digest = 'sha256:old'")
    assert "brought up to date" in named(doctor.diagnose(session))["schema okto_change"].message


def test_a_newer_schema_is_a_finding_not_an_end(session: Session) -> None:
    """The other questions are asked all the same."""
    state.ensure_schema(session)
    session.run("UPDATE okto_change.installed SET version = version + 1")
    found = named(doctor.diagnose(session))
    assert not found["schema okto_change"].ok
    assert found["one run at a time"].ok


def test_missing_privileges_are_listed_with_the_grants(session: Session, database: str) -> None:
    """For the schema of ours and for each named table."""
    role = f"okto_doctor_{os.getpid()}"
    session.run("CREATE TABLE settlements (id int); CREATE SCHEMA app; CREATE TABLE app.t ()")
    session.run(f"CREATE ROLE {role}; GRANT SELECT, UPDATE ON settlements TO {role}")
    try:
        with connect("ledger", make_conninfo(database, options=f"-c role={role}")) as poor:
            found = named(doctor.diagnose(poor, ["settlements", "app.t", "nope"]))
    finally:
        session.run(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert f"{role} may not create it" in found["schema okto_change"].message
    assert f"AUTHORIZATION {role}" in str(found["schema okto_change"].hint)
    assert "no INSERT, DELETE, TRIGGER" in found["table settlements"].message
    assert "GRANT" in str(found["table settlements"].hint)
    assert "no USAGE on schema app" in found["table app.t"].message
    assert found["table nope"].message == "is not there"


def test_the_owner_of_a_table_has_every_privilege(session: Session) -> None:
    """Nothing to do."""
    session.run("CREATE TABLE settlements (id int)")
    assert named(doctor.diagnose(session, ["settlements"]))["table settlements"].ok


def test_left_capture_triggers_are_found(session: Session) -> None:
    """Whatever calls a function of schema okto_change on a table of others."""
    state.ensure_schema(session)
    session.run("CREATE TABLE settlements (id int)")
    session.run("CREATE FUNCTION okto_change.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'")
    session.run("CREATE TRIGGER x AFTER UPDATE ON settlements FOR EACH ROW EXECUTE FUNCTION okto_change.f()")
    found = named(doctor.diagnose(session))["capture triggers"]
    assert not found.ok
    assert "public.settlements" in found.message


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("track_counts", "off"),
        ("synchronous_commit", "off"),
        ("session_replication_role", "replica"),
        ("default_transaction_read_only", "on"),
    ],
)
def test_settings_that_would_break_a_promise_are_found(session: Session, setting: str, value: str) -> None:
    """Each with what to do."""
    session.run(f"SET {setting} = {value}")
    found = named(doctor.diagnose(session))[setting]
    assert not found.ok
    assert found.message == value
    assert found.hint


def test_a_run_in_progress_is_told(open_session: Open) -> None:
    """By its name."""
    running, looking = open_session(), open_session()
    state.ensure_schema(running)
    running.begin()
    state.target_lock(running, "r-1")
    found = named(doctor.diagnose(looking))["one run at a time"]
    assert not found.ok
    assert "run r-1" in found.message
    running.rollback()


def test_a_clock_that_is_wrong_is_found(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """No difference at all would be allowed then."""
    monkeypatch.setattr(doctor, "CLOCK", -1.0)
    assert not named(doctor.diagnose(session))["clock"].ok
