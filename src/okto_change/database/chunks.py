"""Chunks of a batch in a target: the range of keys of the next one, the row each leaves, pauses, and replicas behind."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from okto_change.database.composing import Composed, Part, compose, identifier, literal
from okto_change.database.session import Row, Session
from okto_change.errors import DatabaseError, Refused
from okto_change.model import Batch
from okto_change.model.base import type_

TYPES = {
    "bigint": "int8",
    "integer": "int4",
    "smallint": "int2",
    "numeric": "numeric",
    "uuid": "uuid",
    "text": "text",
    "varchar": "varchar",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamptz",
}
"""type of a key as in the plan -> its name in ``pg_catalog``"""
Rows = tuple[tuple[str | None, ...], ...]


@type_
class Through:
    """What a batch goes through, as found: the table by its oid and quoted name, the key, the key's type."""

    oid: int
    table: Part
    key: Part
    type: Part
    size: int


@type_
class Range:
    """The keys of one chunk, both ends inclusive, as text under pinned settings."""

    first: str
    last: str


@type_
class Done:
    """A chunk that was committed: its keys, the images it kept, whether it stands.

    Else ``left`` rows of it were left as they are, and ``undos`` are the runs whose images tell how it was taken back, the
    last one first.
    """

    range: Range
    imaged: int
    stands: bool
    left: int
    undos: tuple[str, ...]


@type_
class Opened:
    """What was fixed before the first chunk: the largest key, about how many chunks, the invariants over the whole."""

    upper: str | None
    chunks: int | None
    invariants: Mapping[str, Rows]


@type_
class Standing:
    """Chunks that stand: how many, the number and last key of the latest; and how many were taken back."""

    count: int = 0
    latest: int = 0
    last: str | None = None
    undone: int = 0


@type_
class Ahead:
    """The chunk to take back next, None after the last one: whether it ``stands``, or rows of it were left before.

    ``more`` are to come after it, ``standing`` chunks will stand then, of ``of``; ``left`` rows were left of all others.
    """

    number: int | None
    stands: bool
    more: int
    standing: int
    of: int
    left: int


def through(session: Session, batch: Batch) -> Through:
    """Find the table of ``batch`` by the search path of the session. Raises Refused when it is not there."""
    rows = session.query("image_names", names=[batch.table])
    if not rows:
        raise Refused(f"there is no table {batch.table} to go through", where=session.target)
    oid = int(rows[0][1])
    schema, name = session.query("batch_name", oid=oid)[0]
    return Through(
        oid=oid,
        table=identifier(schema, name),
        key=identifier(batch.key),
        size=batch.size,
        type=identifier("pg_catalog", TYPES[batch.type]),
    )


def largest(session: Session, go: Through) -> str | None:
    """Return the largest key, None in an empty table. Pinned settings are the caller's."""
    rows = session.execute(
        compose("SELECT t.{key}::text FROM {table} AS t ORDER BY t.{key} DESC LIMIT 1", key=go.key, table=go.table)
    )
    return rows[0][0] if rows else None


def following(session: Session, go: Through, after: str | None, upper: str) -> Range | None:
    """Return the next ``size`` rows behind key ``after`` (None: from the first) up to ``upper``; None when there are none."""
    return found_in(session.execute(seeking(go, after, upper)))


def found_in(rows: list[Row]) -> Range | None:
    """Return the range that ``seeking`` found."""
    first, last = rows[0]
    return None if first is None else Range(first=first, last=last)


def seeking(go: Through, after: str | None, upper: str) -> Composed:
    """Return the query of the next range, see ``following``. Pinned settings are the caller's."""
    beyond = compose("true")
    if after is not None:
        beyond = compose("t.{key} > {after}::{type}", key=go.key, after=literal(after), type=go.type)
    return compose(
        """SELECT (SELECT t.{key}::text FROM {rows} ORDER BY t.{key} LIMIT 1),
                  coalesce((SELECT k.at::text
                              FROM (SELECT t.{key} FROM {rows} ORDER BY t.{key} OFFSET {most} LIMIT 1) AS k (at)),
                           (SELECT t.{key}::text FROM {rows} ORDER BY t.{key} DESC LIMIT 1))""",
        key=go.key,
        rows=compose(
            "{table} AS t WHERE {beyond} AND t.{key} <= {upper}::{type}",
            table=go.table,
            beyond=beyond,
            key=go.key,
            upper=literal(upper),
            type=go.type,
        ),
        most=literal(go.size - 1),
    )


