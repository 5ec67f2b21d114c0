"""Two at once, and locks that others hold: one waits or is told who works there; what can be tried again is, and is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest

from okto_change.database import turns
from okto_change.errors import Refused
from okto_change.execution import transactions
from okto_change.model import Event, EventKind, Outcome, Result
from okto_change.report.verdict import outcome_code
from tests.plugins.journey import EDIT, FIRST, PAY, Bank

OTHER = "2026-11-22-another-change"
QUICK = FIRST.replace("touches", "timeouts: {lock: 100ms}, touches")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait shorter than a person would."""
    monkeypatch.setattr(turns, "WAIT", 0.2)
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.02)


def at(bank: Bank, kind: EventKind, act: Callable[[], object]) -> Callable[[Event], None]:
    """Return a watcher that acts once, when the run gets to ``kind``."""

    def watch(event: Event) -> None:
        bank.journey.events.append(event)
        if event.kind is kind and bank.journey.kinds.count(kind.value) == 1:
            act()

    return watch


@contextmanager
def holding(bank: Bank, *statements: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Give a connection of somebody else's with an open transaction; it is rolled back unless the body commits it."""
    with psycopg.connect(bank.ledger) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        yield connection
        connection.rollback()


def wait_for_a_waiter(bank: Bank) -> None:
    """Wait until somebody in the ledger waits for a lock."""
    deadline = time.monotonic() + 60
    waiter = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while not bank.sql(waiter):
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)


# ----------------------------------------------------------------------------------- two at once


@pytest.mark.parametrize("command", ["apply", "rollback"])
@pytest.mark.parametrize("moment", [EventKind.STATEMENT_DONE, EventKind.COMMITTED], ids=["inside", "between units"])
def test_a_second_terminal_is_told_who_works_on_the_change(bank: Bank, moment: EventKind, command: str) -> None:
    """Inside the first one's transaction and between its units: refused with the process that has the turn; one applies."""
    bank.plan(FIRST + EDIT)
    refused: list[Refused] = []

    def second() -> None:
        with pytest.raises(Refused, match="another command works on") as caught:
            getattr(bank.journey, command)()
        refused.append(caught.value)

    assert bank.journey.apply(at(bank, moment, second)).result is Result.DONE
    assert "process" in refused[0].message and "since" in refused[0].message and refused[0].exit_code == 1
    assert bank.journey.kinds.count("run started") == 1
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def test_two_at_once_end_with_exactly_one_applied(bank: Bank) -> None:
    """Two threads with connections of their own apply the same change: one does it, the other is told."""
    bank.plan(FIRST + EDIT)

    def one(_: int) -> Outcome | Refused:
        try:
            return bank.journey.apply(lambda event: time.sleep(0.05))
        except Refused as refused:
            return refused

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(one, range(2)))
    results = sorted(end.result.value if isinstance(end, Outcome) else "refused" for end in ends)
    assert results in (["already applied", "done"], ["done", "refused"]), ends
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(101,)]


def test_another_change_is_told_which_run_holds_the_target(bank: Bank) -> None:
    """Different changes have different turns; the target itself is held by one run, and the other one is told which."""
    bank.plan(FIRST)
    bank.journey.write(FIRST, {"pay.sql": PAY}, change=OTHER)
    told: list[Outcome] = []
    first = bank.journey.apply(
        at(bank, EventKind.STATEMENT_DONE, lambda: told.append(bank.journey.apply(change=OTHER)))
    )
    assert first.result is Result.DONE
    assert (told[0].result, outcome_code(told[0]), told[0].state) == (Result.REFUSED, 1, "nothing was changed")
    assert f"ledger is held by run {first.run}" in told[0].summary
    assert bank.journey.apply(change=OTHER).result is Result.DONE


def test_a_rehearsal_does_not_disturb_a_running_apply(bank: Bank) -> None:
    """It is refused with the run that holds the target, and leaves no report behind."""
    bank.plan(FIRST)

    def rehearse() -> None:
        with pytest.raises(Refused, match="ledger is held by run"):
            bank.journey.dry_run()

    assert bank.journey.apply(at(bank, EventKind.STATEMENT_DONE, rehearse)).result is Result.DONE
    assert not list(bank.journey.git.path.glob("changes/*/dryruns/*"))


def test_a_run_that_has_committed_something_waits_for_a_target_that_another_run_holds(bank: Bank) -> None:
    """Its second unit does not give up at once, which would undo the first."""
    steps = FIRST + EDIT + FIRST.replace("name: pay", "name: pay again")
    bank.plan(steps)
    release = threading.Event()

    def hold() -> None:
        with holding(bank, "LOCK TABLE okto_change.target IN EXCLUSIVE MODE"):
            release.wait(0.4)

    thread = threading.Thread(target=hold)
    assert bank.journey.apply(at(bank, EventKind.EDITING, thread.start)).result is Result.DONE
    thread.join()
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(102,)]


