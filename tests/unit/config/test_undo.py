"""Undo by key: exact when nobody touched the file, beside other people's edits when somebody did, never over them."""

from __future__ import annotations

from typing import Any

import pytest

from okto_change.config.edit import UndoResult, plan_edit, plan_undo
from okto_change.errors import Conflict, EditError

BEFORE = """\
# Acquirers
acquirers:
  north:
    host: north.example
    # how long we wait
    timeout_ms: 3000   # raised in INC-1
    # old ways
    legacy_retry: true # remove after March
    hosts: [a, b]
  south:
    timeout_ms: 2500
    list:
      - one
      - two # second
"""
SET = [(("acquirers", "north", "timeout_ms"), 8000), (("acquirers", "north", "extra"), {"x": 1})]
REMOVE = [("acquirers", "north", "legacy_retry")]


def edited(before: str = BEFORE, set: Any = SET, remove: Any = REMOVE, file: str = "f.yaml") -> str:
    """Return the text after the edit."""
    return plan_edit(file, before.encode(), set, remove).content.decode()


def undo(now: str, after: str | None = None, before: str = BEFORE, file: str = "f.yaml", **how: Any) -> UndoResult:
    """Undo the edit in what the file is now."""
    left = edited() if after is None else after
    return plan_undo(file, now.encode(), before=before.encode(), after=left.encode(), **how)


def test_an_untouched_file_comes_back_byte_for_byte() -> None:
    """Whatever was set, added and removed."""
    result = undo(edited())
    assert result.content == BEFORE.encode()
    assert (result.conflicts, result.notes) == ((), ())


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("# Acquirers\n", "# Acquirers, see the wiki\n"),
        ("host: north.example\n", "host: north2.example\n"),
        ("    # how long we wait\n", ""),
        ("    # how long we wait\n", "    # how long\n    # we wait\n\n"),
        ("hosts: [a, b]", "hosts: [a, b, c]"),
        ("timeout_ms: 2500", "timeout_ms: 2600"),
        ("      - two # second\n", "      - two # second\n      - three\n"),
        ("  south:\n", "  west: {}\n  south:\n"),
        ("acquirers:\n", "more: 1\nacquirers:\n"),
        ("# raised in INC-1", "# raised in INC-1 and INC-2"),
        ("two # second\n", "two # second"),
    ],
)
def test_edits_of_others_survive_the_undo(theirs: str, ours: str) -> None:
    """The file is then as if only the others had ever touched it."""
    assert theirs in edited()
    result = undo(edited().replace(theirs, ours))
    assert result.content.decode() == BEFORE.replace(theirs, ours)
    assert result.conflicts == ()


@pytest.mark.parametrize(
    ("theirs", "conflict"),
    [
        (
            ("timeout_ms: 8000", "timeout_ms: 9000"),
            "somebody set acquirers.north.timeout_ms to 9000 since (this change left 8000)",
        ),
        (("timeout_ms: 8000", "timeout_ms: '8000'"), 'somebody set acquirers.north.timeout_ms to "8000" since'),
        (("    timeout_ms: 8000   # raised in INC-1\n", ""), "somebody removed acquirers.north.timeout_ms since"),
        (
            ("hosts: [a, b]", "hosts: [a, b]\n    legacy_retry: false"),
            "set acquirers.north.legacy_retry to false since (this change removed it)",
        ),
        (("      x: 1\n", "      x: 1\n      y: 2\n"), 'somebody set acquirers.north.extra to {"x": 1, "y": 2} since'),
    ],
)
def test_a_key_that_somebody_changed_since_is_a_conflict(theirs: tuple[str, str], conflict: str) -> None:
    """Nothing is undone, and the key is named with what it is and what we left; with only_clean the rest is undone."""
    now = edited().replace(*theirs)
    assert now != edited()
    with pytest.raises(Conflict) as caught:
        undo(now)
    assert len(caught.value.faults) == 1
    assert conflict in caught.value.faults[0]
    partly = undo(now, only_clean=True)
    assert partly.conflicts == caught.value.faults
    assert undo(partly.content.decode(), only_clean=True).conflicts == partly.conflicts


def test_every_conflict_is_named_at_once() -> None:
    """A person settles them in one go."""
    now = edited().replace("8000", "9000").replace("x: 1", "x: 2")
    with pytest.raises(Conflict) as caught:
        undo(now)
    assert len(caught.value.faults) == 2


def test_a_section_that_is_gone_is_a_conflict() -> None:
    """There is nowhere to put things back."""
    with pytest.raises(Conflict, match=r"f\.yaml was changed since"):
        undo("acquirers:\n  south:\n    timeout_ms: 2500\n")


def test_a_key_that_is_back_already_is_no_conflict() -> None:
    """An undo that was interrupted after its swap can run again."""
    first = undo(edited().replace("# Acquirers", "# Ours"))
    again = undo(first.content.decode())
    assert again.content == first.content
    assert any("was set back already" in note for note in again.notes)


