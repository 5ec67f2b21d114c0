"""The journal on a real server: durable, append-only, chained under concurrency, and honest about every tampering."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
import pytest

from okto_change import lifecycle
from okto_change.database import session, state
from okto_change.database.session import Session
from okto_change.errors import JournalBroken
from okto_change.journal import chain, store
from okto_change.journal.store import Journal
from okto_change.lifecycle import State
from okto_change.model import Event, EventKind, Result, Timeouts

K = EventKind


def event(kind: EventKind, run: str = "r1", change: str = "c", environment: str = "production", **data: Any) -> Event:
    """Return an event."""
    return Event(kind=kind, run=run, change=change, environment=environment, data=data)


def story(run: str = "r1", change: str = "c") -> list[Event]:
    """Return the events of a run that is applied."""
    return [
        event(K.RUN_STARTED, run, change, decisions=[f"d-{run}"]),
        event(K.COMMITTING, run, change, unit=1, xid=700),
        event(K.COMMITTED, run, change, unit=1),
        event(K.RUN_FINISHED, run, change, result=Result.DONE.value),
    ]


@pytest.fixture
def installed(database: str) -> str:
    """Return a database with the schema in it."""
    with session.connect("ledger", database) as opened:
        state.ensure_schema(opened)
    return database


@pytest.fixture
def journal(installed: str) -> Iterator[Journal]:
    """Return a journal of Ana's."""
    with session.connect("ledger", installed) as opened:
        yield Journal(opened, actor="ana")


@pytest.fixture
def owner(installed: str) -> Iterator[psycopg.Connection[Any]]:
    """Return a superuser's own connection, for tampering."""
    with psycopg.connect(installed, autocommit=True) as connection:
        yield connection


def tamper(owner: psycopg.Connection[Any], *statements: LiteralString) -> None:
    """Do what only the owner can: switch the guards off, change things, switch them on again."""
    owner.execute("ALTER TABLE okto_change.entry DISABLE TRIGGER ALL")
    for statement in statements:
        owner.execute(statement)
    owner.execute("ALTER TABLE okto_change.entry ENABLE ALWAYS TRIGGER entry_refuse")
    owner.execute("ALTER TABLE okto_change.entry ENABLE ALWAYS TRIGGER entry_follow")


def test_entries_come_back_as_they_were_appended(journal: Journal) -> None:
    """Numbers, actor, the server's moment and the event, in order; the chain holds."""
    before = datetime.now(UTC)
    written = [journal.append(item) for item in story()]
    assert list(journal.entries()) == written
    assert [entry.number for entry in written] == [1, 2, 3, 4]
    assert {entry.actor for entry in written} == {"ana"}
    assert all(abs((entry.at - before).total_seconds()) < 60 for entry in written)
    assert journal.report("").problems == ()
    report = journal.report("production")
    assert (report.entries, report.head, report.problems) == (4, f"4:{written[-1].hash}", ())


def test_an_empty_journal_holds(journal: Journal) -> None:
    """Nothing is there, and nothing is wrong."""
    assert journal.report("").head is None
    assert journal.report("").problems == ()
    assert list(journal.entries()) == []


def test_an_entry_is_durable_while_a_transaction_of_the_run_is_open(journal: Journal, installed: str) -> None:
    """Another connection sees the entry at once, and it outlives the rollback of the run."""
    with session.connect("ledger", installed) as work, session.connect("ledger", installed) as other:
        work.begin()
        work.run("CREATE TABLE t ()")
        journal.append(story()[0])
        assert [entry.event.kind for entry in Journal(other, actor="x").entries()] == [K.RUN_STARTED]
        work.rollback()
    assert len(list(journal.entries())) == 1


