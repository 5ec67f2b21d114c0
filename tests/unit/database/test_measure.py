"""What a rehearsal used up, in words."""

from __future__ import annotations

from okto_change.database.measure import moved


def test_only_sequences_that_moved_are_named() -> None:
    """In the order of their names, unused ones and new ones too."""
    before = {"app.b": 7, "app.a": None, "app.same": 1}
    after = {"app.same": 1, "app.b": 9, "app.a": 1, "app.new": 5}
    assert moved(before, after) == (
        "sequence app.a moved from unused to 1",
        "sequence app.b moved from 7 to 9",
        "sequence app.new moved from unused to 5",
    )
