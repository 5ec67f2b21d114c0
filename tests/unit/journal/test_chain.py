"""The hash chain: what an entry is, and that no change, gap, swap or insertion stays unseen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from okto_change.errors import JournalBroken
from okto_change.journal import chain
from okto_change.journal.chain import GENESIS, Head, Row
from okto_change.model import Event, EventKind

AT = datetime(2026, 11, 22, 2, 13, 7, 120, tzinfo=UTC)


def event(kind: EventKind = EventKind.STEP_STARTED, **data: Any) -> Event:
    """Return an event of run r."""
    return Event(kind=kind, run="r", change="2026-11-22-x", environment="production", step="s", data=data)


def rows(count: int) -> list[Row]:
    """Return a good chain."""
    made: list[Row] = []
    previous = GENESIS
    for number in range(1, count + 1):
        entry = chain.compose(number, AT + timedelta(seconds=number), "ana", event(unit=number), previous)
        columns = chain.columns(entry)
        made.append(Row(number=number, content=entry.content, previous=previous, hash=entry.hash, columns=columns))
        previous = entry.hash
    return made


def test_an_entry_is_canonical_json_with_everything_in_it() -> None:
    """Number, moment in UTC, actor and event are all under the hash."""
    elsewhere = AT.astimezone(timezone(timedelta(hours=-3)))
    content = chain.entry_content(7, elsewhere, "ana", event(xid=2**40, note="é\x00"))
    assert json.loads(content) == {
        "format": 1,
        "number": 7,
        "at": "2026-11-22T02:13:07.000120Z",
        "actor": "ana",
        "event": {
            "kind": "step started",
            "run": "r",
            "change": "2026-11-22-x",
            "environment": "production",
            "step": "s",
            "data": {"xid": 2**40, "note": "é\x00"},
        },
    }
    assert content.isascii()


def test_the_hash_is_sha256_over_previous_hash_and_content() -> None:
    """Anybody can check it with a tool of their own."""
    content = chain.entry_content(1, AT, "ana", event())
    assert chain.link(GENESIS, content) == "sha256:" + hashlib.sha256(GENESIS.encode() + content).hexdigest()


@pytest.mark.parametrize("bad", [0.5, 2**53, {1: "x"}, b"x", "\ud800"])
def test_what_has_no_canonical_form_cannot_be_written_down(bad: Any) -> None:
    """A float or a lone surrogate would read back as something else."""
    with pytest.raises(JournalBroken, match="cannot be written down"):
        chain.entry_content(1, AT, "ana", event(value=bad))


def test_a_row_reads_back_as_its_entry() -> None:
    """Storage keeps everything."""
    entry = chain.compose(1, AT, "ana", event(a=[1, None, {"b": True}]), GENESIS)
    row = Row(number=1, content=entry.content, previous=GENESIS, hash=entry.hash, columns={})
    assert chain.read(row) == entry


def test_a_good_chain_has_no_fault() -> None:
    """Also the empty one."""
    assert chain.verify(rows(20)) == []
    assert chain.verify([]) == []


def changed(row: Row, **facts: Any) -> Row:
    """Return ``row`` with its content changed, and the hash as it was."""
    value = json.loads(row.content) | facts
    return replace(row, content=(json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def rehashed(row: Row) -> Row:
    """Return ``row`` with the hash that its content gives."""
    return replace(row, hash=chain.link(row.previous, row.content))


def test_a_changed_entry_is_named() -> None:
    """The content no longer gives the hash."""
    made = rows(4)
    made[1] = changed(made[1], actor="mallory")
    problems = chain.verify(made)
    assert problems[0] == "entry 2 was changed: its content does not give its hash"
    assert any("column actor says ana, the entry says mallory" in problem for problem in problems)


def test_a_changed_entry_with_a_new_hash_breaks_the_next() -> None:
    """Whoever computes the hash anew must do so for every entry after it."""
    made = rows(4)
    made[1] = replace(rehashed(changed(made[1], actor="mallory")), columns={})
    (problem,) = chain.verify(made)
    assert problem.startswith("entry 3 does not follow entry 2")


def test_a_changed_column_is_named() -> None:
    """What is searched must say what the entry says."""
    made = rows(3)
    made[2] = replace(made[2], columns={**made[2].columns, "actor": "bruno"})
    assert chain.verify(made) == ["entry 3 was changed: column actor says bruno, the entry says ana"]


def test_missing_entries_are_counted() -> None:
    """One, several, and the beginning."""
    made = rows(9)
    assert chain.verify([*made[:3], *made[4:]]) == ["entry 4 is missing"]
    assert chain.verify([*made[:3], *made[7:]]) == ["entries 4 to 7 are missing"]
    assert chain.verify(made[2:]) == ["entries 1 to 2 are missing"]


def test_an_entry_cut_out_with_the_rest_renumbered_is_found() -> None:
    """Closing the gap changes numbers that are under the hash."""
    made = rows(5)
    closed = [*made[:2], *(replace(row, number=row.number - 1) for row in made[3:])]
    problems = chain.verify(closed)
    assert any(problem.startswith("entry 3 does not follow entry 2") for problem in problems)
    assert "entry 3 holds entry 4: reordered or renumbered" in problems


def test_reordered_entries_are_found() -> None:
    """As stored order, and as swapped contents."""
    made = rows(4)
    swapped = [made[0], made[2], made[1], made[3]]
    assert "entry 2 stands after entry 3: reordered" in chain.verify(swapped)
    second, third = (replace(made[2], number=2), replace(made[1], number=3))
    problems = chain.verify([made[0], second, third, made[3]])
    assert "entry 2 holds entry 3: reordered or renumbered" in problems


def test_inserted_entries_are_found() -> None:
    """A well-made entry in the middle does not fit what follows."""
    made = rows(3)
    extra = chain.compose(3, AT, "mallory", event(), made[1].hash)
    forged = Row(number=3, content=extra.content, previous=extra.previous, hash=extra.hash, columns={})
    assert "entry 3 stands twice: one of them was inserted" in chain.verify([*made[:2], forged, made[2]])
    shifted = replace(made[2], number=4)
    assert any(problem.startswith("entry 4 does not follow") for problem in chain.verify([*made[:2], forged, shifted]))


def test_a_cut_off_end_is_found_by_a_head_that_was_kept() -> None:
    """The chain alone cannot know; a head that was kept elsewhere does."""
    made = rows(5)
    head = Head(number=5, hash=made[4].hash)
    assert chain.verify(made, kept=[head]) == []
    assert chain.verify(made[:3]) == []
    assert chain.verify(made[:3], kept=[head]) == ["entry 5 is missing: its hash was kept, but the journal ends at 3"]


def test_a_journal_written_anew_is_found_by_a_head_that_was_kept() -> None:
    """A whole new chain is good in itself."""
    made, anew = rows(3), []
    previous = GENESIS
    for number in range(1, 4):
        entry = chain.compose(number, AT, "mallory", event(), previous)
        anew.append(Row(number=number, content=entry.content, previous=previous, hash=entry.hash, columns={}))
        previous = entry.hash
    assert chain.verify(anew) == []
    (problem,) = chain.verify(anew, kept=[Head(number=2, hash=made[1].hash)])
    assert problem.startswith("entry 2 is not the one whose hash was kept")


def test_a_head_is_read_as_it_is_printed() -> None:
    """Whoever keeps it keeps a text."""
    head = Head(number=33, hash="sha256:" + "0a" * 32)
    assert chain.read_head(f" {head}\n") == head
    for text in ("", "33", head.hash, f"0:{head.hash}", f"33:{head.hash}0", f"-1:{head.hash}"):
        with pytest.raises(ValueError, match="not NUMBER:sha256"):
            chain.read_head(text)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[]\n", b"not json", b"\xff\xfe", b'{"event": {"kind": "x"}}'])
def test_rubbish_in_place_of_an_entry_is_a_fault_and_no_crash(content: bytes) -> None:
    """Verification goes on to the end, whatever lies there."""
    made = rows(3)
    made[1] = rehashed(replace(made[1], content=content))
    problems = chain.verify(made)
    assert any(problem.startswith("entry 2 was changed: ") for problem in problems)
    assert any(problem.startswith("entry 3 does not follow entry 2") for problem in problems)


def test_an_unknown_field_in_an_entry_is_a_fault() -> None:
    """Nothing rides along unread."""
    made = rows(1)
    made[0] = rehashed(changed(made[0], remark="trust me"))
    assert chain.verify(made) == ["entry 1 was changed: not a journal entry: it has other fields"]


def test_a_hash_that_is_no_ascii_is_a_fault() -> None:
    """Not a crash."""
    made = rows(2)
    made[1] = replace(made[1], previous="sha256:é")
    assert chain.verify(made)


def flip(row: Row, at: int) -> Row:
    """Return ``row`` with one bit of its content changed."""
    content = bytearray(row.content)
    content[at % len(content)] ^= 1
    return replace(row, content=bytes(content))
