"""The chain: an entry as canonical JSON, its link to the entry before, and what a broken chain looks like. Pure.

An entry's hash is ``sha256(previous hash || content)``, both as ASCII text; the hash before entry 1 is ``GENESIS``.
The chain shows every change in its middle. That its end was cut off, or that it was written anew from some entry on,
only a ``Head`` that was kept elsewhere can show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from okto_change import digest
from okto_change.errors import JournalBroken
from okto_change.model import Entry, Event, EventKind
from okto_change.model.base import type_
from okto_change.model.moment import MICROSECONDS, moment

GENESIS = "sha256:" + "0" * 64
FORMAT = 1
_HEAD = re.compile(r"([1-9][0-9]{0,17}):(sha256:[0-9a-f]{64})")


@type_
class Head:
    """The last entry's number and hash at some moment, as text ``33:sha256:...``, to be kept where the journal's owner is not."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def read_head(text: str) -> Head:
    """Return a head that was kept as text; raises ValueError for anything else."""
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not NUMBER:sha256:..., 64 hexadecimal digits: {text}")
    return Head(number=int(found[1]), hash=found[2])


@type_
class Row:
    """An entry as it lies in storage, nothing believed. ``columns`` repeat parts of the content, for searching."""

    number: int
    content: bytes
    previous: str
    hash: str
    columns: Mapping[str, Any]


def entry_content(number: int, at: datetime, actor: str, event: Event) -> bytes:
    """Return the canonical JSON of an entry; ``at`` is told in UTC with microseconds.

    Raises JournalBroken when the event holds something that has no canonical form (a float, an integer from 2**53 on).
    """
    value = {
        "format": FORMAT,
        "number": number,
        "at": at.astimezone(UTC).strftime(MICROSECONDS),
        "actor": actor,
        "event": {
            "kind": event.kind.value,
            "run": event.run,
            "change": event.change,
            "environment": event.environment,
            "step": event.step,
            "data": dict(event.data),
        },
    }
    try:
        return digest.canonical(value)
    except ValueError as error:
        raise JournalBroken(f"{event.kind.value!r} of run {event.run} cannot be written down: {error}") from error


def link(previous: str, content: bytes) -> str:
    """Return the hash of an entry with ``content`` that follows the entry whose hash is ``previous``."""
    return digest.sha256(previous.encode("ascii") + content)


def compose(number: int, at: datetime, actor: str, event: Event, previous: str) -> Entry:
    """Return the entry that follows the one with hash ``previous``; raises JournalBroken as ``entry_content`` does."""
    content = entry_content(number, at, actor, event)
    return Entry(
        number=number, at=at, actor=actor, event=event, content=content, previous=previous, hash=link(previous, content)
    )


def columns(entry: Entry) -> dict[str, Any]:
    """Return what is stored beside the content, for searching."""
    event = entry.event
    return {
        "at": entry.at,
        "actor": entry.actor,
        "kind": event.kind.value,
        "run": event.run,
        "change": event.change,
        "environment": event.environment,
    }


def read(row: Row) -> Entry:
    """Return the entry that a stored row holds; raise ValueError unless its content is an entry in canonical form."""
    value = digest.parse(row.content)
    try:
        event = dict(value["event"])
        kind = EventKind(event.pop("kind"))
        entry = Entry(
            number=value["number"],
            at=moment(value["at"], fine=True),
            actor=value["actor"],
            event=Event(kind=kind, **event),
            content=row.content,
            previous=row.previous,
            hash=row.hash,
        )
        same = entry_content(entry.number, entry.at, entry.actor, entry.event) == row.content
    except (KeyError, TypeError, AttributeError, JournalBroken) as error:
        raise ValueError(f"not a journal entry: {error}") from error
    if not same:
        raise ValueError("not a journal entry: it has other fields")
    return entry


def verify(rows: Iterable[Row], *, kept: Iterable[Head] = ()) -> list[str]:
    """Return every fault of the chain in plain words, [] if it holds. ``rows``: in stored order, read once.

    ``kept`` are heads of before, which the chain must still lead through.
    """
    wanted = {(head.number, head.hash) for head in kept}
    problems: list[str] = []
    last: Row | None = None
    for row in rows:
        problems += _follows(last, row)
        problems += _itself(row)
        problems += _kept(row, wanted)
        last = row
    end = 0 if last is None else last.number
    return problems + [
        f"entry {lost} is missing: its hash was kept, but the journal ends at {end}" for lost, _ in sorted(wanted)
    ]


def _follows(last: Row | None, row: Row) -> Iterator[str]:
    number = 0 if last is None else last.number
    if row.number == number:
        yield f"entry {row.number} stands twice: one of them was inserted"
    elif row.number < number:
        yield f"entry {row.number} stands after entry {number}: reordered"
    elif row.number > number + 1:
        gone = f"entry {number + 1} is" if row.number == number + 2 else f"entries {number + 1} to {row.number - 1} are"
        yield f"{gone} missing"
    elif row.previous != (GENESIS if last is None else last.hash):
        before = "the beginning" if last is None else f"entry {number}"
        yield f"entry {row.number} does not follow {before}: an entry here was changed, removed, inserted or reordered"


def _itself(row: Row) -> Iterator[str]:
    try:
        linked = link(row.previous, row.content)
    except UnicodeEncodeError:
        linked = ""
    if linked != row.hash:
        yield f"entry {row.number} was changed: its content does not give its hash"
    try:
        entry = read(row)
    except ValueError as error:
        yield f"entry {row.number} was changed: {error}"
        return
    if entry.number != row.number:
        yield f"entry {row.number} holds entry {entry.number}: reordered or renumbered"
    for name, value in columns(entry).items():
        if name in row.columns and row.columns[name] != value:
            yield f"entry {row.number} was changed: column {name} says {row.columns[name]!s}, the entry says {value!s}"


def _kept(row: Row, wanted: set[tuple[int, str]]) -> Iterator[str]:
    for number, kept in [head for head in wanted if head[0] == row.number]:
        wanted.discard((number, kept))
        if kept != row.hash:
            yield f"entry {number} is not the one whose hash was kept: the journal was written anew up to here"
