"""Undoing a large fix from its native images: one statement a table, which takes only rows that nobody changed since.

All of them or none: where a row is missing, where a constraint or a foreign key's action comes between, nothing is done,
the images are written as text, and the undo goes row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from okto_change.database import accounting
from okto_change.database.session import Session
from okto_change.errors import Conflict, ConnectionLost, DatabaseError
from okto_change.execution.images import (
    capture,
    coverage,
    matching,
    native,
    native_moves,
    native_text,
    net,
    swap,
    writers,
)
from okto_change.execution.images.coverage import Leaf
from okto_change.execution.images.native import Native
from okto_change.execution.images.pins import pinned, resolving
from okto_change.execution.images.shape import Shape

PASSING = frozenset({"40001", "40P01", "55P03", "57014"})
"""failures that another way would meet too: locks, time-outs, cancelling"""
Unchanged = Callable[[Session, Sequence[int], Sequence[int]], list[Shape]]


class _Otherwise(Exception):
    """It cannot be done for all rows at once."""


def take_back(
    session: Session, origin: int, name: str, unit: str, unchanged: Unchanged, *, only_clean: bool
) -> int | None:
    """Undo what stands of capture ``origin`` and return the number of rows; None: nothing done, go row by row.

    ``unchanged`` returns the live tables, or raises Conflict when their shape is another one now. Raises Conflict, unless
    ``only_clean``, with the rows that somebody changed, removed or replaced since.
    """
    with pinned(session):
        captures = net.family(session, origin)
        if not session.query("native_all", captures=captures):
            return None
        mixed = session.query("native_text", captures=captures)[0][0]
    if not mixed:
        try:
            with session.savepoint():
                return _all(session, captures, origin, name, unit, unchanged)
        except _Otherwise:
            if (
                net.family(session, origin) != captures
            ):  # another undo was committed while this one waited for its locks
                return take_back(session, origin, name, unit, unchanged, only_clean=only_clean)
        except DatabaseError as error:
            if isinstance(error, ConnectionLost) or error.sqlstate in PASSING:
                raise
    with pinned(session):
        if not only_clean and not mixed and (faults := _faults(session, captures)):
            raise Conflict(
                "somebody changed what this change left; undoing it would destroy that",
                where=session.target,
                faults=faults,
                hint="settle these rows by hand, or undo the rest with --only-clean",
            )
        native_text.spread(session, captures)
    return None


def _faults(session: Session, captures: Sequence[int]) -> tuple[str, ...]:
    """Name the rows that are not as the change left them; a hundred at most of each table."""
    lines: list[str] = []
    with native.roomy(session):
        natives = native.load(session, captures)
        last = writers.trusted(session, captures, [item.table.relid for item in natives])
        for item in natives:
            rows = session.execute(native_text.others(item, matching.NAMED + 1, last[item.table.relid]))
            taken = (item.op == "D") == (item.direction == 1) and item.op != "U"
            named = [
                f"{matching.label(item.table, left)}: "
                + ("another row has this key now" if taken else matching.since(item.table, left, now))
                for left, now in rows[: matching.NAMED]
            ]
            lines += [*named, *([f"{item.table.qualified}: and more"] if len(rows) > matching.NAMED else [])]
    return tuple(lines)


def _all(session: Session, captures: Sequence[int], origin: int, name: str, unit: str, unchanged: Unchanged) -> int:
    with pinned(session), native.roomy(session):
        oids = [row[0] for row in session.query("native_standing", captures=list(captures))]
        leaves = tuple(
            Leaf(oid=table.relid, schema=table.schema, name=table.name) for table in unchanged(session, captures, oids)
        )
        coverage.lock(session, leaves)
        shapes = {table.relid: table for table in unchanged(session, captures, oids)}
        natives = native.load(session, captures, shapes)
        last = writers.trusted(session, captures, oids)
        capture.quiet(session)
        number, _ = session.query("image_begin", run=name, unit=unit, undoes=origin)[0]
        before = accounting.open_ledger(session)
        session.run("SET CONSTRAINTS ALL IMMEDIATE")
        with swap.switched_off(session, oids), resolving(session):
            session.run("SET CONSTRAINTS ALL DEFERRED")
            for item in natives:
                native_moves.move(session, item, last[item.table.relid])
            session.run("SET CONSTRAINTS ALL IMMEDIATE")
        _demand(session, natives, before)
        for item in natives:
            _keep(session, number, item)
    return sum(item.rows for item in natives)


def _demand(session: Session, natives: Sequence[Native], before: accounting.Ledger) -> None:
    """Raise _Otherwise unless exactly the rows of the change were moved, and nothing else was written."""
    if not native_moves.alone(session, natives, before):
        raise _Otherwise
    for item in natives:
        computed = any(column.generated for column in item.table.columns)
        if computed and item.direction == 1 and native.identical(session, item) != item.rows:
            raise _Otherwise


def _keep(session: Session, number: int, item: Native) -> None:
    session.query(
        "native_keep",
        capture=number,
        relid=item.table.relid,
        source=item.source,
        sign=-item.direction,
        op=item.op,
        rows=item.rows,
        columns=[column.number for column in item.changed],
        home=item.home,
        foreseen=item.foreseen,
        uniform=item.uniform,
    )
    session.query("image_keep_shape", capture=number, relid=item.table.relid, shape=item.table.content(), named="[]")
