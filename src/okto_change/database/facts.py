"""What approvals bind of a database: which one it is, and a fingerprint of every table that the plan names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from okto_change.database import catalog
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.digest import sha256
from okto_change.model import Table

KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


def collect(session: Session, tables: Iterable[str]) -> dict[str, Any]:
    """Return JSON that is equal as long as the database and the named tables are the same; missing tables are null.

    ``definition`` is the sha256 over columns, constraints, indexes, triggers and their functions, rules and policies;
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


def _fact(table: Table, definition: str) -> dict[str, Any]:
    return {
        "name": table.qualified,
        "oid": table.oid,
        "kind": KINDS[table.kind],
        "definition": sha256(definition.encode("utf-8", "surrogateescape")),
    }


def _definitions(session: Session, oids: list[int]) -> dict[int, str]:
    if not oids:
        return {}
    with _empty_search_path(session):
        return {oid: text for oid, text in session.query("definitions", oids=oids)}


@contextmanager
def _empty_search_path(session: Session) -> Iterator[None]:
    """The server then qualifies every name it prints, whatever the role's search_path; nothing of this stays."""
    if session.in_transaction:
        session.run("SAVEPOINT okto_change_facts; SET LOCAL search_path = ''")
        try:
            yield
        finally:
            session.run("ROLLBACK TO SAVEPOINT okto_change_facts; RELEASE SAVEPOINT okto_change_facts")
        return
    session.begin(isolation=READ_COMMITTED, read_only=True)
    try:
        session.run("SET LOCAL search_path = ''")
        yield
    finally:
        session.rollback()
