"""Several targets in one plan, and every way to fail in the last of them: what was committed before is undone, last first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from okto_change.model import Event, EventKind, Outcome, Result
from okto_change.report.verdict import outcome_code
from tests.plugins.journey import EDIT, FIRST, LAST, STEPS, Bank

CHECK = '{{name: the check, target: {target}, statement: "SELECT count(*) FROM accounts WHERE balance > 100", expect: {expect}}}'


def checks(phase: str, target: str, expect: int) -> str:
    """Return the plan's checks: one that counts the accounts above 100."""
    return f"checks:\n  {phase}:\n    - {CHECK.format(target=target, expect=expect)}\n"


def meddle(bank: Bank, text: str, at: EventKind) -> Callable[[Event], None]:
    """Return a watcher that changes the ledger once, as somebody else, when the run gets to ``at``."""

    def watch(event: Event) -> None:
        bank.journey.events.append(event)
        if event.kind is at and not bank.journey.kinds[:-1].count(at.value):
            bank.sql(text)

    return watch


def undone_last_first(bank: Bank, outcome: Outcome) -> bool:
    """Whether the run took back its edit and then its first unit, told so, and left nothing."""
    units = [event.data["unit"] for event in bank.journey.events if event.kind is EventKind.UNDONE]
    said = "'pay', 'wait longer' had been committed and is undone again" in outcome.state
    return units == [2, 1] and said and outcome.result is Result.UNDONE and bank.unchanged()


def test_a_plan_over_two_databases_and_a_file_is_applied_and_taken_back(bank: Bank) -> None:
    """Each unit commits in written order; rollback undoes them last first; everything is byte-equal afterwards."""
    bank.plan()
    done = bank.journey.apply()
    assert (done.result, done.state) == (Result.DONE, "committed; every changed row and key has its image")
    assert b"timeout_ms: 8000  # raised in 2024" in bank.file.read_bytes()
    assert bank.sql("SELECT balance FROM accounts ORDER BY id LIMIT 1", bank.second) == [(101,)]
    back = bank.journey.rollback()
    assert (back.result, back.state) == (Result.DONE, "every row and key is back as it was")
    assert [e.data["unit"] for e in bank.journey.events if e.kind is EventKind.UNDONE] == [3, 2, 1]
    assert bank.unchanged()
    assert bank.journey.status().state == "undone"


@pytest.mark.parametrize(
    ("last", "told"),
    [
        pytest.param(
            "UPDATE accounts SET balance = balance - 150 WHERE id <= 2;\n", "accounts_balance_check", id="constraint"
        ),
        pytest.param(
            "UPDATE accounts SET balance = balance + 1 WHERE id <= 3;\n",
            "changed 3 rows, the plan allows 2",
            id="bound",
        ),
        pytest.param(
            "INSERT INTO audit VALUES (1); UPDATE accounts SET note = 'x' WHERE id <= 2;\n", "`touches`", id="touches"
        ),
    ],
)
def test_a_failure_in_the_last_unit_undoes_the_committed_ones(bank: Bank, last: str, told: str) -> None:
    """A statement that fails, a bound or a declaration that is broken: exit code 5, and everything is as it was."""
    steps = STEPS.replace("book.sql, rows: 2,", "book.sql, rows: [1, 2],") if "audit" in last else STEPS
    bank.plan(steps, book=last)
    outcome = bank.journey.apply()
    assert undone_last_first(bank, outcome), outcome
    assert told in outcome.summary and outcome_code(outcome) == 5
    assert bank.journey.status().state == "undone"
    assert outcome.run is not None
    assert bank.journey.written(outcome.run)[-1] == "run finished"


@pytest.mark.parametrize("phase", ["inside", "after"])
def test_a_check_that_fails_late_undoes_the_run_by_itself(bank: Bank, phase: str) -> None:
    """Inside the last transaction or after its COMMIT: the run takes back what it had committed, exit code 5."""
    bank.plan(checks=checks(phase, "second", 3))
    outcome = bank.journey.apply()
    units = [event.data["unit"] for event in bank.journey.events if event.kind is EventKind.UNDONE]
    assert (outcome.result, outcome_code(outcome)) == (Result.UNDONE, 5)
    assert units == ([2, 1] if phase == "inside" else [3, 2, 1])
    assert "'the check'" in outcome.summary and "expected 3, found 5" in outcome.summary
    assert bank.unchanged()
    assert "check failed" in bank.journey.kinds