def test_a_removed_key_comes_back_between_its_old_neighbours() -> None:
    """With its comment, where other keys have moved around it."""
    now = edited().replace("    # old ways\n", "").replace("host: north.example\n", "host: x\n    port: 1\n")
    assert "    legacy_retry: true # remove after March\n    hosts: [a, b]\n" in undo(now).content.decode()


def test_a_removed_key_without_its_neighbours_comes_back_at_the_end_and_says_so() -> None:
    """Nobody can tell where it belongs."""
    before = "p:\n  a: 1\n  b: 2 # two\n  c: 3\n"
    after = edited(before, [], [("p", "b")])
    result = undo("p:\n  x: 9\n", after, before, only_clean=True)
    assert result.content == b"p:\n  x: 9\n  b: 2 # two\n"
    assert result.notes == ("p.b came back at the end of p: its old neighbours are gone",)


def test_a_removed_key_in_a_reindented_section_is_written_anew() -> None:
    """Its old lines would not fit."""
    before = "p:\n  a: 1\n  b:\n    c: x # two\n"
    after = edited(before, [], [("p", "b")])
    result = undo("p:\n        a: 1\n", after, before)
    assert result.content == b"p:\n        a: 1\n        b:\n                c: x\n"
    assert result.notes == ("p.b came back at the end of p, newly written",)


@pytest.mark.parametrize(
    ("before", "set", "remove", "now_from", "now_to"),
    [
        ("p:\n  - a\n  - b\nq: 1\n", [(("p", "2"), "c")], [], "q: 1", "q: 2"),
        ("p:\n  - a # one\n  - b\nq: 1\n", [], [("p", "0")], "q: 1", "q: 2"),
        ("p:\n  - a\n  - b\nq: 1\n", [(("p", "1"), "c")], [], "- a", "- z"),
        ("p:\n  a: 1 # one\nq: 1\n", [], [("p", "a")], "q: 1", "q: 2"),
        ("p: # why\n  a: 1\nq: 1\n", [(("p",), 5)], [], "q: 1", "q: 2"),
        ("p: 5 # why\nq: 1\n", [(("p",), {"a": [1, 2]})], [], "q: 1", "q: 2"),
        ("p: |\n  text\n\nq: 1\n", [(("p",), "x")], [], "q: 1", "q: 2"),
        ("p:\nq: 1\n", [(("p",), 5)], [], "q: 1", "q: 2"),
        ("p: 0x10 # hex\nq: 1\n", [(("p",), 5)], [], "# hex", "# 16"),
        ("p: # empty\nq: 1\n", [(("p",), 5)], [], "# empty", "# full"),
        ("p: {a: 1, b: 2}\nq: 1\n", [(("p", "a"), 5)], [("p", "b")], "q: 1", "q: 2"),
        ("p: {a: 1}\nq: 1\n", [], [("p", "a")], "q: 1", "q: 2"),
        ("# top\na: 1 # one\n# end\n", [], [("a",)], "# top", "# head"),
        ("p: [1, 2]\nq: 1\n", [], [("p", "0")], "q: 1", "q: 2"),
        ("a: 1\n\n# two\nb: 2\n\n# three\nc: 3\n", [], [("a",)], "c: 3", "c: 4"),
        ("a: 1\n\n# two\nb: 2\n\n# three\nc: 3\n", [], [("a",), ("b",)], "c: 3", "c: 4"),
        ("a: 1\n\n# two\nb: 2\n\n# three\nc: 3", [], [("b",), ("c",)], "a: 1", "a: 4"),
        ("- a: 1\n  b: 2\n- c: 1\n", [], [("0", "a")], "c: 1", "c: 4"),
    ],
)
def test_every_kind_of_edit_can_be_undone_beside_another_edit(
    before: str, set: Any, remove: Any, now_from: str, now_to: str
) -> None:
    """The result is the old file with only the other edit in it."""
    after = edited(before, set, remove)
    assert after.count(now_from) == 1
    result = undo(after.replace(now_from, now_to), after, before)
    assert result.content.decode() == before.replace(now_from, now_to)


def test_json_is_undone_beside_another_edit() -> None:
    """Commas are put back where they belong."""
    before = '{\n  "a": 1,\n  "b": {\n    "c": [1, 2]\n  },\n  "d": 4\n}\n'
    after = edited(before, [(("a",), 5)], [("b",)], "f.json")
    result = undo(after.replace("4", "9"), after, before, "f.json")
    assert result.content.decode() == before.replace("4", "9")
    last = edited(before, [], [("d",)], "f.json")
    result = undo(last.replace('"a": 1', '"a": 9'), last, before, "f.json")
    assert result.content.decode() == before.replace(": 1,", ": 9,")


def test_items_of_a_list_that_others_changed_are_a_conflict() -> None:
    """An index says nothing once items have moved."""
    before = "p: [a, b, c]\n"
    after = edited(before, [], [("p", "1")])
    with pytest.raises(Conflict, match=r"f\.yaml"):
        undo("p: [z, a, c]\n", after, before)


def test_a_file_that_is_broken_now_is_not_touched() -> None:
    """Whoever broke it must mend it first."""
    with pytest.raises(EditError, match="not YAML"):
        undo("acquirers: [\n")


# ----------------------------------------------------------------------------------- any file, any edit
