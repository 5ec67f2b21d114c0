"""Which entries of the journal must be on disk before anything else happens."""

from __future__ import annotations

import pytest

from okto_change.journal.store import ANNOUNCING, waits
from okto_change.model import Event, EventKind


def event(kind: EventKind, **data: object) -> Event:
    """Return an event of that kind."""
    return Event(kind=kind, run="r1", change="c", environment="production", data=data)


@pytest.mark.parametrize("kind", sorted(ANNOUNCING, key=str), ids=str)
def test_what_announces_an_effect_waits_for_the_disk(kind: EventKind) -> None:
    """The promise of the journal: an entry is durable before its effect, in a chunk of a batch as well."""
    assert waits(event(kind, unit=1))
    assert waits(event(kind, unit=1, chunk=7))


@pytest.mark.parametrize("kind", [EventKind.STATEMENT_DONE, EventKind.CHECK_PASSED, EventKind.IMAGES_KEPT])
def test_what_was_seen_before_a_commit_goes_with_the_next_entry(kind: EventKind) -> None:
    """Where the server loses it, it loses the transaction that it tells of."""
    assert not waits(event(kind, unit=1))


@pytest.mark.parametrize("kind", [EventKind.COMMITTED, EventKind.UNDONE])
def test_the_end_of_a_unit_waits_and_that_of_a_chunk_does_not(kind: EventKind) -> None:
    """A file may be changed by others right after, and then nobody could tell; a chunk has its state row."""
    assert waits(event(kind, unit=1))
    assert not waits(event(kind, unit=1, chunk=7))
