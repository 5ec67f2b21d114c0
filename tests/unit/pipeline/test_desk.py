"""Entries about chunks are written beside the run, in order; a COMMIT waits for them."""

from __future__ import annotations

from threading import Event as Signal
from typing import cast

import pytest

from okto_change.errors import JournalBroken
from okto_change.execution.job import Announced
from okto_change.journal.store import Journal
from okto_change.model import Event, EventKind
from okto_change.pipeline.desk import Desk, Unwritten


class Slow:
    """A journal that writes only when it may, and breaks at one chunk."""

    def __init__(self, broken: int = 0) -> None:
        self.may = Signal()
        self.broken = broken
        self.told: list[tuple[str, object]] = []

    def append(self, event: Event) -> None:
        assert self.may.wait(10)
        if event.data.get("chunk") == self.broken:
            raise JournalBroken("no room")
        self.told.append((event.kind.value, event.data.get("chunk")))


def entry(kind: EventKind, chunk: int | None = None) -> Event:
    data: dict[str, object] = {"unit": 1} if chunk is None else {"unit": 1, "chunk": chunk}
    return Event(kind=kind, run="r", change="c", environment="e", step=None, data=data)


def test_what_is_about_a_chunk_is_handed_over_and_a_commit_waits_for_it() -> None:
    """The desk returns before the entry is there; waiting returns after it is, and the order is that of the events."""
    journal, announced = Slow(), Announced()
    with Desk(cast("Journal", journal), announced) as desk:
        desk.write(entry(EventKind.CHUNK_STARTED, 1))
        desk.write(entry(EventKind.COMMITTING, 1))
        assert journal.told == []
        journal.may.set()
        announced.wait()
        assert journal.told == [("chunk started", 1), ("committing", 1)]


def test_everything_else_is_there_when_the_desk_returns_behind_what_was_handed_over() -> None:
    """An entry of the whole never overtakes one of a chunk."""
    journal = Slow()
    journal.may.set()
    with Desk(cast("Journal", journal), Announced()) as desk:
        desk.write(entry(EventKind.COMMITTED, 1))
        desk.write(entry(EventKind.COMMITTING))
        assert journal.told == [("committed", 1), ("committing", None)]


@pytest.mark.parametrize("how", ["at the COMMIT", "at the next entry"])
def test_what_could_not_be_written_stops_the_next_effect(how: str) -> None:
    """Whoever comes next, the COMMIT or an entry, is told."""
    journal, announced = Slow(broken=2), Announced()
    journal.may.set()
    with Desk(cast("Journal", journal), announced) as desk:
        desk.write(entry(EventKind.COMMITTING, 2))
        with pytest.raises(Unwritten if how == "at the COMMIT" else JournalBroken, match="no room"):
            announced.wait() if how == "at the COMMIT" else desk.write(entry(EventKind.ROLLED_BACK))
    assert journal.told == []


def test_leaving_the_desk_waits_for_what_is_under_way() -> None:
    """The journal's connection is closed after it."""
    journal = Slow()
    with Desk(cast("Journal", journal), Announced()) as desk:
        desk.write(entry(EventKind.COMMITTED, 1))
        journal.may.set()
    assert journal.told == [("committed", 1)]
