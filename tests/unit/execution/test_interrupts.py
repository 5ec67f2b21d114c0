"""Signals while something changes: raised where a rollback answers them, held elsewhere, and never more than twice in vain."""

from __future__ import annotations

import os
import signal

import pytest

from okto_change.execution import interrupts


def press() -> None:
    """Send Ctrl-C to this process; it is delivered before this returns."""
    os.kill(os.getpid(), signal.SIGINT)


def test_one_that_has_to_wait_is_told_and_raised_at_the_next_place_that_allows_it() -> None:
    """Nothing is torn apart meanwhile."""
    told: list[str] = []
    with interrupts.listening(told.append):
        press()
        assert told == ["SIGINT"]
        with pytest.raises(KeyboardInterrupt, match="SIGINT"), interrupts.allowed():
            pytest.fail("it was due before the body")


def test_a_second_one_raises_at_once_and_so_does_every_one_after_it() -> None:
    """What answers the second may wait for a server that answers nobody: it must not take two more to get out of that."""
    told: list[str] = []
    with interrupts.listening(told.append):
        press()
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                press()
    assert told == ["SIGINT"]


def test_one_that_was_heard_leaves_the_next_one_waiting() -> None:
    """The rollback that answers the first is not torn apart by an impatient second."""
    told: list[str] = []
    with interrupts.listening(told.append):
        with pytest.raises(KeyboardInterrupt), interrupts.allowed():
            press()
        press()
        assert told == ["SIGINT"]
        with pytest.raises(KeyboardInterrupt):
            press()


def test_a_new_listener_begins_anew() -> None:
    """Whatever an earlier run was sent is over with it."""
    with interrupts.listening():
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
    told: list[str] = []
    with interrupts.listening(told.append):
        press()
    assert told == ["SIGINT"]
