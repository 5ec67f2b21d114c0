"""Taking back: again and again, twice, never run, and where somebody worked on the same rows and keys since."""

from __future__ import annotations

import pytest

from okto_change.errors import Refused, UsageError
from okto_change.model import EventKind, Result
from okto_change.report.verdict import outcome_code
from tests.plugins.journey import EDIT, FIRST, STEPS, Bank


def test_apply_and_rollback_ten_times_leave_everything_as_it_was(bank: Bank) -> None:
    """Each time the same rows and keys, a run of its own, and a journal whose chain holds."""
    bank.plan(FIRST + EDIT)
    runs = set()
    for _ in range(10):
        done = bank.journey.apply()
        assert done.result is Result.DONE and not bank.unchanged()
        assert bank.journey.rollback().result is Result.DONE
        assert bank.unchanged()
        runs.add(done.run)
    assert len(runs) == 10 and bank.journey.status().state == "undone"
    assert len({entry.event.run for entry in bank.journey.journal()}) == 20


def test_a_second_rollback_and_one_of_a_change_never_run_find_nothing(bank: Bank) -> None:
    """Exit code 0, nothing changed, no run begun."""
    bank.plan(FIRST)
    never = bank.journey.rollback()
    assert (never.result, never.run, never.state) == (Result.NOTHING_TO_UNDO, None, "nothing was changed")
    assert outcome_code(never, undo=True) == 0 and bank.journey.journal() == ()
    assert bank.journey.apply().result is Result.DONE
    assert bank.journey.rollback().result is Result.DONE
    entries = len(bank.journey.journal())
    assert bank.journey.rollback().result is Result.NOTHING_TO_UNDO
    assert bank.unchanged() and len(bank.journey.journal()) == entries


def test_a_run_that_ended_cannot_be_resumed_and_neither_can_an_undo(bank: Bank) -> None:
    """The state that the run is in is told, and the command that shows more."""
    bank.plan(FIRST)
    done, back = bank.journey.apply(), bank.journey.rollback()
    with pytest.raises(Refused, match=f"nothing to resume; run {back.run} has taken it back since"):
        bank.journey.resume(str(done.run))
    for run, state in ((done.run, "applied"), (back.run, "undone")):
        assert run is not None
        with pytest.raises(Refused, match=f"run {run} is {state}, there is nothing to resume") as caught:
            bank.journey.resume(run)
        assert "okto-change status" in str(caught.value.hint)
    with pytest.raises(UsageError):
        bank.journey.resume("no-such-run")


def test_a_row_that_somebody_changed_since_stops_the_undo_and_only_clean_leaves_it(bank: Bank) -> None:
    """The row is named and nothing is changed, in no unit; --only-clean undoes the others and exits with 6 as well."""
    bank.plan(STEPS)
    assert bank.journey.apply().result is Result.DONE
    bank.sql("UPDATE accounts SET balance = 7 WHERE id = 2")
    meanwhile = bank.state()
    back = bank.journey.rollback()
    assert (back.result, back.state, outcome_code(back, undo=True)) == (Result.CONFLICT, "nothing was changed", 6)
    assert len(back.conflicts) == 1 and "public.accounts (id=2)" in back.conflicts[0], back.conflicts
    assert "--only-clean" in str(back.hint) and bank.state() == meanwhile
    assert bank.journey.status().state == "conflict" and "stands committed" in str(bank.journey.status().detail)
    assert [event.kind for event in bank.journey.events if event.kind is EventKind.CONFLICT] != []
    rest = bank.journey.rollback(only_clean=True)
    assert (rest.result, outcome_code(rest, undo=True)) == (Result.CONFLICT, 6)
    assert rest.state == "the rows and keys named were left as they are; the rest is undone"
    assert len(rest.conflicts) == 1 and "id=2" in rest.conflicts[0]
    assert bank.sql("SELECT balance FROM accounts WHERE id <= 2 ORDER BY id") == [(100,), (7,)]
    assert bank.file.read_bytes() == bank.before[2]
    again = bank.journey.rollback()
    assert (
        again.result is Result.CONFLICT and "id=2" in again.conflicts[0] and bank.journey.status().state == "conflict"
    )
    bank.sql("UPDATE accounts SET balance = 201 WHERE id = 2")
    assert bank.journey.rollback().result is Result.CONFLICT, "written by somebody else, with the same value"


def test_a_key_that_somebody_changed_since_stops_the_undo_and_their_other_edits_survive(bank: Bank) -> None:
    """The key is named; an edit elsewhere in the file is no conflict and stays when the undo runs."""
    bank.plan(FIRST + EDIT)
    assert bank.journey.apply().result is Result.DONE
    bank.file.write_text(bank.file.read_text().replace("8000", "9000").replace("retries: 2", "retries: 5"))
    meanwhile = bank.state()
    back = bank.journey.rollback()
    assert (back.result, back.state) == (Result.CONFLICT, "nothing was changed")
    assert "timeout_ms" in back.conflicts[0] and "9000" in back.conflicts[0], back.conflicts
    assert bank.state() == meanwhile
    bank.file.write_text(bank.file.read_text().replace("9000", "8000"))
    assert bank.journey.rollback().result is Result.DONE
    assert bank.file.read_text() == bank.before[2].decode().replace("retries: 2", "retries: 5")


def test_a_key_in_conflict_is_left_by_only_clean_and_the_rows_are_undone(bank: Bank) -> None:
    """Nothing overwrites what a person wrote."""
    bank.plan(FIRST + EDIT)
    assert bank.journey.apply().result is Result.DONE
    bank.file.write_text(bank.file.read_text().replace("8000", "9000"))
    back = bank.journey.rollback(only_clean=True)
    assert back.result is Result.CONFLICT and "timeout_ms" in back.conflicts[0]
    assert "9000" in bank.file.read_text()
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(100,)]


def test_a_file_that_was_changed_after_the_dry_run_is_not_edited(bank: Bank) -> None:
    """What people reviewed is a diff of that content: the run stops before the file, and takes the rows back."""
    bank.plan(FIRST + EDIT)
    bank.journey.dry_run()
    bank.journey.git.commit("Rehearsed")

    def somebody(event: object) -> None:
        if getattr(event, "kind", None) is EventKind.COMMITTED:
            bank.file.write_text("acquirers: {north: {timeout_ms: 1}}\n")

    outcome = bank.journey.apply(somebody)
    assert (outcome.result, outcome_code(outcome)) == (Result.UNDONE, 5)
    assert "somebody changed it since the dry run" in outcome.summary and "dry-run again" in str(outcome.hint)
    assert bank.file.read_text() == "acquirers: {north: {timeout_ms: 1}}\n"
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(100,)]


def test_a_row_that_vanished_or_came_back_is_a_conflict_too(bank: Bank) -> None:
    """A deleted row is not put back silently, an inserted key is not overwritten."""
    pay = "DELETE FROM accounts WHERE id = 5;\nUPDATE accounts SET note = 'x' WHERE id = 1;\n"
    bank.plan(FIRST.replace("rows: 2", "rows: [1, 1]"), pay=pay)
    assert bank.journey.apply().result is Result.DONE
    bank.sql("INSERT INTO accounts VALUES (5, 1, 'new'); DELETE FROM accounts WHERE id = 1")
    meanwhile = bank.state()
    back = bank.journey.rollback()
    assert back.result is Result.CONFLICT and bank.state() == meanwhile
    assert {"id=1" in line or "id=5" in line for line in back.conflicts} == {True} and len(back.conflicts) == 2
