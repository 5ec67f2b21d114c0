"""The shape of a table: columns in order, its keys and how to compare them; kept beside images, which need it unchanged."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, LiteralString

from okto_change.database.accounting import FIRST_USER_OID
from okto_change.database.composing import Part, compose, identifier, joined, operator
from okto_change.database.session import Session
from okto_change.model.base import type_

DOCUMENTS: dict[int, LiteralString] = {142: "::pg_catalog.text", 143: "::pg_catalog.text[]"}
"""xml and xml[] -> how to write them out whole: their output functions leave the declaration out"""


@type_
class ColumnShape:
    """A column: ``generated`` 's' stored, 'v' virtual, '' not; ``identity`` 'a' always, 'd' by default, '' not."""

    number: int
    name: str
    type: str
    typid: int
    generated: str
    identity: str

    @property
    def label(self) -> str:
        """Its name in our own temporary tables: never one that clashes."""
        return f"c{self.number}"

    def written(self, value: Part) -> Part:
        """Return ``value``, which this column holds, so that the text of a row says all of it."""
        cast = DOCUMENTS.get(self.typid)
        return value if cast is None else compose("{value}{cast}", value=value, cast=compose(cast))


@type_
class Match:
    """A column and the operator that means equal for it: schema and name."""

    column: ColumnShape
    equal: tuple[str, str]


Key = tuple[Match, ...]
LONG = frozenset({17, 25, 114, 142, 1042, 1043, 3802})
"""types whose values may be long: bytea, text, json, xml, char, varchar, jsonb"""


@type_
class Shape:
    """A table as it is. ``key`` is the best unique index without nulls, None if there is none; ``unique`` are all others.

    ``types`` says what the values of its user-made types are made of, in words.
    """

    relid: int
    schema: str
    name: str
    kind: str
    columns: tuple[ColumnShape, ...]
    key: Key | None = None
    unique: tuple[Key, ...] = ()
    types: frozenset[str] = frozenset()
    inside: frozenset[int] = frozenset()
    """types that lie inside its user-made ones"""
    hidden: frozenset[str] = frozenset()
    """names of the sensitive columns: what they hold is never told"""
    unpopulated: bool = False
    """whether it is a materialized view that the change found WITH NO DATA"""

    @property
    def qualified(self) -> str:
        """``schema.name``, unquoted."""
        return f"{self.schema}.{self.name}"

    @property
    def table(self) -> Part:
        """Its quoted name; also the name of its row type."""
        return identifier(self.schema, self.name)

    @property
    def stored(self) -> tuple[ColumnShape, ...]:
        """Columns that images hold: virtual ones are computed on reading."""
        return tuple(column for column in self.columns if column.generated != "v")

    @property
    def writable(self) -> tuple[ColumnShape, ...]:
        """Columns that an INSERT may name."""
        return tuple(column for column in self.columns if not column.generated)

    @property
    def long(self) -> tuple[ColumnShape, ...]:
        """Columns whose values may be long, but for those of unique indexes: an index takes a long one only compressed."""
        keys = {match.column for key in self.keys for match in key}
        return tuple(column for column in self.stored if column.typid in LONG and column not in keys)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Every unique index on plain columns, the best key first."""
        return ((self.key,) if self.key is not None else ()) + self.unique

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order of a row's text."""
        return tuple(column.name for column in self.columns)

    def content(self) -> str:
        """Return what is kept beside the images, as JSON."""
        columns = [_listed(column) for column in self.columns]
        return json.dumps(
            {
                "schema": self.schema,
                "name": self.name,
                "kind": self.kind,
                "columns": columns,
                "types": sorted(self.types),
                "unpopulated": self.unpopulated,
            }
        )

    def row_text(self, alias: str) -> Part:
        """Return the text of the whole row ``alias``, as the capture trigger writes it."""
        fields = [
            compose("NULL") if column.generated == "v" else column.written(identifier(alias, column.name))
            for column in self.columns
        ]
        return compose('ROW({fields})::text COLLATE "C"', fields=joined(fields))