# ----------------------------------------------------------------------------------- tried again


def test_a_lock_that_is_not_given_is_tried_for_five_times_and_told(bank: Bank) -> None:
    """Each attempt is announced and journaled; then it is rolled back, exit code 4."""
    bank.plan(QUICK)
    with holding(bank, "UPDATE accounts SET note = 'mine' WHERE id = 1"):
        outcome = bank.journey.apply()
    assert (outcome.result, outcome_code(outcome)) == (Result.ROLLED_BACK, 4)
    assert "lock timeout" in outcome.summary and "(tried 5 times)" in outcome.summary
    assert "pg_locks" in str(outcome.hint) and bank.unchanged()
    assert outcome.run is not None
    assert bank.journey.written(outcome.run).count("retrying") == 4


def test_a_lock_that_is_given_back_in_time_is_waited_for(bank: Bank) -> None:
    """The change is applied once, after the attempts that it took."""
    bank.plan(QUICK)
    with holding(bank, "UPDATE accounts SET note = note WHERE id = 1") as other:
        done = bank.journey.apply(at(bank, EventKind.RETRYING, other.rollback))
    assert done.result is Result.DONE and bank.journey.kinds.count("retrying") == 1
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(101,)]


def test_a_row_that_somebody_changed_meanwhile_is_a_serialization_failure_and_tried_again(bank: Bank) -> None:
    """The second attempt sees the row as it is now."""
    bank.plan(FIRST)
    with holding(bank, "UPDATE accounts SET note = 'mine' WHERE id = 1") as other:

        def commit() -> None:
            wait_for_a_waiter(bank)
            other.commit()

        thread = threading.Thread(target=commit)
        thread.start()
        done = bank.journey.apply()
        thread.join()
    assert done.result is Result.DONE
    reasons = [str(event.data["reason"]) for event in bank.journey.events if event.kind is EventKind.RETRYING]
    assert len(reasons) == 1 and "could not serialize" in reasons[0]
    assert bank.sql("SELECT balance, note FROM accounts WHERE id = 1") == [(101, "mine")]


def test_a_deadlock_is_tried_again(bank: Bank) -> None:
    """The server ends our side of it; when the other side is through, the change is applied."""
    bank.plan(FIRST)
    name = psycopg.conninfo.conninfo_to_dict(bank.ledger)["dbname"]
    bank.sql(f"ALTER DATABASE {name} SET deadlock_timeout = '200ms'")

    def cross() -> None:
        with holding(bank, "SET deadlock_timeout = '1min'", "UPDATE accounts SET note = note WHERE id = 2") as other:
            ready.set()
            wait_for_a_waiter(bank)
            other.execute("UPDATE accounts SET note = note WHERE id = 1")

    ready = threading.Event()
    thread = threading.Thread(target=cross)
    thread.start()
    ready.wait(5)
    done = bank.journey.apply()
    thread.join()
    assert done.result is Result.DONE
    reasons = [str(event.data["reason"]) for event in bank.journey.events if event.kind is EventKind.RETRYING]
    assert reasons == ["deadlock detected"] or "deadlock detected" in reasons[0]


def test_a_statement_that_takes_too_long_is_not_tried_again(bank: Bank) -> None:
    """The same would happen again: rolled back at once, with the limit to change."""
    bank.plan(FIRST.replace("touches", "timeouts: {statement: 200ms}, touches"), pay=f"{PAY}SELECT pg_sleep(5);\n")
    outcome = bank.journey.apply()
    assert outcome.result is Result.ROLLED_BACK and "statement timeout" in outcome.summary
    assert "timeouts: {statement" in str(outcome.hint) and "retrying" not in bank.journey.kinds
    assert bank.unchanged()


def test_a_rollback_waits_for_a_writer_and_then_fails_cleanly_or_names_the_conflict(bank: Bank) -> None:
    """While the other's write is open: tried five times, nothing undone. Once it is committed: a conflict that names the row."""
    bank.plan(QUICK)
    assert bank.journey.apply().result is Result.DONE
    after = bank.state()
    with holding(bank, "UPDATE accounts SET note = 'mine' WHERE id = 1") as other:
        outcome = bank.journey.rollback()
        assert (outcome.result, outcome_code(outcome, undo=True)) == (Result.ROLLED_BACK, 4)
        assert outcome.state == "the undo was rolled back; the change still stands as before"
        assert "(tried 5 times)" in outcome.summary and bank.state() == after
        assert bank.journey.status().state == "applied"
        other.commit()
    outcome = bank.journey.rollback()
    assert (outcome.result, outcome.state) == (Result.CONFLICT, "nothing was changed")
    assert len(outcome.conflicts) == 1 and "accounts" in outcome.conflicts[0] and "id" in outcome.conflicts[0]
