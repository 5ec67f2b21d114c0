"""What approvals bind of a database: which one it is, and a fingerprint of every table that the plan names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from okto_change.database import catalog
from okto_change.database.composing import compose, identifier, joined
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.digest import sha256
from okto_change.model import Table
from okto_change.model.base import type_

_READING = "SET LOCAL search_path = ''; SET LOCAL jit = off"
KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


def collect(session: Session, tables: Iterable[str]) -> dict[str, Any]:
    """Return JSON that is equal as long as the database and the named tables are the same; missing tables are null.

    ``definition`` says each column, constraint, index, trigger with the digest of its function, rule and policy by name;
    ``oid`` differs when a table was created anew. Row counts and statistics are no part of it. Raises DatabaseError.
    """
    found = catalog.find(session, tables).tables
    definitions = _definitions(session, [table.oid for table in found.values() if table])
    identity = session.identity
    return {
        "system_identifier": identity.system_identifier,
        "database": identity.database,
        "server_major": identity.server_version // 10_000,
        "tables": {name: table and _fact(table, definitions[table.oid]) for name, table in found.items()},
    }


@type_
class Place:
    """A table that holds rows. ``identity`` changes when it is rewritten, made anew, or gains or loses columns."""

    schema: str
    name: str
    identity: str
    columns: tuple[str, ...]

    @property
    def storage(self) -> str:
        """Equal as long as the rows are not written anew."""
        return self.identity.rpartition(" ")[0]

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers of its columns: one that is dropped takes its number with it."""
        return frozenset(item.partition(":")[0] for item in self.identity.rpartition(" ")[2].split(","))


def fingerprint(session: Session) -> dict[str, str]:
    """Return object -> sha256 of all that defines it, for every object but the system's and ours.

    Relations, columns, constraints, indexes, triggers, rules, policies, routines, types, schemas, extensions and the
    rest, with owners, privileges and comments. In an open transaction it sees what that has changed. Raises DatabaseError.
    """
    with empty_search_path(session):
        rows = session.query("fingerprint")
    return {name: sha256(definition.encode("utf-8", "surrogateescape")) for name, definition in rows}


def places(session: Session) -> dict[str, Place]:
    """Return every table that holds rows, by qualified name, as the open transaction sees it."""
    return {
        f"{schema}.{name}": Place(schema=schema, name=name, identity=identity, columns=tuple(columns or ()))
        for schema, name, identity, columns in session.query("fingerprint_places")
    }


def contents(session: Session, place: Place) -> tuple[int, str]:
    """Return the number of rows of a table and a sum over their hashes, in which their order plays no role."""
    row = joined(identifier(column) for column in place.columns)
    found: tuple[int, str] = session.execute(
        compose(
            "SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(pg_catalog.hashtextextended(ROW({row})::text, 0)), 0)::text"
            " FROM ONLY {table}",
            row=row,
            table=identifier(place.schema, place.name),
        )
    )[0]
    return found


def _fact(table: Table, definition: dict[str, str]) -> dict[str, Any]:
    return {
        "name": table.qualified,
        "oid": table.oid,
        "kind": KINDS[table.kind],
        "definition": definition,
    }


def _definitions(session: Session, oids: list[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {oid: {} for oid in oids}
    if oids:
        with empty_search_path(session):
            for oid, part, text in session.query("definitions", oids=oids):
                found[oid][_plain(part)] = _plain(text or "")
    return found


def _plain(text: str) -> str:
    """Return text that JSON can hold, also from a database whose encoding is SQL_ASCII."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@contextmanager
def empty_search_path(session: Session) -> Iterator[None]:
    """The server then qualifies every name it prints, whatever the role's search_path; nothing of this stays.

    Nor does it compile the queries (jit), which would take it seconds each where there are many tables.
    """
    if session.in_transaction:
        session.run(f"SAVEPOINT okto_change_facts; {_READING}")
        try:
            yield
        finally:
            session.run("ROLLBACK TO SAVEPOINT okto_change_facts; RELEASE SAVEPOINT okto_change_facts")
        return
    session.begin(isolation=READ_COMMITTED, read_only=True)
    try:
        session.run(_READING)
        yield
    finally:
        session.rollback()