def load(session: Session, oids: Iterable[int]) -> dict[int, Shape]:
    """Return the live shapes by oid; tables that are gone are left out."""
    wanted = sorted(set(oids))
    if not wanted:
        return {}
    keys: dict[int, list[tuple[Any, bool]]] = {}
    for relid, _, columns, never_null in session.query("image_unique", oids=wanted):
        keys.setdefault(relid, []).append((columns, never_null))
    rows = session.query("image_shapes", oids=wanted)
    types, inside = _types(session, [relid for relid, _, _, _, columns in rows if _has_made_types(columns)])
    shapes = {
        relid: _shape(relid, schema, name, kind, columns, keys.get(relid, []), types[relid], inside[relid])
        for relid, schema, name, kind, columns in rows
    }
    if not session.veil.asked:
        return shapes
    return {relid: replace(shape, hidden=_hidden(session, shape)) for relid, shape in shapes.items()}


def _has_made_types(columns: Any) -> bool:
    return any(_column(item).typid >= FIRST_USER_OID for item in columns)


def _types(session: Session, oids: list[int]) -> tuple[defaultdict[int, set[str]], defaultdict[int, set[int]]]:
    """Return by table what its user-made types are made of, in words, and the types that lie inside them."""
    types: defaultdict[int, set[str]] = defaultdict(set)
    inside: defaultdict[int, set[int]] = defaultdict(set)
    for relid, typid, within, fact in session.query("image_types", oids=oids) if oids else ():
        if fact is not None:
            types[relid].add(fact)
        elif within:
            inside[relid].add(typid)
    return types, inside


def _hidden(session: Session, table: Shape) -> frozenset[str]:
    return frozenset(column.name for column in table.columns if session.veil.covers(table.relid, column.number))


def parse(relid: int, kept: Mapping[str, Any]) -> Shape:
    """Return the shape that was kept beside images; it knows no keys."""
    columns = tuple(_column(item) for item in kept["columns"])
    return Shape(
        relid=relid,
        schema=kept["schema"],
        name=kept["name"],
        kind=kept["kind"],
        columns=columns,
        types=frozenset(kept["types"]),
        unpopulated=kept.get("unpopulated", False),
    )


def difference(kept: Shape, live: Shape | None) -> str | None:
    """Say why images of ``kept`` no longer fit, None if they do."""
    if live is None:
        return f"{kept.qualified}: the table is gone"
    if kept.qualified != live.qualified:
        return f"{kept.qualified}: the table is called {live.qualified} now"
    before, after = {c.number: c for c in kept.columns}, {c.number: c for c in live.columns}
    for number in sorted(before.keys() | after.keys()):
        old, new = before.get(number), after.get(number)
        if old is None or new is None:
            column = old or new
            what = "was added" if old is None else "is gone"
            return f"{kept.qualified}: column {column.name if column else number} {what} since"
        if (old.name, old.type, old.typid, old.generated) != (new.name, new.type, new.typid, new.generated):
            return f"{kept.qualified}: column {old.name} {old.type} is {new.name} {new.type} now"
    lost = sorted(kept.types - live.types)
    return f"{kept.qualified}: a type has changed since; before, {lost[0]}" if lost else None


def matches(left: str, right: str, key: Key, *, labels: str = "") -> Part:
    """Return the condition that two rows have the same key.

    ``left`` and ``right`` are aliases; those whose letter is in ``labels`` are rows of our own temporary tables.
    """
    return joined(
        (
            compose(
                "{left} {equal} {right}",
                left=identifier(left, match.column.label if left in labels else match.column.name),
                equal=operator(*match.equal),
                right=identifier(right, match.column.label if right in labels else match.column.name),
            )
            for match in key
        ),
        " AND ",
    )


def _shape(
    relid: int,
    schema: str,
    name: str,
    kind: str,
    columns: Any,
    keys: list[tuple[Any, bool]],
    types: Iterable[str],
    inside: Iterable[int],
) -> Shape:
    by_number = {item[0]: _column(item) for item in columns}
    found = [
        (tuple(Match(column=by_number[number], equal=(space, op)) for number, _, space, op in items), never_null)
        for items, never_null in keys
        if all(by_number[item[0]].generated != "v" for item in items)
    ]
    key = next((items for items, never_null in found if never_null), None)
    return Shape(
        relid=relid,
        schema=schema,
        name=name,
        kind=kind,
        columns=tuple(by_number.values()),
        key=key,
        unique=tuple(items for items, _ in found if items is not key),
        types=frozenset(types),
        inside=frozenset(inside),
    )


def _listed(column: ColumnShape) -> list[Any]:
    return [column.number, column.name, column.type, column.typid, column.generated, column.identity]


def _column(item: list[Any]) -> ColumnShape:
    number, name, kind, typid, generated, identity = item
    return ColumnShape(number=number, name=name, type=kind, typid=typid, generated=generated, identity=identity)
