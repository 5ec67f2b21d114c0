"""What moved between dry run and apply, in words."""

from __future__ import annotations

from typing import Any

import pytest

from okto_change.pipeline.drift import describe


def table(oid: int = 1, **definition: str) -> dict[str, Any]:
    """Return the fact of a table."""
    parts = {name.replace("_", " ", 1): text for name, text in definition.items()}
    return {"name": "public.t", "oid": oid, "kind": "table", "definition": parts}


def ledger(**tables: Any) -> dict[str, Any]:
    """Return the facts of one target."""
    return {"ledger": {"database": "pay", "tables": tables}}


@pytest.mark.parametrize(
    ("reviewed", "found", "lines"),
    [
        (ledger(t=table()), ledger(t=table()), ()),
        (
            ledger(t=table(column_a="integer")),
            ledger(t=table(column_a="bigint")),
            ("ledger: table t: column a was integer, is bigint",),
        ),
        (
            ledger(t=table(trigger_g="x")),
            ledger(t=table(constraint_k="CHECK (a > 0)")),
            ("ledger: table t: constraint k is new: CHECK (a > 0)", "ledger: table t: trigger g is gone, it was: x"),
        ),
        (ledger(t=table(1)), ledger(t=table(2)), ("ledger: table t: it was dropped and made anew",)),
        (ledger(t=table()), ledger(t=None), ("ledger: table t is gone",)),
        (ledger(t=None), ledger(t=table()), ("ledger: table t is new",)),
        ({"routing": {"a.yaml": "1"}}, {"routing": {"a.yaml": "2"}}, ("routing: a.yaml was 1, is 2",)),
        ({"routing": {"tables": "1"}}, {"routing": {"tables": "2"}}, ("routing: tables was 1, is 2",)),
        ({"a": {"x": 1}}, {"a": {"x": 1}, "b": {"y": 2}}, ("b is new: {'y': 2}",)),
        (
            ledger(t={"definition": "old"}),
            ledger(t={"definition": {}}),
            ("ledger: table t: its definition was old, is {}",),
        ),
        (ledger(t="nonsense"), ledger(t=table()), (f"ledger: table t was nonsense, is {table()}",)),
    ],
)
def test_each_part_that_differs_has_its_line(reviewed: Any, found: Any, lines: tuple[str, ...]) -> None:
    """Old and new, by name; whatever a stored dry run says, it can be compared."""
    assert describe(reviewed, found) == lines
