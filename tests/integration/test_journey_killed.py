"""The runner is killed with SIGKILL at every moment that matters; the next command finds out, says so, and nothing happens twice."""

from __future__ import annotations

import pytest

from okto_change import pipeline
from okto_change.errors import Refused, Stuck, UsageError
from okto_change.model import Concern, Result
from tests.plugins.journey import EDIT, FIRST, STEPS, Bank


def paid(bank: Bank) -> int:
    """Return how often the first account was paid, on the ledger."""
    return int(bank.sql("SELECT balance - 100 FROM accounts WHERE id = 1")[0][0])


def settled(bank: Bank) -> list[str]:
    """Return the fates that later commands wrote into the journal."""
    return [str(e.event.data["fate"]) for e in bank.journey.journal() if e.event.kind.value == "settled"]


BEFORE_COMMIT = {
    "before anything": ("run started", "before"),
    "after the start was written": ("run started", "after"),
    "inside the transaction": ("statement done", "after"),
    "between the announcement and COMMIT": ("committing", "after"),
}


def test_an_apply_that_is_killed_before_its_commit_left_nothing_and_the_next_one_runs(bank: Bank) -> None:
    """Killed four times in a row, each time a bit later: nothing is changed; the fifth apply applies it, once."""
    bank.plan(FIRST)
    for kind, moment in BEFORE_COMMIT.values():
        bank.journey.killed("apply", kind, moment)
        assert bank.unchanged() and paid(bank) == 0
    assert bank.journey.apply().result is Result.DONE
    assert paid(bank) == 1 and settled(bank) == ["aborted"]
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


@pytest.mark.parametrize(
    ("kind", "fates"),
    [
        pytest.param("committed", ["committed"], id="right after COMMIT"),
        pytest.param("run finished", [], id="before the end was written"),
    ],
)
def test_an_apply_that_is_killed_after_its_commit_is_not_run_again(bank: Bank, kind: str, fates: list[str]) -> None:
    """The next apply says what stands, and which commands go on or take it back."""
    bank.plan(FIRST)
    bank.journey.killed("apply", kind, "before")
    assert paid(bank) == 1
    with pytest.raises(Stuck, match="broke off") as caught:
        bank.journey.apply()
    assert "parts that stand committed: 1" in caught.value.state and "resume" in str(caught.value.hint)
    assert paid(bank) == 1 and settled(bank) == fates
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def test_status_after_a_kill_says_what_stands_and_what_to_do(bank: Bank) -> None:
    """Killed inside, it is rolled back; killed in doubt, status asks for nothing but says which command finds out."""
    bank.plan(FIRST)
    bank.journey.killed("apply", "statement done", "after")
    assert bank.journey.status().state == "rolled back (no end was written)"
    bank.journey.killed("apply", "committed", "before")
    status = bank.journey.status()
    assert status.state.startswith("committing") and "okto-change apply" in str(status.next)
    assert status.concern is Concern.STUCK
    with pytest.raises(Stuck):
        bank.journey.apply()
    status = bank.journey.status()
    assert status.state == "partly applied (no end was written)" and "part 1 of run" in str(status.detail)
    assert "okto-change resume" in str(status.next) and "okto-change rollback" in str(status.next)
    assert status.concern is Concern.PAUSED


def test_a_rollback_that_was_killed_before_it_did_anything_leaves_the_change_applied(bank: Bank) -> None:
    """What was rolled back is the undo; the change stands, and status says so."""
    bank.plan(FIRST)
    bank.journey.apply()
    bank.journey.killed("rollback", "undo started", "after")
    status = bank.journey.status()
    assert status.state == "applied (no end was written)" and "stands committed" in str(status.detail)
    assert "okto-change rollback" in str(status.next) and status.concern is Concern.PAUSED
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def test_a_rollback_right_after_a_kill_finds_out_by_itself(bank: Bank) -> None:
    """Whoever wants it back does not have to apply first: the COMMIT is settled, and taken back."""
    bank.plan(FIRST)
    bank.journey.killed("apply", "committing", "after")
    assert bank.journey.rollback().result is Result.NOTHING_TO_UNDO
    bank.journey.killed("apply", "committed", "before")
    assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged() and settled(bank) == ["aborted", "committed"]


@pytest.mark.parametrize(
    ("kind", "moment", "nth"),
    [
        pytest.param("committed", "after", 1, id="between the first unit and the edit"),
        pytest.param("editing", "after", 1, id="between the announcement and the file swap"),
        pytest.param("committed", "before", 2, id="right after the file swap"),
        pytest.param("committing", "after", 2, id="between the second announcement and COMMIT"),
        pytest.param("committed", "before", 3, id="right after the last COMMIT"),
        pytest.param("run finished", "before", 1, id="before the end was written"),
    ],
)
def test_resume_goes_on_at_the_first_unit_that_is_not_committed(bank: Bank, kind: str, moment: str, nth: int) -> None:
    """No unit is done twice, in the databases or in the file; afterwards the change is applied and can be taken back."""
    bank.plan(STEPS)
    bank.journey.killed("apply", kind, moment, nth=nth)
    run = str(bank.journey.status().run)
    done = bank.journey.resume(run)
    assert (done.result, done.run) == (Result.DONE, run)
    assert paid(bank) == 1
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1", bank.second) == [(101,)]
    assert bank.file.read_text().count("timeout_ms: 8000") == 1
    assert bank.journey.status().state == "applied"
    assert bank.journey.apply().result is Result.ALREADY_APPLIED
    with pytest.raises(Refused, match="nothing to resume"):
        bank.journey.resume(run)
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


