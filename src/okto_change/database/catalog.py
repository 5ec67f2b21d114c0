"""What the live catalogue says of the tables and functions that a plan names, and of where their changes can spread."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from okto_change.database.session import Session
from okto_change.model import Column, Found, Table

_CALL = re.compile(r'(\w[\w$]*|"[^"]+")\s*\(')
"""what looks like a call in the text of a function; too much does no harm, since only what exists is looked at"""

_EVENTS = {"insert": 4, "update": 4 | 8 | 16, "delete": 8 | 16 | 32}
"""bits of ``tgtype`` that a change can set off where it spreads to: an update moves rows, a delete sets others to null"""


def find(session: Session, tables: Iterable[str], functions: Iterable[str] = ()) -> Found:
    """Look up names as the plan writes them, folded: ``name`` by search_path or ``schema.name``; missing: None.

    Functions map to the worst volatility of their overloads; unknown ones are left out. Raises DatabaseError.
    """
    wanted = sorted(set(tables))
    oids = {name: oid for name, oid in session.query("resolve_relations", **_split(wanted, session))}
    found = describe(session, oids.values())
    volatility = session.query("resolve_functions", **_split(sorted(set(functions)), session))
    return Found(
        tables={name: found.get(oids[name]) if name in oids else None for name in wanted},
        functions={name: worst[-1] for name, worst in volatility},
        server_version=session.identity.server_version,
    )


def describe(session: Session, oids: Iterable[int]) -> dict[int, Table]:
    """Return the tables, views and foreign tables with these oids; oids that are gone are left out."""
    wanted = sorted(set(oids))
    if not wanted:
        return {}
    rows = session.query("relations", oids=wanted)
    lists = {
        name: _grouped(session.query(name, oids=wanted))
        for name in ("columns", "unique_indexes", "referencing", "triggers", "rules")
    }
    return {row[0]: _table(row, {name: groups[row[0]] for name, groups in lists.items()}) for row in rows}


def closure(session: Session, oids: Iterable[int], *, delete: bool = True, update: bool = True) -> set[int]:
    """Return ``oids`` and every relation that deleting or updating rows there can reach through the schema.

    That is: partitions and children, tables behind updatable views and rules, and foreign keys with ON DELETE or ON
    UPDATE CASCADE, SET NULL or SET DEFAULT, on and on. Triggers and functions are not followed: accounting finds what
    they write. With ``delete=False`` only what updates reach, with ``update=False`` only what deletes reach.
    """
    operations = [name for name, wanted in (("d", delete), ("u", update)) if wanted]
    wanted = sorted(set(oids))
    if not wanted:
        return set()
    return set(wanted) | {row[0] for row in session.query("closure", oids=wanted, operations=operations)}


def bodies(session: Session, tables: Mapping[str, Table | None], functions: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return which functions of the database may run: by function called, or ``insert``, ``update``, ``delete`` and a table.

    That is: itself, triggers of the tables that such a change can spread to, and what these call, each ``schema.name``
    with its text. Only functions in SQL and PL/pgSQL that belong to nobody's extension. Raises DatabaseError.
    """
    called = {name: _reached(session, [], [name.rpartition(".")[2]]) for name in _theirs(session, functions)}
    for name, table in ((name, table) for name, table in tables.items() if table):
        alone = closure(session, [table.oid]) == {table.oid}
        for verb, events in _EVENTS.items():
            if alone and not table.triggers:
                continue  # no change of it can spread, and nothing listens
            spread = closure(session, [table.oid], delete=verb == "delete", update=verb == "update")
            triggers = session.query("trigger_functions", oids=sorted(spread), events=events)
            called[f"{verb} {name}"] = _reached(session, [row[0] for row in triggers], [])
    return {name: found for name, found in called.items() if found}


def _theirs(session: Session, functions: Iterable[str]) -> list[str]:
    """Those of ``functions`` whose text can be read: most are the server's own, and cost one query together."""
    bare = {name: name.rpartition(".")[2] for name in functions}
    rows = session.query("function_bodies", oids=[], names=sorted(set(bare.values()))) if bare else []
    known = {row[2] for row in rows}
    return [name for name, last in bare.items() if last in known]


def _reached(session: Session, oids: list[int], names: list[str]) -> dict[str, str]:
    found: dict[int, tuple[str, str]] = {}
    asked: set[str] = set(names)
    while oids or names:
        rows = session.query("function_bodies", oids=oids, names=names)
        fresh = {row[0]: (row[1], row[3]) for row in rows if row[0] not in found}
        found |= fresh
        called = {name.strip('"') for _, text in fresh.values() for name in _CALL.findall(text)}
        oids, names = [], sorted((called | {name.lower() for name in called}) - asked)
        asked.update(names)
    return dict(found.values())


def _split(names: list[str], session: Session) -> dict[str, list[Any]]:
    """Name, schema and relation as three columns; any dot may part them or be part of one, and one with a schema wins."""
    rows: list[tuple[str, str, str]] = []
    here = f"{session.identity.database}."
    for name in names:
        rows.append((name, "", name))
        written = name.removeprefix(here) if name.count(".") > 1 else name
        dots = (at for at, letter in enumerate(written) if letter == "." and at)
        rows.extend((name, written[:at], written[at + 1 :]) for at in dots)
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return dict(zip(("names", "schemas", "relations"), map(list, columns), strict=True))


def _grouped(rows: list[tuple[Any, ...]]) -> defaultdict[int, list[tuple[Any, ...]]]:
    groups: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for oid, *rest in rows:
        groups[oid].append(tuple(rest))
    return groups


def _table(row: tuple[Any, ...], lists: dict[str, list[tuple[Any, ...]]]) -> Table:
    oid, schema, name, kind, owner, row_security, estimate = row
    unique = lists["unique_indexes"]
    return Table(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        owner=owner,
        row_security=row_security,
        estimated_rows=estimate,
        columns=tuple(_column(*column) for column in lists["columns"]),
        key=next((tuple(columns) for columns, is_key in unique if is_key), None),
        unique=tuple(tuple(columns) for columns, _ in unique),
        referenced_by=_first(lists["referencing"]),
        triggers=_first(lists["triggers"]),
        rules=_first(lists["rules"]),
    )


def _column(name: str, type_name: str, attnum: int, nullable: bool, generated: str, identity: str) -> Column:
    return Column(name=name, type=type_name, attnum=attnum, nullable=nullable, generated=generated, identity=identity)


def _first(rows: list[tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(row[0] for row in rows)
