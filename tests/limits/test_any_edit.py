"""Any edit of any file is undone exactly."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from okto_change.config.edit import plan_edit
from tests.unit.config.test_undo import edited, undo

NAMES = st.sampled_from(["a", "b", "key", "8080", "on", "x y", "é", "a.b"])

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["yes", "~", "0x1", "12:30", "- a", "#c", "a: b", "'", '"', "\n", "a\n\nb\n", " ", "<<", "1e3"]),
)

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=6,
)

MAPPINGS = st.dictionaries(NAMES, VALUES, min_size=1, max_size=4)

NOTES = st.lists(st.sampled_from(["", "# note", "# two: words", ""]), min_size=1, max_size=5)


def written(value: dict[str, Any], notes: list[str], newline: str, file: str) -> str:
    """Write a value as a file with comments between and behind its lines."""
    empty = "{}\n" if file.endswith("json") else "seed: 1\n"
    text = edited(empty, [((name,), item) for name, item in value.items()], [], file)
    if file.endswith("json"):
        return json.dumps(json.loads(text), indent=len(notes), ensure_ascii=len(notes) > 3)
    lines = []
    for number, line in enumerate(text.splitlines()):
        lines += [notes[number % len(notes)]] * (number % 3 == 0) + [line + " " * bool(notes[0]) + notes[0]]
    return newline.join(lines) + newline * (len(notes) % 2)


def paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return every path in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for name, item in items for found in [(*path, str(name)), *paths(item, (*path, str(name)))]]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(MAPPINGS, NOTES, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["f.yaml", "f.json"]), VALUES, st.data())
def test_any_edit_of_any_file_is_undone_exactly(
    value: dict[str, Any], notes: list[str], newline: str, file: str, new: Any, data: st.DataObject
) -> None:
    """Set, add and remove anywhere; with and without somebody else's edit at the end of the file."""
    before = written(value, notes, newline, file)
    known = paths(value)
    place = data.draw(st.sampled_from([*known, ("new",)]))
    gone = data.draw(st.sampled_from([(), *known]))
    assume(not gone or (gone[: len(place)] != place and place[: len(gone)] != gone))
    remove = [gone] if gone else []
    after = edited(before, [(place, new)], remove, file)
    assert undo(after, after, before, file).content.decode() == before
    theirs = after + newline * (1 + (not after.endswith("\n"))) + ("# theirs" if file == "f.yaml" else "")
    result = undo(theirs, after, before, file)
    assert (result.conflicts, result.notes) == ((), ())
    again = plan_edit(file, result.content, [(place, new)], remove)
    assert bool(again.changes) == (before != after)