def test_appending_waits_for_the_disk_whatever_the_session_is_set_to(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """synchronous_commit = off would lose an entry; the setting is ours for the append only."""
    inner = journal._session
    inner.run("SET synchronous_commit = off")
    seen: list[str] = []
    together = inner.together

    def spied(*named: tuple[str, Mapping[str, Any]], begin: bool = False, commit: bool = False) -> list[session.Row]:
        if commit:
            seen.append(inner.execute("SHOW synchronous_commit")[0][0])
        return together(*named, begin=begin, commit=commit)

    monkeypatch.setattr(inner, "together", spied)
    journal.append(story()[0])
    assert seen == ["on"]
    assert inner.execute("SHOW synchronous_commit")[0][0] == "off"


def test_entries_are_found_by_change_environment_and_run(journal: Journal) -> None:
    """Filters go to the server."""
    for item in (*story("r1", "c"), *story("r2", "d")):
        journal.append(item)
    assert {entry.event.change for entry in journal.entries("d")} == {"d"}
    assert len(list(journal.entries(run="r1"))) == 4
    assert list(journal.entries("c", "sandbox")) == []
    assert {place: found.state for place, found in lifecycle.replay(journal.entries()).items()} == {
        ("c", "production"): State.APPLIED,
        ("d", "production"): State.APPLIED,
    }


def test_entries_stream_over_pages(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """More entries than a page come in order, none twice; verify reads them all."""
    monkeypatch.setattr(store, "PAGE", 3)
    for item in (*story("r1"), *story("r2"), *story("r3")):
        journal.append(item)
    assert [entry.number for entry in journal.entries()] == list(range(1, 13))
    assert journal.report("production").entries == 12


def test_an_impossible_story_is_not_written(journal: Journal) -> None:
    """The journal refuses before it writes, and goes on as before."""
    journal.append(story()[0])
    with pytest.raises(JournalBroken, match="cannot go on"):
        journal.append(event(K.COMMITTED, unit=1))
    assert len(list(journal.entries())) == 1
    journal.append(event(K.COMMITTING, unit=1))


def test_a_second_process_continues_the_story_of_a_run(journal: Journal, installed: str) -> None:
    """Resume knows from the entries what the first process announced."""
    for item in story()[:2]:
        journal.append(item)
    with session.connect("ledger", installed) as opened:
        other = Journal(opened, actor="bruno")
        with pytest.raises(JournalBroken, match="was not announced"):
            other.append(event(K.COMMITTED, unit=2))
        other.append(event(K.SETTLED, unit=1, fate="committed"))
    assert lifecycle.replay(journal.entries())["c", "production"].standing == ("r1", ("1",))


def test_two_processes_that_write_of_one_run_cannot_contradict_each_other(journal: Journal, installed: str) -> None:
    """What the first remembers is no longer true once the second has settled the run."""
    for item in story()[:2]:
        journal.append(item)
    with session.connect("ledger", installed) as opened:
        Journal(opened, actor="bruno").append(event(K.SETTLED, unit=1, fate="aborted"))
    with pytest.raises(JournalBroken, match="'running' cannot go on with 'committed'"):
        journal.append(story()[2])
    assert lifecycle.replay(journal.entries())["c", "production"].standing is None


def test_what_has_no_canonical_form_is_not_written(journal: Journal) -> None:
    """A float in an event is refused, and nothing stays open."""
    with pytest.raises(JournalBroken, match="cannot be written down"):
        journal.append(event(K.RUN_STARTED, load=0.5))
    assert list(journal.entries()) == []
    journal.append(story()[0])


def test_moments_never_go_back(journal: Journal, owner: psycopg.Connection[Any]) -> None:
    """When the server's clock is set back, entries stay in the order of their moments."""
    first = journal.append(story()[0])
    ahead = chain.compose(2, first.at.replace(year=first.at.year + 1), "ana", story()[1], first.hash)
    owner.execute(
        "INSERT INTO okto_change.entry (number, at, actor, kind, run, change, environment, content, previous, hash)"
        " VALUES (%(number)s, %(at)s, %(actor)s, %(kind)s, %(run)s, %(change)s, %(environment)s, %(content)s,"
        " %(previous)s, %(hash)s)",
        chain.columns(ahead)
        | {"number": 2, "content": ahead.content.decode(), "previous": ahead.previous, "hash": ahead.hash},
    )
    assert journal.append(story()[2]).at == ahead.at
    assert journal.report("").problems == ()


def test_eight_appenders_at_once_make_one_chain(installed: str) -> None:
    """The advisory lock keeps them in a row; every entry is there once."""

    def append(person: int) -> None:
        with session.connect("ledger", installed) as opened:
            journal = Journal(opened, actor=f"p{person}")
            for turn in range(6):
                for item in story(f"r{person}-{turn}", f"c{person}"):
                    journal.append(item)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, range(8)))
    with session.connect("ledger", installed) as opened:
        journal = Journal(opened, actor="ana")
        report = journal.report("production")
        assert (report.entries, report.problems) == (8 * 6 * 4, ())
        assert all(found.state is State.APPLIED for found in lifecycle.replay(journal.entries()).values())


