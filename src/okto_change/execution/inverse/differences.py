"""Two readings of the catalogue -> what was created, dropped and changed between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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
        "element",
        "schema_id",
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
ESSENCE = {"enum": "labels", "domain": "base", "range": "range"}
"""the part of a type that nothing sets: one that differs in it is another type of the same name"""
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
    changes = (_change(before[one], now[other], pairs) for one, other in sorted(pairs.items()))
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
        found = names.get((record.kind, record.object)) if _is_its_definition(record) else None
        if found and _is_alike(record, now[found]):
            pairs[key] = found
    return pairs


def _is_alike(before: Record, now: Record) -> bool:
    essence = ESSENCE.get(before.kind)
    return essence is None or _same(essence, before, now, {})


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


def _change(before: Record, now: Record, pairs: Mapping[str, str]) -> Change:
    facets = [
        facet
        for facet in sorted(before.facets.keys() | now.facets.keys())
        if facet not in FOLLOWING and not _same(facet, before, now, pairs)
    ]
    return Change(before=before, now=now, facets=tuple(facets))


def _same(facet: str, before: Record, now: Record, pairs: Mapping[str, str]) -> bool:
    one, other = before.get(facet), now.get(facet)
    if facet == "type" and before.get("type_id") == now.get("type_id"):  # the type itself was renamed
        return True
    if facet == "type":
        was, is_ = (record.get("element") or record.get("type_id").partition(" ")[0] for record in (before, now))
        return bool(one == other) and _same_home("pg_type", was, is_, pairs)
    if facet == "state":  # others draw numbers all the time; a new file means that the sequence itself was set
        return before.get("filenode") == now.get("filenode") or one is None or one == other
    if facet == "labels" and before.id != now.id:
        return [label for _, label in one or ()] == [label for _, label in other or ()]
    if facet == "sequence" and before.kind == "column":
        return True
    if facet == "schema" and before.kind == "index":
        return True
    if facet == "schema" and before.kind != "extension":
        was, is_ = before.get("schema_id"), now.get("schema_id")
        return bool(was == is_ or (one == other and _same_home("pg_namespace", was, is_, pairs)))
    return bool(one == other)


def _same_home(catalogue: str, before: str, now: str, pairs: Mapping[str, str]) -> bool:
    """Whether the oid of now is what became of the one of before; those that are not in the readings are told by name only."""
    now = f"{catalogue}:{now}:0"
    return pairs.get(f"{catalogue}:{before}:0", now) == now
