"""What the live catalogue says of the tables and functions that a plan names, and of where their changes can spread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from okto_change.database.session import Session
from okto_change.model import Column, Found, Table


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
        for name in ("columns", "unique_indexes", "children", "referencing", "triggers", "rules")
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
    return set(wanted) | {row[0] for row in session.query("closure", oids=wanted, operations=operations)}


def _split(names: list[str], session: Session) -> dict[str, list[Any]]:
    """Name, schema and relation as three columns; a name with dots is tried as one quoted name too, the schema wins."""
    rows: list[tuple[str, str, str]] = []
    here = f"{session.identity.database}."
    for name in names:
        rows.append((name, "", name))
        schema, dot, relation = (name.removeprefix(here) if name.count(".") > 1 else name).partition(".")
        if dot:
            rows.append((name, schema, relation))
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
        children=_first(lists["children"]),
        referenced_by=_first(lists["referencing"]),
        triggers=_first(lists["triggers"]),
        rules=_first(lists["rules"]),
    )


def _column(name: str, type_name: str, attnum: int, nullable: bool, generated: str, identity: str) -> Column:
    return Column(name=name, type=type_name, attnum=attnum, nullable=nullable, generated=generated, identity=identity)


def _first(rows: list[tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(row[0] for row in rows)