@pytest.mark.parametrize("role", ["origin", "replica", "local"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE okto_change.entry SET actor = 'mallory'",
        "UPDATE okto_change.entry SET actor = 'mallory' WHERE false",
        "DELETE FROM okto_change.entry",
        "TRUNCATE okto_change.entry",
        "TRUNCATE okto_change.entry CASCADE",
        "INSERT INTO okto_change.entry SELECT * FROM okto_change.entry ON CONFLICT (number) DO UPDATE SET actor = 'm'",
        "INSERT INTO okto_change.entry SELECT 9, at, actor, kind, run, change, environment, content, hash, 'x'"
        " FROM okto_change.entry WHERE number = 4",
        "INSERT INTO okto_change.entry SELECT 5, at, actor, kind, run, change, environment, content, hash, 'x'"
        " FROM okto_change.entry WHERE number = 4",
    ],
)
def test_the_server_refuses_everything_but_the_next_entry(
    journal: Journal, owner: psycopg.Connection[Any], role: LiteralString, statement: LiteralString
) -> None:
    """Even a superuser, even with triggers off for replicas, must take a guard away first."""
    for item in story():
        journal.append(item)
    owner.execute("SELECT set_config('session_replication_role', %s, false)", (role,))
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"append-only|does not follow"):
        owner.execute(statement)
    assert journal.report("").problems == ()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE okto_change.entry SET actor = 'm' WHERE number = 2", "entry 2 was changed: column actor says m"),
        ("UPDATE okto_change.entry SET at = at + interval '1 us' WHERE number = 2", "entry 2 was changed: column at"),
        ("UPDATE okto_change.entry SET content = replace(content, 'ana', 'e') WHERE number = 2", "not give its hash"),
        ("UPDATE okto_change.entry SET content = 'x' WHERE number = 2", "entry 2 was changed"),
        ("DELETE FROM okto_change.entry WHERE number = 2", "entry 2 is missing"),
        ("DELETE FROM okto_change.entry WHERE number IN (1, 2)", "entries 1 to 2 are missing"),
        ("UPDATE okto_change.entry SET number = 7 WHERE number = 2", "entry 7 holds entry 2"),
        (
            "DELETE FROM okto_change.entry WHERE number = 2;"
            "UPDATE okto_change.entry SET number = number - 1 WHERE number > 2",
            "entry 2 does not follow entry 1",
        ),
    ],
)
def test_verify_finds_what_the_owner_did(
    journal: Journal, owner: psycopg.Connection[Any], statement: LiteralString, problem: str
) -> None:
    """Whoever takes the guards away and puts them back is still found."""
    for item in story():
        journal.append(item)
    tamper(owner, statement)
    assert any(problem in found for found in journal.report("").problems)


def test_verify_finds_a_cut_off_end_by_the_head_that_was_kept(journal: Journal, owner: psycopg.Connection[Any]) -> None:
    """The head that was kept elsewhere is missing."""
    for item in story():
        journal.append(item)
    head = journal.report("").head
    assert head is not None
    tamper(owner, "DELETE FROM okto_change.entry WHERE number = 4")
    assert journal.report("").problems == ()
    assert journal.report("", kept=[chain.read_head(head)]).problems == (
        "entry 4 is missing: its hash was kept, but the journal ends at 3",
    )


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE okto_change.entry DISABLE TRIGGER entry_refuse",
        "ALTER TABLE okto_change.entry ENABLE TRIGGER entry_refuse",
        "DROP TRIGGER entry_refuse ON okto_change.entry",
    ],
)
def test_verify_finds_a_guard_that_is_gone(
    journal: Journal, owner: psycopg.Connection[Any], statement: LiteralString
) -> None:
    """Nothing may be changed yet, but it could be."""
    owner.execute(statement)
    (problem,) = journal.report("").problems
    assert problem.startswith("trigger entry_refuse on okto_change.entry, which refuses UPDATE, DELETE and TRUNCATE")


