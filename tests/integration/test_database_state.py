"""The schema in the target, what is applied, one run at a time, and the fate of a lost COMMIT."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg.conninfo import make_conninfo

from okto_change.database import measure, state
from okto_change.database.session import READ_COMMITTED, REPEATABLE_READ, Session, connect
from okto_change.errors import ConnectionLost, DatabaseError, Refused, Stuck
from tests.plugins.proxy import OnCommit, Proxy

pytest_plugins = ["tests.plugins.sessions"]
Open = Callable[[], Session]


def record(session: Session, run: str = "r-1", unit: str = "1") -> None:
    """Write that a unit of the one change of these tests is applied."""
    state.record_applied(
        session,
        run=run,
        unit=unit,
        change="2026-11-22-fix",
        environment="production",
        digest="sha256:00",
        executor="ana",
    )


def standing(session: Session) -> list[str]:
    """Return the runs whose units stand."""
    return [row.run for row in state.applied(session, "2026-11-22-fix", "production") if row.stands]


# ---------------------------------------------------------------------- the schema


def test_the_schema_is_installed_once(session: Session) -> None:
    """The second time nothing is executed but a look: no table gets another row version."""
    state.ensure_schema(session)
    before = session.execute("SELECT oid, xmin::text FROM pg_class WHERE relnamespace = 'okto_change'::regnamespace")
    state.ensure_schema(session)
    assert before
    assert (
        session.execute("SELECT oid, xmin::text FROM pg_class WHERE relnamespace = 'okto_change'::regnamespace")
        == before
    )


def test_an_older_schema_is_brought_up_to_date_and_keeps_its_rows(session: Session) -> None:
    """The files are safe to run again."""
    state.ensure_schema(session)
    record(session)
    session.run("UPDATE okto_change.installed SET digest = 'sha256:old'")
    state.ensure_schema(session)
    assert state.is_current(session)
    assert standing(session) == ["r-1"]


def test_a_newer_schema_is_left_alone(session: Session) -> None:
    """An old okto-change must not work with tables that it does not know."""
    state.ensure_schema(session)
    session.run("UPDATE okto_change.installed SET version = version + 1")
    with pytest.raises(Refused, match=r"has version \d+, this okto-change knows"):
        state.ensure_schema(session)


def test_many_first_runs_at_once_all_find_the_schema(open_session: Open) -> None:
    """They queue for an advisory lock; nobody sees "already exists"."""
    errors: list[BaseException] = []

    def install(session: Session) -> None:
        try:
            state.ensure_schema(session)
        except BaseException as error:
            errors.append(error)

    opened = [open_session() for _ in range(5)]
    threads = [threading.Thread(target=install, args=(session,)) for session in opened]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert all(state.is_current(session) for session in opened)


def test_everything_in_the_schema_has_a_comment_and_nobody_else_a_privilege(session: Session) -> None:
    """Tables, columns, and functions explain themselves; PUBLIC may not even look into the schema."""
    state.ensure_schema(session)
    assert (
        session.execute(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum >= 0"
            " WHERE c.relnamespace = 'okto_change'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT a.attisdropped"
            " AND col_description(c.oid, a.attnum) IS NULL"
        )
        == []
    )
    assert (
        session.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'okto_change'::regnamespace AND relkind IN ('r', 'p', 'v')"
            " AND obj_description(oid, 'pg_class') IS NULL"
        )
        == []
    )
    assert session.execute("SELECT has_schema_privilege('pg_monitor', 'okto_change', 'USAGE')") == [(False,)]


@contextmanager
def role(session: Session, database: str, grants: str = "") -> Iterator[Session]:
    """Yield a session of a new role without privileges but ``grants`` (SQL with {role} and {database})."""
    name = f"okto_role_{os.getpid()}_{time.monotonic_ns()}"
    session.run(f"CREATE ROLE {name}")
    try:
        if grants:
            session.run(grants.format(role=name, database=session.identity.database))
        with connect("ledger", make_conninfo(database, options=f"-c role={name}")) as opened:
            yield opened
    finally:
        session.run(f"DROP OWNED BY {name}")
        session.run(f"DROP ROLE {name}")


def test_a_role_without_the_privilege_is_told_so(session: Session, database: str) -> None:
    """Nothing is left half made, and the session is usable."""
    with role(session, database) as poor:
        with pytest.raises(DatabaseError, match="permission denied") as caught:
            state.ensure_schema(poor)
        assert caught.value.sqlstate == "42501"
        assert "doctor" in str(caught.value.hint)
        assert not poor.in_transaction
    assert not state.is_installed(session)


def test_a_schema_made_by_an_administrator_is_enough(session: Session, database: str) -> None:
    """The role needs no CREATE on the database then."""
    with role(session, database, "CREATE SCHEMA okto_change AUTHORIZATION {role}") as poor:
        state.ensure_schema(poor)
        assert state.is_current(poor)


# ---------------------------------------------------------------------- what is applied


def test_nothing_is_applied_where_nothing_is_installed(session: Session) -> None:
    """Asking creates nothing."""
    assert state.applied(session, "2026-11-22-fix", "production") == ()
    assert not state.is_installed(session)


def test_a_unit_is_applied_with_its_transaction_or_not_at_all(session: Session) -> None:
    """The row is rolled back with the effect, and committed with it."""
    state.ensure_schema(session)
    session.begin()
    record(session)
    session.rollback()
    assert standing(session) == []
    session.begin()
    mark = state.backend(session)
    record(session)
    session.commit()
    (row,) = state.applied(session, "2026-11-22-fix", "production")
    assert (row.run, row.unit, row.xid, row.digest) == ("r-1", "1", mark.xid, "sha256:00")


def test_a_unit_stands_once_whoever_runs_it(session: Session) -> None:
    """A second run is refused by the unique index, another unit or environment is not."""
    state.ensure_schema(session)
    record(session)
    with pytest.raises(Refused, match="applied already in production"):
        record(session, run="r-2")
    record(session, unit="2")
    assert standing(session) == ["r-1", "r-1"]


def test_an_undone_unit_can_be_applied_again(session: Session) -> None:
    """Both runs stay on record."""
    state.ensure_schema(session)
    record(session)
    state.record_undone(session, run="r-1", unit="1", undone_by="r-2")
    assert standing(session) == []
    record(session, run="r-3")
    rows = state.applied(session, "2026-11-22-fix", "production")
    assert [(row.run, row.undone_by) for row in rows] == [("r-1", "r-2"), ("r-3", None)]


def test_a_unit_is_undone_once(session: Session) -> None:
    """The second undo is refused, as is the undo of what never was."""
    state.ensure_schema(session)
    record(session)
    state.record_undone(session, run="r-1", unit="1", undone_by="r-2")
    for run in ("r-1", "r-9"):
        with pytest.raises(Refused, match="not applied, or undone already"):
            state.record_undone(session, run=run, unit="1", undone_by="r-3")


# ---------------------------------------------------------------------- one run at a time


def test_a_second_run_is_told_who_holds_the_target(open_session: Open) -> None:
    """Run, process and since when; at once, and only while the first transaction lasts."""
    first, second = open_session(), open_session()
    state.ensure_schema(first)
    first.begin()
    state.target_lock(first, "r-1")
    second.begin()
    with pytest.raises(Refused, match=rf"run r-1 \(process {first.backend_pid}, .*since \d\d:\d\d:\d\d UTC"):
        state.target_lock(second, "r-2")
    second.rollback()
    first.rollback()
    assert state.holder(second) is None
    second.begin()
    state.target_lock(second, "r-2")
    second.rollback()


def test_a_second_run_waits_as_long_as_it_is_told(open_session: Open) -> None:
    """Waiting is bounded, and the limits of the transaction are untouched by it."""
    first, second = open_session(), open_session()
    state.ensure_schema(first)
    first.begin()
    state.target_lock(first, "r-1")
    second.begin()
    started = time.monotonic()
    with pytest.raises(Refused, match="run r-1"):
        state.target_lock(second, "r-2", wait=0.3)
    assert time.monotonic() - started >= 0.3
    assert second.execute("SHOW lock_timeout") == [("2s",)]
    second.rollback()


def test_who_waited_sees_what_the_run_before_committed(open_session: Open) -> None:
    """Also under REPEATABLE READ: the snapshot is taken after the lock, so nothing is judged on old rows."""
    first, second, seen = open_session(), open_session(), []
    state.ensure_schema(first)
    first.begin(isolation=REPEATABLE_READ)
    state.target_lock(first, "r-1")
    record(first)

    def wait() -> None:
        second.begin(isolation=REPEATABLE_READ)
        state.target_lock(second, "r-2", wait=60)
        seen.extend(standing(second))
        second.rollback()

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    first.commit()
    thread.join(60)
    assert seen == ["r-1"]


def test_the_lock_needs_a_transaction(session: Session) -> None:
    """Outside one it would be gone at once: a bug of ours, and loud."""
    state.ensure_schema(session)
    with pytest.raises(ValueError, match="open transaction"):
        state.target_lock(session, "r-1")


# ---------------------------------------------------------------------- the fate of a COMMIT


@pytest.fixture
def runner(proxy: Proxy, database: str, session: Session) -> Iterator[Session]:
    """Return a session through the proxy with a unit applied but not committed."""
    state.ensure_schema(session)
    with connect("ledger", proxy.conninfo(database)) as opened:
        opened.begin()
        state.target_lock(opened, "r-1")
        yield opened


def test_a_commit_that_never_arrived_is_aborted(runner: Session, session: Session, proxy: Proxy) -> None:
    """commit_lost_before: nothing is applied, and applying then happens exactly once."""
    mark = state.backend(runner)
    record(runner)
    proxy.on_commit = OnCommit.LOSE_REQUEST
    with pytest.raises(ConnectionLost):
        runner.commit()
    assert state.settle(session, mark, "r-1") == "aborted"
    record(session, run="r-2")
    assert standing(session) == ["r-2"]


def test_a_commit_whose_answer_was_lost_is_committed(runner: Session, session: Session, proxy: Proxy) -> None:
    """commit_lost_after: it is applied, and applying again is refused."""
    mark = state.backend(runner)
    record(runner)
    proxy.on_commit = OnCommit.LOSE_ANSWER
    with pytest.raises(ConnectionLost):
        runner.commit()
    assert state.settle(session, mark, "r-1") == "committed"
    with pytest.raises(Refused, match="applied already"):
        record(session, run="r-2")


def test_a_commit_still_on_its_way_is_waited_for(runner: Session, session: Session, proxy: Proxy) -> None:
    """commit_delayed: for a while there is no row, and believing that would apply the change twice."""
    mark = state.backend(runner)
    record(runner)
    proxy.delay = 1.5
    driver = runner._connection.pgconn
    driver.send_query(b"COMMIT")
    driver.flush()
    driver.finish()
    assert standing(session) == []
    assert state.settle(session, mark, "r-1", wait=0.2) == "in progress"
    assert state.settle(session, mark, "r-1", wait=60) == "committed"
    assert standing(session) == ["r-1"]


def test_an_undo_is_settled_by_its_row_too(session: Session) -> None:
    """The run that undid is named in the row of the run that applied."""
    state.ensure_schema(session)
    record(session)
    session.begin(isolation=READ_COMMITTED)
    mark = state.backend(session)
    state.record_undone(session, run="r-1", unit="1", undone_by="r-2")
    session.commit()
    assert state.settle(session, mark, "r-2") == "committed"


@pytest.mark.parametrize("xid", [3, 10**15])
def test_a_transaction_that_the_server_does_not_know_is_judged_by_its_row(session: Session, xid: int) -> None:
    """Too old to be remembered, or from the future of another server: no row, not applied."""
    state.ensure_schema(session)
    session.begin()
    mark = replace(state.backend(session), xid=xid)
    session.rollback()
    assert state.settle(session, mark, "r-1") == "aborted"


def test_a_committed_transaction_without_its_row_is_for_a_person(session: Session) -> None:
    """Neither answer would be safe."""
    state.ensure_schema(session)
    session.begin()
    mark = state.backend(session)
    session.run("CREATE TABLE t ()")
    session.commit()
    with pytest.raises(Stuck, match=r"row in okto_change\.applied is missing") as caught:
        state.settle(session, mark, "r-1")
    assert caught.value.exit_code == 6


# ---------------------------------------------------------------------- what stays behind


def test_sequences_and_wal_are_consumed_by_a_rollback(session: Session) -> None:
    """The difference of two readings says what moved."""
    session.run('CREATE SEQUENCE "Odd name"; CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, v text)')
    before, wal = measure.sequences(session), measure.wal_position(session)
    session.begin()
    session.run("INSERT INTO t (v) SELECT 'x' FROM generate_series(1, 5)")
    session.rollback()
    assert measure.moved(before, measure.sequences(session)) == ("sequence public.t_id_seq moved from unused to 5",)
    assert measure.wal_position(session) > wal
