"""Domain types survive the way to JSON and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from okto_change import digest
from okto_change.model import (
    AutoUndo,
    EditStep,
    Event,
    EventKind,
    RowBound,
    ScriptUndo,
    SqlStep,
    Step,
    Timeouts,
    UndoProof,
    Where,
)
from okto_change.model.base import type_
from okto_change.model.codec import decode, encode

WHERE = Where(file="changes/x/plan.yaml", line=3)


@type_
class Holder:
    """Every shape that the codec must carry."""

    steps: tuple[Step, ...]
    at: datetime
    pairs: tuple[tuple[str, Any, Any], ...]
    proof: UndoProof | None
    event: Event


def holder() -> Holder:
    """Return a value with unions, tuples, moments, enums, mappings and nulls."""
    return Holder(
        steps=(
            SqlStep(
                name="a",
                target="t",
                source="a.sql",
                sql="SELECT 1",
                rows=(RowBound(minimum=1, maximum=None),),
                touches=("t",),
                undo=ScriptUndo(source="u.sql", sql="x"),
                batch=None,
                timeouts=Timeouts(),
                where=WHERE,
            ),
            EditStep(
                name="b",
                target="r",
                file="f.yaml",
                set=((("k", "l"), 5),),
                remove=(),
                validate=None,
                undo=AutoUndo(),
                where=WHERE,
            ),
        ),
        at=datetime(2026, 11, 22, 2, 3, 4, 5, tzinfo=UTC),
        pairs=(("k", 1, None), ("l", "x", ["y"])),
        proof=None,
        event=Event(kind=EventKind.COMMITTED, run="r", change="c", environment="e", data={"unit": 1}),
    )


def test_a_value_comes_back_equal_from_canonical_json() -> None:
    """encode, write, parse, decode is the identity on everything that tuples can hold."""
    value = holder()
    found = decode(Holder, digest.parse(digest.canonical(encode(value))))
    assert found.steps[0] == value.steps[0]
    assert isinstance(found.steps[1], EditStep)
    assert (found.at, found.proof, found.event) == (value.at, value.proof, value.event)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("at"),
        lambda data: data.update(at=5),
        lambda data: data.update(extra=1),
        lambda data: data["steps"][0].update(_type="Nothing"),
        lambda data: data["steps"][0]["timeouts"].update(lock=True),
        lambda data: data.update(steps={}),
    ],
)
def test_a_spoilt_value_is_refused(spoil: Any) -> None:
    """A missing, unknown or wrongly typed field is a ValueError, never a half-built value."""
    data = encode(holder())
    spoil(data)
    with pytest.raises(ValueError):
        decode(Holder, data)