@pytest.mark.parametrize("target", ["ledger", "second"])
def test_a_check_before_the_change_refuses_with_nothing_run(bank: Bank, target: str) -> None:
    """On the first target, in its transaction, and on a later one, before any: exit code 1, no statement started."""
    bank.plan(checks=checks("before", target, 9))
    outcome = bank.journey.apply()
    assert (outcome.result, outcome_code(outcome), outcome.state) == (Result.REFUSED, 1, "nothing was changed")
    assert "statement started" not in bank.journey.kinds and bank.unchanged()
    assert outcome.run is not None
    assert bank.journey.written(outcome.run)[-1] == "run finished"
    assert bank.journey.status().state == "refused"


@pytest.mark.parametrize(
    ("files", "check", "told"),
    [
        pytest.param({"pay": "UPDATE accounts SET note = 'x';\n"}, "", "changed 5 rows, the plan allows 2", id="rows"),
        pytest.param(
            {"pay": "WITH a AS (INSERT INTO audit VALUES (1)) UPDATE accounts SET note = 'x' WHERE id <= 2;\n"},
            "",
            "public.audit: 1 rows",
            id="touches",
        ),
        pytest.param(
            {},
            "checks:\n  invariant:\n    - {name: sum, target: ledger, statement: SELECT sum(balance) FROM accounts}\n",
            "the invariant 'sum' failed: expected 1500.00, found 1502.00",
            id="invariant",
        ),
        pytest.param(
            {}, checks("inside", "ledger", 4), "the check 'the check' failed: expected 4, found 5", id="inside"
        ),
    ],
)
def test_a_broken_promise_rolls_the_only_unit_back(bank: Bank, files: dict[str, str], check: str, told: str) -> None:
    """Rows, touches, invariant, check inside: nothing is committed, exit code 4, and the journal tells why."""
    bank.plan(FIRST, checks=check, **files)
    outcome = bank.journey.apply()
    assert (outcome.result, outcome_code(outcome)) == (Result.ROLLED_BACK, 4)
    assert outcome.state == "rolled back; nothing was changed" and bank.unchanged()
    assert told in outcome.summary + str(outcome.conflicts)
    assert outcome.run is not None
    entries = [entry.event for entry in bank.journey.journal() if entry.event.run == outcome.run]
    assert [event.kind for event in entries[-2:]] == [EventKind.ROLLED_BACK, EventKind.RUN_FINISHED]
    assert entries[-1].data["summary"] == outcome.summary and "committing" not in bank.journey.kinds


def test_a_failing_undo_does_not_hide_the_first_error(bank: Bank) -> None:
    """Somebody changes a paid account before the run fails: stuck, exit code 6, both reasons and what stands are told."""
    bank.plan(book="UPDATE accounts SET balance = -1;\n")
    watch = meddle(bank, "UPDATE accounts SET note = 'mine' WHERE id = 1", EventKind.EDITING)
    outcome = bank.journey.apply(watch)
    assert (outcome.result, outcome_code(outcome)) == (Result.STUCK, 6)
    assert "accounts_balance_check" in outcome.summary
    assert "undoing it failed" in outcome.state and "somebody changed" in outcome.state
    assert "'pay' is committed and stands, 'wait longer' is undone" in outcome.state
    assert any("id=1" in line or "id = 1" in line for line in outcome.conflicts), outcome.conflicts
    assert bank.file.read_text() == bank.before[2].decode()
    status = bank.journey.status()
    assert status.state == "stuck" and status.detail is not None and "part 1 of run" in status.detail
    rest = bank.journey.rollback(only_clean=True)
    assert rest.result is Result.CONFLICT and len(rest.conflicts) == 1
    assert bank.sql("SELECT balance, note FROM accounts WHERE id <= 2 ORDER BY id") == [(101, "mine"), (200, "opened")]


def test_a_later_unit_may_build_on_an_earlier_one_and_both_are_taken_back(bank: Bank) -> None:
    """The same rows and the same key are changed twice, with a file between: undoing sees each unit as it left things."""
    again = "  - {name: pay again, target: ledger, sql: book.sql, rows: 2, touches: [accounts]}\n"
    edit = EDIT.replace("wait longer", "wait even longer").replace("8000", "9000")
    bank.plan(FIRST + EDIT + again + edit)
    assert bank.journey.apply().result is Result.DONE
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(102,)]
    back = bank.journey.rollback()
    assert back.result is Result.DONE, back
    assert bank.unchanged()


def test_an_irreversible_unit_before_a_failure_stands_and_is_told(bank: Bank) -> None:
    """What the author called irreversible cannot be compensated: nothing is undone half, both facts are told."""
    bank.plan(
        FIRST.replace("touches", "undo: {irreversible: paid out}, touches") + LAST,
        book="UPDATE accounts SET balance = -1;\n",
    )
    outcome = bank.journey.apply()
    assert (outcome.result, outcome_code(outcome)) == (Result.STUCK, 6)
    assert "paid out" in outcome.state and "'pay' is committed and stands" in outcome.state
    assert "accounts_balance_check" in outcome.summary
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(101,)]
