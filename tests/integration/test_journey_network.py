"""Connections break where it hurts most, and the journal cannot be written: exactly once, and no commit without its entry."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import psycopg
import pytest

from okto_change.demo import server as own
from okto_change.errors import JournalBroken, OktoError
from okto_change.model import Event, EventKind, Outcome, Result
from okto_change.report.verdict import outcome_code
from tests.plugins.journey import ACCOUNTS, EDIT, FIRST, LAST, Bank, Journey
from tests.plugins.proxy import OnCommit, Proxy

REFUSE = """
CREATE FUNCTION refuse_entry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.kind = '{kind}' THEN RAISE EXCEPTION 'disk full'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse_entry BEFORE INSERT ON okto_change.entry FOR EACH ROW EXECUTE FUNCTION refuse_entry();
"""
RELENT = "DROP FUNCTION refuse_entry() CASCADE"


def paid(bank: Bank) -> int:
    """Return how often the first account was paid, on the ledger."""
    return int(bank.sql("SELECT balance - 100 FROM accounts WHERE id = 1")[0][0])


def unannounced(bank: Bank) -> list[int]:
    """Return transactions that left a state row in the ledger without an entry that announced their COMMIT."""
    announced = {e.event.data["xid"] for e in bank.journey.journal() if "xid" in e.event.data}
    rows = bank.sql("SELECT xid FROM okto_change.applied UNION SELECT undone_xid FROM okto_change.applied")
    return [xid for (xid,) in rows if xid is not None and xid not in announced]


@pytest.fixture
def far_ledger(bank: Bank, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    """Put the proxy between the run and its ledger; the journal stays within reach."""
    monkeypatch.setenv("OKTO_LEDGER_DSN", proxy.conninfo(bank.ledger))
    return proxy


def breaking(bank: Bank, proxy: Proxy, how: OnCommit) -> Callable[[Event], None]:
    """Return a watcher that breaks the first COMMIT that is announced."""

    def watch(event: Event) -> None:
        bank.journey.events.append(event)
        announced = event.kind in (EventKind.COMMITTING, EventKind.UNDO_COMMITTING)
        proxy.on_commit = how if announced else OnCommit.PASS

    return watch


@pytest.mark.parametrize("command", ["apply", "rollback"])
@pytest.mark.parametrize("how", [OnCommit.LOSE_REQUEST, OnCommit.LOSE_ANSWER, OnCommit.LATE], ids=lambda how: how.name)
def test_a_broken_commit_is_found_out_and_happens_once(
    bank: Bank, far_ledger: Proxy, how: OnCommit, command: str
) -> None:
    """A COMMIT that never arrived is told as not done; one whose answer was lost, or that came two seconds later, as done."""
    bank.plan(FIRST)
    if command == "rollback":
        assert bank.journey.apply().result is Result.DONE
    watch = breaking(bank, far_ledger, how)
    far_ledger.late = 2.0 if command == "apply" else 0.5
    started = time.monotonic()
    outcome = bank.journey.apply(watch) if command == "apply" else bank.journey.rollback(watch)
    happened = how is not OnCommit.LOSE_REQUEST
    assert outcome.result is (Result.DONE if happened else Result.ROLLED_BACK), outcome
    assert paid(bank) == (happened if command == "apply" else not happened)
    assert how is not OnCommit.LATE or time.monotonic() - started > far_ledger.late
    if not happened:
        stands = "rolled back; nothing was changed" if command == "apply" else "the change still stands as before"
        assert stands in outcome.state and "before COMMIT arrived" in outcome.summary
        _finish(bank, command)
    assert paid(bank) == (command == "apply") and unannounced(bank) == []
    assert bank.journey.status().state == ("applied" if command == "apply" else "undone")


def _finish(bank: Bank, command: str) -> None:
    again = bank.journey.apply() if command == "apply" else bank.journey.rollback()
    assert again.result is Result.DONE


def test_a_connection_that_breaks_in_a_later_unit_is_made_anew_to_undo_the_earlier_one(
    bank: Bank, far_ledger: Proxy
) -> None:
    """The ledger's connection is cut while the second database works; the run reconnects and takes the first unit back."""
    bank.plan(FIRST + LAST, book="UPDATE accounts SET balance = -1;\n")

    def watch(event: Event) -> None:
        if event.kind is EventKind.STATEMENT_STARTED and event.step == "book":
            far_ledger.cut()

    outcome = bank.journey.apply(watch)
    assert outcome.result is Result.UNDONE, outcome
    assert bank.unchanged()


def test_a_connection_that_breaks_inside_a_statement_leaves_nothing(bank: Bank, far_ledger: Proxy) -> None:
    """Before COMMIT there is nothing to find out: the server rolls back, and the outcome says so."""
    bank.plan(FIRST)
    outcome = bank.journey.apply(lambda event: far_ledger.cut() if event.kind is EventKind.STATEMENT_DONE else None)
    assert (outcome.result, outcome.state) == (Result.ROLLED_BACK, "rolled back; nothing was changed")
    assert "connection to ledger lost" in outcome.summary and bank.unchanged()


def test_a_server_that_cannot_be_asked_leaves_the_run_stuck_and_the_next_command_settles(
    bank: Bank, far_ledger: Proxy
) -> None:
    """Nobody can tell: exit code 6 and the command that finds out; when the server is back, it does, once."""
    bank.plan(FIRST)

    def watch(event: Event) -> None:
        if event.kind is EventKind.COMMITTING:
            far_ledger.on_commit, far_ledger.refusing = OnCommit.LOSE_ANSWER, True

    outcome = bank.journey.apply(watch)
    assert (outcome.result, outcome_code(outcome)) == (Result.STUCK, 6)
    assert "may or may not have arrived" in outcome.state and "okto-change status" in str(outcome.hint)
    assert paid(bank) == 1 and bank.journey.status().state == "stuck"
    far_ledger.on_commit, far_ledger.refusing = OnCommit.PASS, False
    assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged() and unannounced(bank) == []


