"""The installed command is interrupted, killed or started twice; it says what state things are in, and that is the state."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from okto_change.demo.stage import installed_command
from okto_change.errors import Stuck
from okto_change.model import Event, EventKind, Result
from tests.plugins.journey import CHANGE, EDIT, FIRST, LAST, PAY, STEPS, Bank

Process = subprocess.Popen[str]
ASLEEP = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"


@contextmanager
def started(bank: Bank, command: str) -> Iterator[Process]:
    """Start ``okto-change COMMAND`` on the change; it is killed at the end if it still runs."""
    with subprocess.Popen(
        [*installed_command(), command, CHANGE, "--env", "sandbox"],
        cwd=bank.journey.git.path,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_during_a_long_statement_rolls_it_back_and_says_so(bank: Bank, number: signal.Signals) -> None:
    """Ctrl-C, a polite kill and a closed terminal: exit code 4 at once, nothing changed, and the journal has the end."""
    bank.plan(FIRST, pay=f"{PAY}SELECT pg_sleep(60);\n")
    with started(bank, "apply") as process:
        wait_for(lambda: bank.sql(ASLEEP))
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 4, out + err
    assert f"interrupted by {number.name}" in out and "rolled back; nothing was changed" in out
    assert bank.unchanged() and bank.sql(ASLEEP) == []
    ends = [entry.event for entry in bank.journey.journal()][-2:]
    assert [event.kind for event in ends] == [EventKind.ROLLED_BACK, EventKind.RUN_FINISHED]
    assert ends[0].data["reason"] == f"interrupted by {number.name}"
    assert bank.journey.status().state == "rolled back"


def test_a_signal_in_a_later_unit_takes_back_what_was_committed_and_tells_it(bank: Bank) -> None:
    """Exit code 5; the units are named."""
    bank.plan(STEPS, book=f"{PAY}SELECT pg_sleep(60);\n")
    with started(bank, "apply") as process:
        wait_for(lambda: bank.sql(ASLEEP, bank.second))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 5, out + err
    assert "'pay', 'wait longer' had been committed and is undone again" in out
    assert bank.unchanged() and bank.journey.status().state == "undone"


def test_a_killed_process_whose_statement_still_runs_is_not_overtaken(bank: Bank) -> None:
    """The server works on: until it is through, the next apply is told which run holds the target; then it runs."""
    bank.sql("INSERT INTO audit VALUES (1)")
    bank.plan(FIRST, pay=f"{PAY}SELECT pg_sleep(90 * count(*)) FROM audit;\n")
    with started(bank, "apply") as process:
        wait_for(lambda: bank.sql(ASLEEP))
        process.kill()
        process.communicate(timeout=60)
    refused = bank.journey.apply()
    assert (refused.result, refused.state) == (Result.REFUSED, "nothing was changed"), refused
    assert "ledger is held by run" in refused.summary and bank.unchanged()
    bank.sql("DELETE FROM audit")
    bank.sql(f"SELECT pg_cancel_backend(pid) FROM ({ASLEEP}) AS asleep")
    wait_for(lambda: not bank.sql(ASLEEP))
    done = bank.journey.apply()
    assert done.result is Result.DONE and bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(101,)]


def test_two_terminals_at_once_end_with_exactly_one_applied(bank: Bank) -> None:
    """The second is told who works on the change, or that it is applied already."""
    bank.plan(FIRST + EDIT, pay=f"{PAY}SELECT pg_sleep(0.5);\n")
    with started(bank, "apply") as one, started(bank, "apply") as other:
        said = [process.communicate(timeout=60) for process in (one, other)]
    codes = sorted((one.returncode, other.returncode))
    assert codes in ([0, 0], [0, 1]), said
    told = "".join(out + err for out, err in said)
    assert "another command works on" in told or "is applied in sandbox already" in told
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(101,)]
    assert [entry.event.kind.value for entry in bank.journey.journal()].count("run started") == 1


def test_progress_that_nobody_reads_stops_nothing(bank: Bank) -> None:
    """The reader of stderr is gone: the change is applied all the same, exit code 0."""
    bank.plan(FIRST + EDIT)
    with started(bank, "apply") as process:
        assert process.stderr is not None and process.stdout is not None
        process.stderr.close()
        out = process.stdout.read()
    assert process.returncode == 0 and "DONE" in out, out
    assert bank.journey.status().state == "applied"


# ----------------------------------------------------------------------------------- where a signal must wait


def signalling(at: EventKind, *, times: int = 1) -> Callable[[Event], None]:
    """Return a watcher that sends this very process SIGTERM when the run first gets to ``at``."""
    left = [times]

    def watch(event: Event) -> None:
        while event.kind is at and left[0]:
            left[0] -= 1
            os.kill(os.getpid(), signal.SIGTERM)

    return watch


@pytest.mark.parametrize("at", [EventKind.COMMITTING, EventKind.COMMITTED, EventKind.EDITING, EventKind.RUN_FINISHED])
def test_a_signal_does_not_tear_a_commit_or_a_file_swap_apart(bank: Bank, at: EventKind) -> None:
    """It waits; when nothing follows that could be rolled back, the change is applied and says so."""
    bank.plan(EDIT if at is EventKind.EDITING else FIRST)
    done = bank.journey.apply(signalling(at))
    assert done.result is Result.DONE and not bank.unchanged()
    assert bank.journey.status().state == "applied"
    assert bank.journey.rollback(signalling(EventKind.UNDO_COMMITTING)).result is Result.DONE and bank.unchanged()


def test_a_signal_that_waited_is_heard_before_the_next_transaction(bank: Bank) -> None:
    """It came while the first unit committed: the next one does not run, the first is taken back."""
    bank.plan(FIRST + LAST)
    outcome = bank.journey.apply(signalling(EventKind.COMMITTING))
    assert outcome.result is Result.UNDONE and outcome.summary == "interrupted by SIGTERM", outcome
    assert bank.unchanged()


def test_a_second_signal_while_the_first_waits_stops_at_once_and_promises_nothing(bank: Bank) -> None:
    """What is announced may or may not have happened, the next command finds out; here it was rolled back."""
    bank.plan(FIRST)
    with pytest.raises(Stuck, match="interrupted again") as caught:
        bank.journey.apply(signalling(EventKind.COMMITTING, times=2))
    assert "may or may not have happened; before that nothing was committed" in caught.value.state
    assert "okto-change status" in str(caught.value.hint) and bank.unchanged()
    assert bank.journey.apply().result is Result.DONE


def test_a_signal_while_a_run_is_taken_back_leaves_a_state_that_is_told(bank: Bank) -> None:
    """The second interrupt stops the undo: stuck, with what stands; rollback finishes it later."""
    bank.plan(FIRST + LAST, book="UPDATE accounts SET balance = -1;\n")
    outcome = bank.journey.apply(signalling(EventKind.UNDO_STARTED))
    assert outcome.result is Result.STUCK and "accounts_balance_check" in outcome.summary
    assert "'pay' is committed and stands; undoing it failed: interrupted by SIGTERM" in outcome.state
    with pytest.raises(Stuck, match="broke off or got stuck"):
        bank.journey.apply()
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()
