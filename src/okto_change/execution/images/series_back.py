"""Taking chunks of a batch back, and putting them back again, from the native images that they share.

One statement for each table of a chunk, which moves only rows that nobody changed since; its row count must be that of the
images. None is returned where that way does not fit, and nothing is done then: ``restore`` goes row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from okto_change.database import accounting
from okto_change.database.accounting import Counts
from okto_change.database.composing import Part, compose, identifier, literal
from okto_change.database.session import Row, Session
from okto_change.errors import Conflict, ConnectionLost, DatabaseError
from okto_change.execution.images import matching, native, native_moves, native_text, series, shape, writers
from okto_change.execution.images.native import Native
from okto_change.execution.images.pins import pinned, pinned_for
from okto_change.execution.images.shape import Shape
from okto_change.model.base import type_

PASSING = frozenset({"40001", "40P01", "55P03", "57014"})
"""failures that another way would meet too: locks, time-outs, cancelling"""


@dataclass
class Known:
    """What this process has found out about the tables of a batch that it takes back; ``seals`` by home and table."""

    seals: dict[tuple[int, int], str] = field(default_factory=dict)
    shapes: dict[int, Shape] = field(default_factory=dict)


@type_
class Moving:
    """A chunk to move: the capture of the run that made it, all that took it back or put it back, and its range of the key."""

    origin: int
    captures: tuple[int, ...]
    table: int
    inside: Part
    """the condition that row ``t`` of that table lies in the range"""
    rows: int
    """how many images it kept"""


class _Otherwise(Exception):
    """Not every row can be moved at once."""


def families(session: Session, run: str, units: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return, by unit key of a chunk of ``run``, its capture and all that took it back or put it back."""
    return {unit: tuple(found) for unit, found in session.query("series_family", run=run, units=list(units))}


def prepare(session: Session, captures: Sequence[int]) -> None:
    """Let the chunks' rows be found, before the first is moved; in a transaction of its own."""
    with pinned(session):
        homes = {
            (item.home, item.table.relid): item for item in native.load(session, captures) if item.home is not None
        }
        series.index(session, homes.values())


# ------------------------------------------------------------------------------ one chunk


def move(session: Session, known: Known, moving: Moving, name: str, unit: str) -> bool:
    """Take a chunk from where it stands to the other side in the open transaction; False: it does not fit, nothing is done."""
    try:
        with session.savepoint():
            _move(session, known, moving, name, unit)
        return True
    except _Otherwise:
        return False
    except DatabaseError as error:
        if isinstance(error, ConnectionLost) or error.sqlstate in PASSING:
            raise
        return False


def _move(session: Session, known: Known, moving: Moving, name: str, unit: str) -> None:
    captures = {"captures": list(moving.captures)}
    with pinned_for(session, ("native_text", captures), ("native_standing", captures)) as (former, (text, standing)):
        if text[0][0]:
            raise _Otherwise
        natives = _standing(session, known, moving, standing)
        last = {item.table.relid: writers.of_chunks(session, moving.captures, item.table.relid) for item in natives}
        number, counters, room = _begin(session, moving, name, unit)
        former |= room
        for item in natives:
            own = item.table.relid == moving.table
            native_moves.move(session, item, last[item.table.relid], moving.inside if own else None)
        session.run("SET CONSTRAINTS ALL IMMEDIATE")
        if not native_moves.alone(session, natives, replace(accounting.EMPTY, counters=counters)):
            raise _Otherwise
        for item in natives:
            _keep(session, number, item)


def _begin(session: Session, moving: Moving, name: str, unit: str) -> tuple[int, dict[int, Counts], dict[str, str]]:
    """Return the number of the capture, the counters before anything is moved, and what settings were set."""
    begun, counters, room, *_ = session.each(
        ("image_begin", {"run": name, "unit": unit, "undoes": moving.origin}),
        ("account_counters", {}),
        ("series_settings", {"kilobytes": native.MEMORY}),
        compose("SET CONSTRAINTS ALL IMMEDIATE"),
        compose("SET CONSTRAINTS ALL DEFERRED"),
        ("image_resolve", {}),
    )
    return begun[0][0], accounting.counted(counters), {key: value for key, value, _ in room}


def _standing(session: Session, known: Known, moving: Moving, rows: list[Row]) -> tuple[Native, ...]:
    """Return what stands, its tables locked as their UPDATE locks them, and found to be those that the images were taken of."""
    if any(row[6] is None for row in rows):
        raise _Otherwise
    unknown = [row[0] for row in rows if row[0] not in known.shapes]
    if unknown:
        known.shapes |= shape.load(session, unknown)
    natives = native.of(rows, known.shapes)
    if len(natives) < len(rows) or sum(item.rows for item in natives) != moving.rows:
        raise _Otherwise  # a table is gone, images were purged, or an undo left some rows
    for item in natives:
        series.lock(session, [item])
        seal = series.seal(session, [item], ())
        place = item.home or 0, item.table.relid
        if known.seals.get(place) != seal:
            known.shapes[item.table.relid] = _sound(session, moving, item)
            known.seals[place] = seal
    return tuple(replace(item, table=known.shapes[item.table.relid]) for item in natives)