def estimated(session: Session, go: Through) -> int | None:
    """Return about how many chunks the table has by its statistics, None when it was never analysed."""
    rows = session.query("batch_rows", oid=go.oid)[0][0]
    return None if rows is None else max(1, -(-int(rows) // go.size))


def inside(go: Through, found: Range, key: Part) -> Part:
    """Return the condition that a key lies in the range. Pinned settings are the caller's."""
    return compose(
        "{key} BETWEEN {first}::{type} AND {last}::{type}",
        key=key,
        type=go.type,
        first=literal(found.first),
        last=literal(found.last),
    )


def enter(session: Session, found: Range) -> None:
    """Tell the statements of this transaction which keys are theirs."""
    session.later("batch_enter", first=found.first, last=found.last)


def beyond(session: Session, go: Through, found: Range, capture: int, tables: Mapping[int, Part]) -> int:
    """Count the imaged rows of these tables, old or new, whose key lies outside the range. Pinned settings are the caller's."""
    count = 0
    for relid, table in tables.items():
        count += session.execute(
            compose(
                """SELECT pg_catalog.count(*)
                     FROM (SELECT i.before AS image FROM okto_change.image AS i
                            WHERE i.capture = {capture} AND i.relid = {relid} AND i.before IS NOT NULL
                           UNION ALL
                           SELECT i.after FROM okto_change.image AS i
                            WHERE i.capture = {capture} AND i.relid = {relid} AND i.after IS NOT NULL) AS i
                    CROSS JOIN LATERAL (SELECT i.image::{table} AS r OFFSET 0) AS p
                    WHERE ((p.r).{key} BETWEEN {first}::{type} AND {last}::{type}) IS NOT TRUE""",
                capture=literal(capture),
                relid=literal(relid),
                table=table,
                key=go.key,
                type=go.type,
                first=literal(found.first),
                last=literal(found.last),
            )
        )[0][0]
    return count


def own(session: Session, go: Through, found: Range) -> int:
    """Count the rows in the range that this transaction wrote. Pinned settings are the caller's."""
    rows = session.execute(
        compose(
            """SELECT pg_catalog.count(*) FROM {table} AS t
                WHERE t.{key} BETWEEN {first}::{type} AND {last}::{type}
                  AND t.xmin OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()::pg_catalog.xid""",
            table=go.table,
            key=go.key,
            type=go.type,
            first=literal(found.first),
            last=literal(found.last),
        )
    )
    return int(rows[0][0])


def leaves(session: Session, go: Through) -> frozenset[int]:
    """Return the oids of the tables that hold the rows: the table itself, its partitions and children."""
    return frozenset(int(row[0]) for row in session.query("batch_leaves", oid=go.oid))


# ------------------------------------------------------------------------------ state rows


def load(session: Session, run: str, unit: str) -> Opened | None:
    """Return what was fixed when the batch began, None if it has not."""
    rows = session.query("batch_load", run=run, unit=unit)
    if not rows:
        return None
    upper, chunks, invariants = rows[0]
    kept = {name: tuple(tuple(row) for row in found) for name, found in invariants.items()}
    return Opened(upper=upper, chunks=chunks, invariants=kept)


def keep(session: Session, run: str, unit: str, opened: Opened) -> None:
    """Write what was fixed, in the open transaction."""
    session.query(
        "batch_open",
        run=run,
        unit=unit,
        upper=opened.upper,
        chunks=opened.chunks,
        invariants=json.dumps(opened.invariants),
    )


def close(session: Session, run: str, unit: str) -> None:
    """Write, in the open transaction, that the whole was judged."""
    session.query("batch_close", run=run, unit=unit)


def closed(session: Session, run: str, unit: str) -> bool:
    """Whether a batch came to its end and the whole was judged."""
    return session.query("batch_closed", run=run, unit=unit) == [(True,)]


def standing(session: Session, run: str, unit: str) -> Standing:
    """Return which chunks of a batch stand."""
    count, latest, last, undone = session.query("chunk_standing", run=run, unit=unit)[0]
    return Standing(count=count, latest=latest, last=last, undone=undone)


def totals(session: Session, run: str, unit: str) -> tuple[int | None, ...]:
    """Return the rows of each statement over the chunks that stand, None where one does not tell; () without chunks."""
    return tuple(row[0] for row in session.query("chunk_rows", run=run, unit=unit))


def written(session: Session, run: str, unit: str, numbers: Sequence[int] | None = None) -> dict[str, list[int]]:
    """Return table -> rows inserted, updated, deleted and imaged by these chunks, by default those that stand."""
    listed = None if numbers is None else list(numbers)
    return {table: counts for table, *counts in session.query("chunk_writes", run=run, unit=unit, numbers=listed)}


def done(session: Session, run: str, unit: str) -> dict[int, Done]:
    """Return every chunk that was ever committed, by number."""
    return {
        number: Done(range=Range(first=first, last=last), imaged=imaged, stands=stands, left=left, undos=tuple(undos))
        for number, first, last, imaged, stands, left, undos in session.query("chunk_done", run=run, unit=unit)
    }


def record(
    session: Session,
    run: str,
    unit: str,
    number: int,
    found: Range,
    *,
    rows: Sequence[int | None],
    writes: Mapping[str, Sequence[int]],
    ours: bool,
) -> int:
    """Write, in the transaction of the chunk itself, that it is done; return how many sessions wait for a lock of it.

    ``ours`` where prepared statements are known to be, since nothing of others has run. Raises Refused when somebody has
    done it already.
    """
    done = {
        "run": run,
        "unit": unit,
        "number": number,
        "first": found.first,
        "last": found.last,
        "rows": json.dumps(list(rows)),
        "writes": json.dumps({name: list(counts) for name, counts in writes.items()}),
    }
    try:
        return int(session.each(("chunk_record", done), ("blocked_by_us", {}), again=ours, ours=ours)[1][0][0])
    except DatabaseError as error:
        if error.sqlstate != "23505":
            raise
        raise Refused(f"chunk {number} of run {run} is done already", where=session.target) from error


def ahead(session: Session, run: str, unit: str, below: int | None, *, rest: bool) -> Ahead:
    """Return the next chunk to take back: the latest below ``below`` that stands, or with ``rest`` of which rows were left."""
    number, due, standing, of, stands, left = session.query("chunk_ahead", run=run, unit=unit, below=below, rest=rest)[
        0
    ]
    return Ahead(number=number, stands=stands, more=max(due - 1, 0), standing=standing - stands, of=of, left=left)


def record_undone(session: Session, run: str, unit: str, number: int, undone_by: str, *, left: int = 0) -> None:
    """Write, in the transaction of the undo itself, that a chunk is taken back but for ``left`` rows.

    As long as there are any, it may be taken back again. Raises Refused when it does not stand (any more).
    """
    if not session.query("chunk_undone", run=run, unit=unit, number=number, undone_by=undone_by, left=left):
        raise Refused(f"chunk {number} of run {run} is not applied, or undone already", where=session.target)


def record_redone(session: Session, run: str, unit: str, number: int, redone_by: str) -> None:
    """Write, in the transaction of the redo itself, that a chunk stands again. Raises Refused when it stands already."""
    if not session.query("chunk_redone", run=run, unit=unit, number=number, redone_by=redone_by):
        raise Refused(f"chunk {number} of run {run} is not undone", where=session.target)


def close_redo(session: Session, run: str, unit: str, redone_by: str) -> None:
    """Write, in the open transaction, that the whole was judged after its chunks were put back."""
    session.query("batch_redone", run=run, unit=unit, redone_by=redone_by)


# ------------------------------------------------------------------------------ what to wait for


def ask_pause(session: Session, run: str, person: str) -> None:
    """Ask a run to stop before its next chunk."""
    session.query("pause_ask", run=run, person=person)


def asked_pause(session: Session, run: str) -> tuple[str, datetime] | None:
    """Return who asked the run to stop, and when; None if nobody did."""
    rows: list[Any] = session.query("pause_asked", run=run)
    return (rows[0][0], rows[0][1]) if rows else None


def end_pause(session: Session, run: str) -> None:
    """Forget that somebody asked the run to stop."""
    session.query("pause_end", run=run)


def blocked(session: Session) -> int:
    """Return how many sessions wait for a lock that this one holds."""
    return int(session.query("blocked_by_us")[0][0])


def lag(session: Session) -> int | None:
    """Return how many milliseconds the slowest replica is behind: 0 without replicas, None where the role may not see it."""
    found: int | None = session.query("replica_lag")[0][0]
    return found