def test_an_entry_that_cannot_be_read_stops_whoever_reads(journal: Journal, owner: psycopg.Connection[Any]) -> None:
    """Nobody decides anything on a broken trail."""
    for item in story():
        journal.append(item)
    tamper(owner, "UPDATE okto_change.entry SET content = 'x' WHERE number = 2")
    with pytest.raises(JournalBroken, match="entry 2 cannot be read") as caught:
        lifecycle.replay(journal.entries())
    assert "audit verify" in str(caught.value.hint)


def test_a_lost_connection_is_a_broken_journal(journal: Journal, owner: psycopg.Connection[Any]) -> None:
    """The runner hears of it before it does anything."""
    journal.append(story()[0])
    owner.execute("SELECT pg_terminate_backend(%s)", (journal._session.backend_pid,))
    with pytest.raises(JournalBroken, match="cannot be written") as caught:
        journal.append(story()[1])
    assert "what it tells of was not done" in caught.value.state
    assert caught.value.exit_code == 7


def test_a_missing_privilege_is_a_broken_journal(journal: Journal) -> None:
    """A role that may not write there is told so, and the journal goes on when it may."""
    journal._session.run("SET ROLE pg_monitor")
    with pytest.raises(JournalBroken, match="permission denied"):
        journal.append(story()[0])
    journal._session.run("RESET ROLE")
    journal.append(story()[0])


def test_a_journal_that_is_not_installed_is_a_broken_journal(database: str) -> None:
    """A clear error, not a guess."""
    with session.connect("ledger", database) as opened, pytest.raises(JournalBroken, match="does not exist"):
        Journal(opened, actor="ana").append(story()[0])


def test_an_append_does_not_wait_for_ever(
    journal: Journal, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds the journal's lock costs seconds, not the night."""
    monkeypatch.setattr(store, "WAIT", Timeouts(lock=100, statement=1_000))
    with owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(8028638781570183029)")
        with pytest.raises(JournalBroken, match="lock timeout"):
            journal.append(story()[0])
    journal.append(story()[0])


def test_the_journal_demands_a_session_of_its_own(journal: Journal) -> None:
    """An append inside the run's transaction would vanish with it."""
    journal._session.begin()
    with pytest.raises(ValueError, match="session of its own"):
        journal.append(story()[0])
    journal._session.rollback()


def test_every_column_of_the_journal_has_a_comment(owner: psycopg.Connection[Any]) -> None:
    """Whoever finds the table can read what it is."""
    missing = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'okto_change.entry'::regclass AND attnum >= 0"
        " AND col_description(attrelid, attnum) IS NULL"
    ).fetchall()
    assert missing == []


def test_a_database_where_nothing_ever_ran_has_an_empty_journal(session: Session) -> None:
    """Reading it is no error, and verifying it finds nothing wrong."""
    journal = Journal(session, actor="ana")
    assert list(journal.entries()) == []
    report = journal.report("production")
    assert (report.problems, report.entries, report.head) == ((), 0, None)


def test_a_journal_that_was_dropped_is_a_problem(journal: Journal, owner: psycopg.Connection[Any]) -> None:
    """The rest of the schema tells that it was there."""
    journal.append(story()[0])
    owner.execute("DROP TABLE okto_change.entry")
    assert journal.report("").problems == ("table okto_change.entry is gone: the journal was dropped",)


def test_a_run_that_a_target_knows_and_no_entry_tells_of_is_a_problem(journal: Journal) -> None:
    """State rows in targets outlive a journal that was made anew."""
    journal.append(story()[0])
    assert journal.report("production", recorded={"r1": "ledger"}).problems == ()
    problems = journal.report("production", recorded={"r1": "ledger", "r0": "second"}).problems
    assert problems == ("no entry tells of run r0, which second knows",)
