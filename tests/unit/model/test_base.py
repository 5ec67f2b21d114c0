"""Domain types behave as dataclasses do, though their code is written late."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field, fields, is_dataclass, replace
from typing import Any

import pytest

from okto_change.model.base import Where, record, type_


@type_
class Thing:
    """Something with a default of each kind."""

    name: str
    size: int = 3
    parts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Judge what was given."""
        if self.size < 0:
            raise ValueError("too small")


@record
class Pair:
    """Something whose fields have an order."""

    left: int
    right: int = 2


def test_a_type_takes_its_fields_by_name_and_a_record_by_position_too() -> None:
    assert (Thing(name="a").size, Thing(name="a").parts, Pair(1).right) == (3, [], 2)
    assert Thing(name="a").parts is not Thing(name="a").parts
    positional: Callable[..., object] = Thing
    with pytest.raises(TypeError):
        positional("a")
    with pytest.raises(TypeError):
        positional(name="a", colour=1)
    with pytest.raises(ValueError, match="too small"):
        Thing(name="a", size=-1)


def test_equality_hash_and_text_are_those_of_a_dataclass() -> None:
    same = [Pair(1, 2), Pair(1)]
    assert same[0] == same[1] and hash(same[0]) == hash(same[1]) and same[0] != Pair(2)
    assert Pair(1, 2).__eq__((1, 2)) is NotImplemented
    assert repr(Thing(name="a")) == "Thing(name='a', size=3, parts=[])"
    match same[0]:
        case Pair(left, right):
            assert (left, right) == (1, 2)


def test_fields_are_there_before_anything_is_made_of_them() -> None:
    @type_
    class Unused:
        """Nobody makes one."""

        a: int

    assert [one.name for one in fields(Unused)] == ["a"]
    assert is_dataclass(Unused)
    assert replace(Pair(1), right=5) == Pair(1, 5)


@pytest.mark.parametrize("change", [lambda it: setattr(it, "left", 5), lambda it: delattr(it, "left")])
def test_nothing_changes_afterwards(change: Callable[[Any], None]) -> None:
    it = Pair(1)
    with pytest.raises(FrozenInstanceError):
        change(it)
    assert it.left == 1 and not hasattr(it, "__dict__")


def test_copies_are_equal() -> None:
    place = Where(file="plan.yaml", line=3)
    assert copy.deepcopy(place) == place and str(place) == "plan.yaml:3"