def _sound(session: Session, moving: Moving, item: Native) -> Shape:
    """Return the table as it is. Raises _Otherwise where it is another one now, or triggers and rules of others listen."""
    relid = item.table.relid
    live = shape.load(session, [relid]).get(relid)
    kept = {
        oid: shape.parse(oid, found)
        for oid, found in session.query("image_kept_shapes", captures=list(moving.captures))
    }
    listening = session.query("image_user_triggers", oids=[relid]) or session.query("image_user_rules", oids=[relid])
    if live is None or relid not in kept or shape.difference(kept[relid], live) is not None or listening:
        raise _Otherwise
    if any(column.generated for column in live.columns):
        raise _Otherwise  # what they are computed of is compared row by row
    return live


def _keep(session: Session, number: int, item: Native) -> None:
    session.later(
        "series_keep",
        capture=number,
        relid=item.table.relid,
        source=item.source,
        sign=-item.direction,
        op=item.op,
        rows=item.rows,
        columns=[column.number for column in item.changed],
        home=item.home,
        foreseen=item.foreseen,
        shape=item.table.content(),
    )


# ------------------------------------------------------------------------------ a look


def texts(session: Session, captures: Sequence[int]) -> frozenset[int]:
    """Return the captures among these that have images as text."""
    return frozenset(row[0] for row in session.query("series_texts", captures=list(captures)))


def faults(
    session: Session, captures: Sequence[int], limit: int, inside: Mapping[int, Part]
) -> tuple[tuple[int, str], ...]:
    """Return rows that are not where these chunks left them: the capture that made the chunk, and what became of the row.

    Many chunks are looked at in one go, for each home and table. Their images must be native. ``inside`` is, by table, a
    condition that all rows ``t`` of the chunks meet. Raises Conflict when a table has another shape now.
    """
    with pinned(session) as former:
        relids = {row[0] for row in session.query("native_standing", captures=list(captures))}
        shapes = _unchanged(session, captures, relids)
        former |= {key: value for key, value, _ in session.query("series_settings", kilobytes=native.MEMORY)}
        groups: dict[tuple[int | None, int, int, bool], list[Native]] = {}
        for item in native.load(session, captures, shapes):
            groups.setdefault((item.home, item.table.relid, item.direction, item.foreseen), []).append(item)
        last = {relid: writers.of_chunks(session, captures, relid) for relid in relids}
        doubted = [
            items
            for items in groups.values()
            if not _untouched(session, items, captures, inside.get(items[0].table.relid))
        ]
        return tuple(line for items in doubted for line in _named(session, items, last, limit))


def _untouched(session: Session, items: Sequence[Native], captures: Sequence[int], inside: Part | None) -> bool:
    """Whether as many rows as these chunks wrote are there as versions that they wrote: then nobody wrote one since.

    One scan of the range of the key instead of joins that compare every column. No proof of its own for ever, since
    transaction ids come round; each chunk compares its rows when it is moved.
    """
    if items[0].op == "D" and items[0].direction == 1:
        return False
    relid = items[0].table.relid
    ids = [row[0] for row in session.query("series_writers", captures=list(captures), relid=relid)]
    found: int = session.execute(
        compose(
            """SELECT pg_catalog.count(*) FROM ONLY {table} AS t
                WHERE {inside} AND t.xmin IN (SELECT pg_catalog.unnest({ids}::xid[]))""",
            table=items[0].table.table,
            inside=compose("true") if inside is None else inside,
            ids=literal("{" + ",".join(ids) + "}"),
        )
    )[0][0]
    return found == sum(item.rows for item in items)


def _unchanged(session: Session, captures: Sequence[int], relids: set[int]) -> dict[int, Shape]:
    live = shape.load(session, relids)
    kept = {
        relid: shape.parse(relid, found) for relid, found in session.query("image_kept_shapes", captures=list(captures))
    }
    unfit = tuple(
        reason for relid in sorted(relids) if (reason := shape.difference(kept[relid], live.get(relid))) is not None
    )
    if unfit:
        raise Conflict(
            "tables of this change have another shape since; their rows cannot be put back",
            where=session.target,
            faults=unfit,
            hint="write a new change that puts things right",
        )
    return live


def _named(session: Session, items: list[Native], last: dict[int, Part], limit: int) -> list[tuple[int, str]]:
    many = replace(items[0], sources=tuple(item.source for item in items))
    table = many.table
    taken = many.op == "D" and many.direction == 1
    rows = session.execute(native_text.others(many, limit, last[table.relid], more=identifier("o", "c0")))
    return [
        (
            source,
            f"{matching.label(table, left)}: "
            + ("another row has this key now" if taken else matching.since(table, left, now)),
        )
        for left, now, source in rows
    ]
