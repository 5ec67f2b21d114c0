"""Attempts at a transaction end: with its result, or with a refusal that says how often it was tried and why it failed."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from okto_change.database.session import Session
from okto_change.errors import DatabaseError, StepFailed, Unaccounted
from okto_change.execution import images, interrupts, transactions
from okto_change.execution.transactions import ATTEMPTS, LAST, Attempt, NotCovered
from okto_change.model import Event

BUSY = DatabaseError("deadlock detected", sqlstate="40P01")
LARGE = images.Unproven("1", "more rows than were expected", large=True)
UNPROVEN = images.Unproven("1", "a trigger wrote other rows")


def by_row() -> NotCovered:
    """A statement's table whose rows must be imaged one by one."""
    return NotCovered("ledger", frozenset({"public.t"}), unit=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause nowhere."""

    @contextmanager
    def allowed() -> Iterator[None]:
        yield

    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0)
    monkeypatch.setattr(interrupts, "allowed", allowed)


class Tried:
    """A unit whose attempts go wrong one after the other, as told; a success when nothing is left to go wrong."""

    def __init__(self, *wrong: Exception) -> None:
        self.wrong = list(wrong)
        self.attempts = self.rolled_back = 0
        session: Any = SimpleNamespace(rollback=self._rollback)
        self.job: Any = SimpleNamespace(
            targets=SimpleNamespace(ready=lambda _: session),
            coverage={},
            by_row=set(),
            large=set(),
            unproven={},
            seen=SimpleNamespace(captures={}),
            event=lambda kind, *_, **data: data["reason"],
        )
        self.unit: Any = SimpleNamespace(number=1, name="the step", target="ledger", chunk=None)

    def _rollback(self) -> None:
        self.rolled_back += 1

    def _attempt(self, _: Session) -> Generator[Event, None, str]:
        self.attempts += 1
        yield from ()
        if self.wrong:
            raise self.wrong.pop(0)
        return "done"

    def run(self) -> list[Event]:
        """Return the events of all attempts."""
        attempt: Attempt[str] = self._attempt
        return list(transactions.retried(self.job, self.unit, attempt))


def test_every_other_way_of_capturing_is_tried_once_also_after_others_stood_in_the_way() -> None:
    tried = Tried(*[BUSY] * (ATTEMPTS - 1), LARGE, UNPROVEN, by_row())
    assert len(tried.run()) == LAST - 1
    assert tried.attempts == LAST
    assert tried.rolled_back == LAST - 1


def test_images_that_no_attempt_can_prove_are_refused_in_words() -> None:
    tried = Tried(*[UNPROVEN] * (LAST + 5))
    with pytest.raises(Unaccounted, match=f"the step: .* in {LAST} attempts: a trigger wrote other rows") as refused:
        tried.run()
    assert refused.value.state == "rolled back; nothing was changed"
    assert tried.attempts == tried.rolled_back == LAST


def test_a_table_that_capture_misses_at_the_last_attempt_is_refused_in_words() -> None:
    tried = Tried(*[UNPROVEN] * (LAST - 1), by_row())
    with pytest.raises(Unaccounted, match=f"in {LAST} attempts: rows also changed in public.t"):
        tried.run()


def test_others_that_stay_in_the_way_stop_the_unit_after_five_attempts() -> None:
    tried = Tried(*[BUSY] * LAST)
    with pytest.raises(StepFailed, match=rf"deadlock detected \(tried {ATTEMPTS} times\)"):
        tried.run()
    assert tried.attempts == ATTEMPTS
