"""Two readings of the catalogue -> what was created, dropped and changed between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from okto_change.database.inverse import Catalogue, Record
from okto_change.model.base import type_

FOLLOWING = frozenset(
    {
        "table",
        "of",
        "standard",
        "filenode",
        "internal",
        "readable",
        "constant",
        "sequence of column",
        "constrains",
        "index",
        "type_id",
        "inherited",
        "attributes",
    }
)
"""Parts that only say where an object hangs, or that follow from other objects: the fingerprint watches them."""
REMADE = frozenset(
    {
        "schema",
        "view",
        "materialized view",
        "sequence",
        "index",
        "constraint",
        "trigger",
        "rule",
        "policy",
        "routine",
        "enum",
        "domain",
        "composite type",
        "range",
        "attribute",
        "statistics",
        "published table",
        "default privileges",
    }
)
"""Objects that are their definition: made again under their name they are the same. Tables and their columns are not."""
ROWS = frozenset({"table", "partitioned table", "foreign table"})


@type_
class Change:
    """One object as it was and as it is; ``facets`` are the parts that differ."""

    before: Record
    now: Record
    facets: tuple[str, ...]


@type_
class Difference:
    """What must be taken back. Objects that come and go with another one are left out."""

    created: tuple[Record, ...]
    dropped: tuple[Record, ...]
    changed: tuple[Change, ...]
    all_created: tuple[Record, ...]
    """those that go with another one, too"""
    all_dropped: tuple[Record, ...]

    def __bool__(self) -> bool:
        return bool(self.all_created or self.all_dropped or self.changed)

    def __str__(self) -> str:
        """Name what differs, for people."""
        parts = [f"{record.object} was made" for record in self.all_created]
        parts += [f"{record.object} is gone" for record in self.all_dropped]
        parts += [f"{change.now.object}: {', '.join(change.facets)}" for change in self.changed]
        return "; ".join(parts[:10])


def difference(before: Catalogue, now: Catalogue) -> Difference:
    """Compare two readings: objects with the same oid are one object, else those that are their name and definition."""
    pairs = _pairs(before, now)
    created = {key: now[key] for key in now.keys() - pairs.values()}
    dropped = {key: before[key] for key in before.keys() - pairs.keys()}
    changes = (_change(before[one], now[other]) for one, other in sorted(pairs.items()))
    return Difference(
        created=tuple(record for record in _ordered(created.values()) if _stands_alone(record, created)),
        dropped=tuple(record for record in _ordered(dropped.values()) if _stands_alone(record, dropped)),
        changed=tuple(change for change in changes if change.facets),
        all_created=_ordered(created.values()),
        all_dropped=_ordered(dropped.values()),
    )


def _pairs(before: Catalogue, now: Catalogue) -> dict[str, str]:
    pairs = {key: key for key in before.keys() & now.keys()}
    names = {(now[key].kind, now[key].object): key for key in now.keys() - pairs.keys()}
    for key in before.keys() - pairs.keys():
        record = before[key]
        if _is_its_definition(record) and (found := names.get((record.kind, record.object))):
            pairs[key] = found
    return pairs


def _is_its_definition(record: Record) -> bool:
    return record.kind in REMADE or (record.kind == "column" and record.get("of") in ("view", "materialized view"))


def _ordered(records: Iterable[Record]) -> tuple[Record, ...]:
    return tuple(sorted(records, key=lambda record: [int(p) if p.isdigit() else 0 for p in record.id.split(":")[1:]]))


def _stands_alone(record: Record, others: Catalogue) -> bool:
    if record.get("inherited") or record.get("internal") or record.get("constrains"):
        return False
    if record.kind == "column" and record.get("of") not in ROWS:
        return False
    if record.kind == "statistics":  # it has a schema and a name of its own
        return True
    place: str | None = record.parent
    while place:
        if place in others:
            return False
        place = _above(place, others)
    return True


def _above(place: str, others: Catalogue) -> str | None:
    """A column goes with its table."""
    head, _, column = place.rpartition(":")
    return None if column == "0" else f"{head}:0"


def _change(before: Record, now: Record) -> Change:
    facets = [
        facet
        for facet in sorted(before.facets.keys() | now.facets.keys())
        if facet not in FOLLOWING and not _same(facet, before, now)
    ]
    return Change(before=before, now=now, facets=tuple(facets))


def _same(facet: str, before: Record, now: Record) -> bool:
    one, other = before.get(facet), now.get(facet)
    if facet == "state":  # others draw numbers all the time; a new file means that the sequence itself was set
        return before.get("filenode") == now.get("filenode") or one is None or one == other
    if facet == "labels" and before.id != now.id:
        return [label for _, label in one or ()] == [label for _, label in other or ()]
    if facet == "sequence" and before.kind == "column":
        return True
    if facet == "schema" and before.kind == "index":
        return True
    return bool(one == other)