def test_a_server_that_crashes_at_commit_and_comes_back_loses_and_doubles_nothing(
    journey: Journey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journal and ledger go down together; after the restart the next apply finds the COMMIT aborted and runs the change."""
    with own.running("auto") as server:
        monkeypatch.setenv("OKTO_LEDGER_DSN", server.conninfo())
        with psycopg.connect(server.conninfo()) as connection:
            connection.execute(ACCOUNTS.encode())
        journey.write(FIRST, {"pay.sql": "UPDATE accounts SET balance = balance + 1 WHERE id <= 2;\n"})
        with pytest.raises(JournalBroken) as caught:
            journey.apply(lambda event: _crash(event) if event.kind is EventKind.COMMITTING else None)
        assert "okto-change status" in str(caught.value.hint)
        done = _when_back(journey.apply)
        assert done.result is Result.DONE
        fates = [entry.event.data["fate"] for entry in journey.journal() if entry.event.kind is EventKind.SETTLED]
        assert fates == ["aborted"]
        with psycopg.connect(server.conninfo()) as connection:
            assert connection.execute("SELECT balance FROM accounts WHERE id = 1").fetchall() == [(101,)]


def _crash(event: Event) -> None:
    os.kill(int(event.data["pid"]), signal.SIGKILL)
    time.sleep(0.2)


def _when_back(command: Callable[[], Outcome]) -> Outcome:
    deadline = time.monotonic() + 60
    while True:
        try:
            return command()
        except OktoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


# ----------------------------------------------------------------------------------- the journal


BEFORE_COMMIT = (
    "run started",
    "check passed",
    "step started",
    "statement started",
    "statement done",
    "images kept",
    "committing",
)


def test_an_entry_that_is_refused_before_commit_rolls_the_transaction_back(bank: Bank) -> None:
    """Whichever it is, no audit, no change: exit code 7, nothing is changed, and the next apply runs as if nothing had been."""
    check = "checks: {before: [{name: five, target: ledger, statement: SELECT count(*) FROM accounts, expect: 5}]}\n"
    bank.plan(FIRST, checks=check)
    for kind in BEFORE_COMMIT:
        bank.sql(REFUSE.format(kind=kind))
        with pytest.raises(JournalBroken, match="disk full") as caught:
            bank.journey.apply()
        assert caught.value.exit_code == 7
        assert f"'{kind}'" in caught.value.state and "is not in the journal" in caught.value.state
        assert bank.unchanged() and unannounced(bank) == []
        bank.sql(RELENT)
    assert bank.journey.apply().result is Result.DONE and paid(bank) == 1


@pytest.mark.parametrize(
    ("kind", "told", "stands"),
    [
        ("committed", "what it tells of has happened", 1),
        (
            "editing",
            "what it tells of was not done, and what was not committed is rolled back; before that: committed pay",
            1,
        ),
        ("run finished", "before that: committed pay, committed wait longer", 2),
    ],
)
def test_an_entry_that_is_refused_after_a_commit_tells_what_stands(
    bank: Bank, kind: str, told: str, stands: int
) -> None:
    """Exit code 7 and the truth; afterwards rollback finds out and takes back exactly what stands."""
    bank.plan(FIRST + EDIT)
    bank.sql(REFUSE.format(kind=kind))
    with pytest.raises(JournalBroken) as caught:
        bank.journey.apply()
    assert told in caught.value.state, caught.value.state
    assert (paid(bank), b"8000" in bank.file.read_bytes()) == (1, stands == 2)
    bank.sql(RELENT)
    assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged() and unannounced(bank) == []


def test_a_journal_that_fails_while_a_failed_run_is_taken_back_does_not_hide_why_it_failed(bank: Bank) -> None:
    """The first error is told beside the journal's; what stands is named, and rollback takes it back later."""
    bank.plan(FIRST + EDIT.replace("north.timeout_ms", "nowhere.timeout_ms.deeper"))
    bank.sql(REFUSE.format(kind="undo started"))
    with pytest.raises(JournalBroken) as caught:
        bank.journey.apply()
    assert "the run itself had failed before" in str(caught.value.faults)
    assert "before that: committed pay" in caught.value.state and paid(bank) == 1
    bank.sql(RELENT)
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


@pytest.mark.parametrize("kind", [EventKind.STATEMENT_DONE, EventKind.COMMITTING])
def test_a_journal_out_of_reach_stops_the_run(
    bank: Bank, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, kind: EventKind
) -> None:
    """Its connection is cut and no new one is accepted: what is announced already happens, nothing else does."""
    bank.plan(FIRST)
    monkeypatch.setenv("OKTO_RECORDS_DSN", proxy.conninfo(bank.ledger))

    def watch(event: Event) -> None:
        if event.kind is kind:
            proxy.refusing = True
            proxy.cut()

    with pytest.raises(JournalBroken) as caught:
        bank.journey.apply(watch)
    assert caught.value.exit_code == 7 and paid(bank) == (kind is EventKind.COMMITTING)
    proxy.refusing = False
    assert unannounced(bank) == []
    if kind is EventKind.COMMITTING:
        assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged()
