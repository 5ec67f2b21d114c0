"""What stands in the way of imaging rows ahead of a statement; asked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, DatabaseError
from okto_change.execution.images import naming, shape
from okto_change.execution.images.pins import pinned

UPDATE, INSERT = 16, 4
"""bits of ``pg_trigger.tgtype``"""
SCANNED = 64 * 1024 * 1024
"""bytes of a table that may be read through to find inserted rows"""


def obstacles_ahead(
    session: Session,
    relid: int,
    event: int,
    *,
    columns: Sequence[str] = (),
    calls: Sequence[str] = (),
    many: bool = False,
) -> Iterator[str]:
    """Say why a statement's rows are better captured by triggers, nothing if its images can be taken ahead.

    ``event`` is its bit in ``pg_trigger.tgtype``; ``columns`` are those assigned, ``calls`` the functions in FROM and WHERE;
    ``many`` says that many rows will be inserted.
    """
    with pinned(session):
        found = session.query("optimistic_obstacles", oid=relid, event=event, columns=list(columns))
        volatile = session.query("optimistic_volatile", names=list(calls)) if calls else []
        size = session.query("optimistic_size", oid=relid)[0][0] or 0
        table = shape.load(session, [relid]).get(relid)
    yield from sorted(row[0] for row in found)
    for (name,) in volatile:
        yield f"{name}() may give another answer at every call"
    if event == INSERT and size > SCANNED and not many:
        yield "the table is large, and inserted rows are found by reading it through"
    if table is not None and any(naming.is_named(column) for column in table.columns):
        yield f"{table.qualified} holds names of objects, whose text depends on settings"
    if event != INSERT and table is not None:
        yield from _keys(table, columns)


def expected(session: Session, text: str) -> int:
    """Return how many rows the planner expects of a statement; nothing is run. 0 where it cannot tell."""
    session.run("SAVEPOINT okto_change")
    try:
        _, rows = session.texts(f"EXPLAIN (FORMAT JSON) {text}")
    except DatabaseError as error:
        if isinstance(error, ConnectionLost):
            raise
        rows = []
    # Taken back in any case: planning a statement takes its locks.
    session.run("ROLLBACK TO SAVEPOINT okto_change; RELEASE SAVEPOINT okto_change")
    if not rows:
        return 0
    plan = json.loads(rows[0][0] or "[{}]")[0].get("Plan", {})
    if plan.get("Node Type") == "ModifyTable":
        plan = (plan.get("Plans") or [{}])[0]
    return int(plan.get("Plan Rows", 0))


def _keys(table: shape.Shape, columns: Sequence[str]) -> Iterator[str]:
    if table.key is None:
        yield f"{table.qualified} has no key"
        return
    moved = [match.column.name for match in table.key if match.column.name in columns]
    if moved:
        yield f"{table.qualified}: its key {', '.join(moved)} is assigned"
