"""Targets that are connected ahead: once, told what went wrong when asked, and closed with the others."""

from __future__ import annotations

from typing import cast

import pytest

from okto_change.database.session import Session
from okto_change.errors import ConnectionFailed
from okto_change.execution.targets import Targets


class Open:
    """Stands for an open session."""

    closed = False

    def close(self) -> None:
        """Be closed."""
        self.closed = True


def test_a_target_that_was_begun_is_connected_once() -> None:
    made: list[Open] = []

    def opener() -> Session:
        made.append(Open())
        return cast(Session, made[-1])

    with Targets({"ledger": opener}, {}) as targets:
        targets.begin(["ledger", "routing"])
        assert targets.session("ledger") is targets.session("ledger")
        assert len(made) == 1
    assert made[0].closed


def test_what_went_wrong_is_raised_when_the_target_is_asked_for_and_then_it_is_tried_again() -> None:
    answers: list[Session | ConnectionFailed] = [ConnectionFailed("down"), cast(Session, Open())]

    def opener() -> Session:
        answer = answers.pop(0)
        if isinstance(answer, ConnectionFailed):
            raise answer
        return answer

    with Targets({"ledger": opener}, {}) as targets:
        targets.begin(["ledger"])
        with pytest.raises(ConnectionFailed, match="down"):
            targets.session("ledger")
        assert isinstance(targets.session("ledger"), Open)


def test_one_that_nobody_asked_for_is_closed_too() -> None:
    opened = Open()
    targets = Targets({"ledger": lambda: cast(Session, opened)}, {})
    targets.begin(["ledger"])
    targets.close()
    assert opened.closed