@pytest.mark.parametrize(
    ("kind", "moment", "nth"),
    [
        pytest.param("undo started", "after", 1, id="before anything"),
        pytest.param("undo committing", "after", 1, id="between the announcement and COMMIT"),
        pytest.param("undone", "before", 1, id="right after the first COMMIT"),
        pytest.param("editing", "after", 1, id="between the announcement and the file swap"),
        pytest.param("undone", "before", 2, id="right after the file swap"),
        pytest.param("run finished", "before", 1, id="before the end was written"),
    ],
)
def test_a_killed_rollback_is_finished_by_the_next_rollback(bank: Bank, kind: str, moment: str, nth: int) -> None:
    """Units that are back stay back, the others follow; nothing is taken back twice."""
    bank.plan(STEPS)
    assert bank.journey.apply().result is Result.DONE
    bank.journey.killed("rollback", kind, moment, nth=nth)
    again = bank.journey.rollback()
    assert again.result is (Result.NOTHING_TO_UNDO if kind == "run finished" else Result.DONE), again
    assert bank.unchanged()
    assert bank.journey.rollback().result is Result.NOTHING_TO_UNDO
    assert bank.journey.apply().result is Result.DONE and paid(bank) == 1


def test_a_run_killed_while_it_took_its_units_back_is_not_resumed_but_rolled_back(bank: Bank) -> None:
    """Resume says so and names the command that finishes the undo."""
    bank.plan(STEPS, book="UPDATE accounts SET balance = -1;\n")
    bank.journey.killed("apply", "undo started", "after")
    run = str(bank.journey.status().run)
    with pytest.raises(Refused, match="not resumed but done again") as caught:
        bank.journey.resume(run)
    assert "okto-change rollback" in str(caught.value.hint)
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def test_a_file_that_somebody_changed_after_the_kill_is_left_to_a_person(bank: Bank) -> None:
    """Neither what was found nor what was meant: every command says that it does not know, and touches nothing."""
    bank.plan(EDIT)
    bank.journey.killed("apply", "editing", "after")
    bank.file.write_text("acquirers: {north: {timeout_ms: 1}}\n")
    for command in (bank.journey.apply, bank.journey.rollback):
        with pytest.raises(Stuck, match="somebody changed the file since"):
            command()
    assert bank.file.read_text() == "acquirers: {north: {timeout_ms: 1}}\n"


def test_a_run_that_nobody_knows_cannot_be_resumed(bank: Bank) -> None:
    """The message names the command that lists the runs."""
    bank.plan(FIRST)
    assert bank.journey.apply().result is Result.DONE
    with pytest.raises(UsageError, match="no journal knows"):
        bank.journey.resume("20261122-000000-0000")


@pytest.mark.parametrize("command", ["apply", "rollback"])
def test_triggers_that_a_killed_process_leaves_do_nothing_are_named_and_go(bank: Bank, command: str) -> None:
    """Killed after its COMMIT and before it tidied: others write as ever, `doctor` names the table, the next command tidies."""
    merge = "MERGE INTO accounts AS a USING (VALUES (1), (2)) AS v (id) ON v.id = a.id WHEN MATCHED THEN UPDATE SET note = 'paid';\n"
    bank.plan(FIRST, pay=merge)
    if command == "rollback":
        assert bank.journey.apply().result is Result.DONE
    bank.journey.killed(command, "committed" if command == "apply" else "undone", "after")
    assert bank.sql("SELECT count(*) > 0 FROM pg_trigger WHERE tgname ~ 'okto_change'") == [(True,)]
    images = bank.sql("SELECT count(*) FROM okto_change.image")
    bank.sql("UPDATE accounts SET balance = balance WHERE id = 5; DELETE FROM accounts WHERE id = 4")
    assert bank.sql("SELECT count(*) FROM okto_change.image") == images
    found = [one for one in pipeline.doctor(bank.journey.repository, "sandbox") if "capture triggers" in one.name]
    assert any(not one.ok and "public.accounts" in one.message for one in found), found
    assert bank.journey.rollback().result is (Result.DONE if command == "apply" else Result.NOTHING_TO_UNDO)
    assert bank.sql("SELECT count(*) FROM pg_trigger WHERE tgname ~ 'okto_change'") == [(0,)]
