"""Imaging ahead: read the rows that a statement will change with its own WHERE, run it, prove that it changed exactly those.

Right only in a REPEATABLE READ transaction: both look at the same snapshot, and a row that somebody else changed meanwhile
ends in a serialization failure. No trigger is made and no lock taken that the statement does not take itself.

The proof needs no trust in the choice. For each table the server's counters say how many rows were updated and deleted;
that must be the number of images. Each imaged key must now belong to a row of this very transaction, or to none. Then every
update and every delete has its image, and no other row can have been changed. Inserted rows are those of this
transaction that no image explains; they too must be as many as the counter says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from okto_change.database import accounting
from okto_change.database.accounting import NONE, Relation, World
from okto_change.database.composing import Part, compose, literal
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, DatabaseError
from okto_change.execution.images import accounts, native, native_foreseen, net, shape
from okto_change.execution.images.capture import Capture, Imaged, known, quiet, settle
from okto_change.execution.images.coverage import Leaf
from okto_change.execution.images.native import Native
from okto_change.execution.images.pins import pinned, resolving
from okto_change.execution.images.shape import Shape
from okto_change.model import Preview

SMALL = 10_000
"""rows that one statement may image as text in the shared table"""
Rows = list[tuple[str | None, ...]]
PASSING = frozenset({"40001", "40P01", "55P03", "57014"})
"""failures that say nothing about the way of capturing: others wrote, locks, time-outs, cancelling"""


class Unproven(Exception):
    """The images are not known to be exactly the rows changed; the transaction must be rolled back and done with triggers."""

    def __init__(self, unit: str, reason: str, *, large: bool = False) -> None:
        super().__init__(reason)
        self.unit = unit
        self.reason = reason
        self.large = large
        """whether native images may do where text did not"""


def begin(session: Session, run: str, unit: str, large: Iterable[tuple[int, str, Preview | None]] = ()) -> Capture:
    """Begin an optimistic capture in the open REPEATABLE READ transaction; captures that still record are stopped.

    ``large`` are the statements expected to change many rows, the only ones of their tables: table, 'I', 'U' or 'D', and
    the preview, which an INSERT has none of. Their images become tables of their own where the table allows it.
    """
    with pinned(session) as former:
        quiet(session)
        number, _ = session.query("image_begin", run=run, unit=unit, undoes=None)[0]
        capture = Capture(id=number, run=run, unit=unit, tables={}, search_path=former["search_path"], imaged=Imaged())
        written = accounting.write_locks(session)
        for relid, op, preview in large:
            # Rows that this transaction wrote before would look like rows of the statement.
            sets = preview.sets if preview else ()
            if relid not in written and native.fits(session, relid, op, sets):
                foreseen = may_foresee(session, preview)
                uniform = preview is not None and preview.uniform
                _imaged(capture).natives[relid] = native.make(
                    session, number, relid, op, sets, foreseen=foreseen, uniform=uniform
                )
        capture.before = accounting.open_ledger(session)
    return capture


def may_foresee(session: Session, preview: Preview | None) -> bool:
    """Whether the values assigned can be asked for beforehand and are the same then."""
    if preview is None or not preview.values:
        return False
    return not session.query("optimistic_volatile", names=list(preview.value_calls))


# ---------------------------------------------------------------------------- ahead


def ahead_of_insert(session: Session, capture: Capture, relid: int) -> None:
    """Remember that the next statement inserts into this table."""
    imaged = _imaged(capture)
    imaged.inserts.add(relid)
    with pinned(session):
        _know(session, capture, [relid])


def ahead_of_change(session: Session, capture: Capture, preview: Preview, op: str, relid: int) -> None:
    """Image the rows that the next statement, an UPDATE (``op`` U) or DELETE (D) of table ``relid``, is going to change.

    Raises Unproven when they cannot be read, are too many, or were changed in this transaction before.
    """
    if relid in _imaged(capture).natives:
        _copy(session, capture, preview, _imaged(capture).natives[relid])
        return
    places = _places(session, capture, preview)
    imaged = _imaged(capture)
    with pinned(session):
        shapes = _know(session, capture, places)
        for relid, tids in places.items():
            if relid not in shapes or shapes[relid].key is None:
                raise Unproven(capture.unit, f"{preview.table}: a table that holds the rows has no key")
            try:
                taken = _image(session, capture, shapes[relid], tids, op)
            except DatabaseError as error:  # the change may have taken a role that must not write images
                raise _unreadable(capture, error) from error
            if taken != len(tids):
                raise Unproven(capture.unit, f"{preview.table}: {len(tids)} rows found, {taken} read")
            imaged.counts[relid, op] = imaged.counts.get((relid, op), 0) + taken


def _copy(session: Session, capture: Capture, preview: Preview, images: Native) -> None:
    """Copy the rows, as the author's expressions find them under the author's settings."""
    alias = preview.alias
    once = f"DISTINCT ON ({alias}.tableoid, {alias}.ctid) " if preview.joined else ""
    try:
        session.run(
            f"INSERT INTO {native.OUR}.{images.old_name} {preview.prefix}SELECT {once}{fields(preview, images)} {preview.rows}"
        )
    except DatabaseError as error:
        raise _unreadable(capture, error) from error
    with pinned(session):
        _know(session, capture, [images.table.relid])
        _imaged(capture).counts[images.table.relid, images.op] = native.inserted(session, images.old_name)


def fields(preview: Preview, images: Native) -> str:
    """Return what is copied of each row: all of it, and beside it the values foreseen, in the author's own words."""
    assigned = dict(zip(preview.sets, preview.values, strict=images.foreseen))
    return ", ".join([f"{preview.alias}.*", *(assigned[column.name] for column in images.beside)])


def read_ahead(session: Session, capture: Capture, text: str) -> Rows:
    """Run a statement cut from the author's that takes images; return its rows as text. Raises Unproven when it cannot."""
    try:
        return session.texts(text)[1]
    except DatabaseError as error:
        raise _unreadable(capture, error) from error


def _unreadable(capture: Capture, error: DatabaseError) -> Exception:
    if isinstance(error, ConnectionLost) or error.sqlstate in PASSING:
        return error
    return Unproven(capture.unit, f"its rows cannot be read beforehand: {error.message}")


def _places(session: Session, capture: Capture, preview: Preview) -> dict[int, list[str]]:
    """Return where the rows lie, by table. Read-only: what the author's expressions call must not write twice."""
    alias = preview.alias
    text = f"{preview.prefix}SELECT {alias}.tableoid, {alias}.ctid, {alias}.xmin {preview.rows} LIMIT {SMALL + 1}"
    own = session.query("optimistic_xid")[0][0]
    try:
        session.run("SAVEPOINT okto_change; SET TRANSACTION READ ONLY")
        _, rows = session.texts(text)
        session.run("ROLLBACK TO SAVEPOINT okto_change; RELEASE SAVEPOINT okto_change")
    except DatabaseError as error:
        raise _unreadable(capture, error) from error
    if len(rows) > SMALL:
        raise Unproven(capture.unit, f"{preview.table}: more than {SMALL} rows match", large=True)
    if any(row[2] == own for row in rows):
        raise Unproven(capture.unit, f"{preview.table}: a row is changed by two statements")
    places: defaultdict[int, list[str]] = defaultdict(list)
    for relid, place in dict.fromkeys((row[0], row[1]) for row in rows):
        places[int(relid or 0)].append(place or "")
    return places


def _know(session: Session, capture: Capture, oids: Iterable[int]) -> dict[int, Shape]:
    """Read the shapes of tables inside ``pinned``: how a type's name reads depends on the search path, and they are kept."""
    shapes = shape.load(session, oids)
    _imaged(capture).shapes.update(shapes)
    for relid, table in shapes.items():
        capture.tables[relid] = Leaf(oid=relid, schema=table.schema, name=table.name)
    return shapes


def _image(session: Session, capture: Capture, table: Shape, tids: list[str], op: str) -> int:
    taken: int = session.execute(
        compose(
            """WITH taken AS (
                   INSERT INTO okto_change.image (capture, relid, op, before)
                   SELECT {capture}, {relid}, {op}, {text} FROM ONLY {table} AS t WHERE t.ctid = ANY (%s::tid[]) RETURNING 1)
               SELECT pg_catalog.count(*) FROM taken""",
            capture=literal(capture.id),
            relid=literal(table.relid),
            op=literal(op),
            text=table.row_text("t"),
            table=table.table,
        ),
        [tids],
    )[0][0]
    return taken


def _imaged(capture: Capture) -> Imaged:
    if capture.imaged is None:
        raise ValueError("this capture has triggers")
    return capture.imaged


# ---------------------------------------------------------------------------- proof


def prove(session: Session, capture: Capture) -> None:
    """Complete the images with the rows as they are now, and prove that they are all. Nothing to do for triggers.

    Fires what is deferred first; nothing may write after it. Raises Unproven with the reason.
    """
    if capture.imaged is None:
        return
    settle(session)
    with pinned(session):
        relations, _ = accounting.written(session, capture.before)
        demand_known(capture, relations, accounting.world(session))
        # Locked to be written, as partitions are that no row was found in, but not written.
        _know(session, capture, [r.oid for r in relations if accounts.is_table(r) and r.oid not in capture.tables])
        counts = {relation.oid: relation.counts for relation in relations}
        since = accounting.counters(session)
        for table in known(session, capture, capture.tables, relations).values():
            _prove_table(session, capture, table, counts.get(table.relid, NONE))
        capture.before = accounting.without(session, capture.before, since)


def demand_known(capture: Capture, relations: Iterable[Relation], world: World) -> None:
    """Raise Unproven where anything but rows of the capture's own tables was written."""
    found = tuple(relations)
    if accounts.needs_strays(found) or world != capture.before.world:
        raise Unproven(capture.unit, "the system catalogue is written too")
    for relation in filter(accounts.is_table, found):
        if relation.oid not in capture.tables and relation.counts != NONE:
            raise Unproven(capture.unit, f"{relation.qualified} is written too")
        if relation.modes & accounts.EXCLUSIVE:
            raise Unproven(capture.unit, f"{relation.qualified} is locked as TRUNCATE locks")


def _prove_table(session: Session, capture: Capture, table: Shape, counts: accounting.Counts) -> None:
    imaged = _imaged(capture)
    inserted, updated, deleted = counts
    olds = {op: imaged.counts.get((table.relid, op), 0) for op in "UD"}
    if (updated, deleted) != (olds["U"], olds["D"]):
        what = f"{updated} rows updated and {deleted} deleted, {olds['U']} and {olds['D']} imaged"
        raise Unproven(capture.unit, f"{table.qualified}: {what}")
    if inserted and table.relid not in imaged.inserts:
        raise Unproven(
            capture.unit, f"{table.qualified}: {inserted} rows came in, moved there or inserted by a trigger"
        )
    images = imaged.natives.get(table.relid)
    if images is not None:
        _prove_native(session, capture, images, counts)
        return
    with resolving(session):  # rows are read back from text, and domains may check them by functions of their own
        _prove_text(session, capture, table, counts)


def _prove_text(session: Session, capture: Capture, table: Shape, counts: accounting.Counts) -> None:
    inserted, updated, deleted = counts
    if updated and _updated(session, capture, table) != updated:
        raise Unproven(capture.unit, f"{table.qualified}: rows imaged were not changed, or have another key now")
    if deleted and _still_there(session, capture, table):
        raise Unproven(capture.unit, f"{table.qualified}: a deleted key is there again")
    if inserted and _inserted(session, capture, table, explained=bool(updated)) != inserted:
        raise Unproven(capture.unit, f"{table.qualified}: {inserted} rows came in, not all of them are there")


def _prove_native(session: Session, capture: Capture, images: Native, counts: accounting.Counts) -> None:
    rows = counts["IUD".index(images.op)]
    if sum(counts) != rows:
        raise Unproven(capture.unit, f"{images.table.qualified}: rows were written that no image explains")
    if not rows:
        return
    with native.roomy(session):
        made, images = images.uniform, native_foreseen.seen(session, images, rows)
        if images.op != "D" and not images.foreseen and native.keep_new(session, images, made=made) != rows:
            raise Unproven(
                capture.unit,
                f"{images.table.qualified}: rows imaged were not changed, or not only as the statement says",
            )
        if images.op == "D" and native.still_there(session, images):
            raise Unproven(capture.unit, f"{images.table.qualified}: a deleted key is there again")
    session.query(
        "native_keep",
        capture=capture.id,
        relid=images.table.relid,
        source=capture.id,
        sign=1,
        op=images.op,
        rows=rows,
        columns=[column.number for column in images.changed],
        home=images.home,
        foreseen=images.foreseen,
        uniform=images.uniform,
    )


def _olds(capture: Capture, table: Shape, op: str) -> Part:
    """The images taken ahead, with the columns of the key in their own types."""
    source = compose(
        """SELECT i.before AS image, 1 AS n FROM okto_change.image AS i
            WHERE i.capture = {capture} AND i.relid = {relid}::oid AND i.op = {op} AND i.before IS NOT NULL""",
        capture=literal(capture.id),
        relid=literal(table.relid),
        op=literal(op),
    )
    return net.typed(table, source, columns=[match.column for match in table.key or ()])


def _updated(session: Session, capture: Capture, table: Shape) -> int:
    found: int = session.execute(
        compose(
            """WITH olds AS MATERIALIZED ({olds}), news AS (
                   INSERT INTO okto_change.image (capture, relid, op, after)
                   SELECT {capture}, {relid}, 'u', {text} FROM olds AS o JOIN ONLY {table} AS t ON {same} WHERE {own} RETURNING 1)
               SELECT pg_catalog.count(*) FROM news""",
            olds=_olds(capture, table, "U"),
            capture=literal(capture.id),
            relid=literal(table.relid),
            text=table.row_text("t"),
            table=table.table,
            same=shape.matches("t", "o", table.key or (), labels="o"),
            own=native.own(session),
        )
    )[0][0]
    return found


def _still_there(session: Session, capture: Capture, table: Shape) -> int:
    found: int = session.execute(
        compose(
            """WITH olds AS MATERIALIZED ({olds})
               SELECT pg_catalog.count(*) FROM olds AS o JOIN ONLY {table} AS t ON {same}""",
            olds=_olds(capture, table, "D"),
            table=table.table,
            same=shape.matches("t", "o", table.key or (), labels="o"),
        )
    )[0][0]
    return found


def _inserted(session: Session, capture: Capture, table: Shape, *, explained: bool) -> int:
    others = compose("true")
    if explained:
        others = compose(
            "NOT EXISTS (SELECT FROM ({olds}) AS o WHERE {same})",
            olds=_olds(capture, table, "U"),
            same=shape.matches("t", "o", table.key or (), labels="o"),
        )
    found: int = session.execute(
        compose(
            """WITH news AS (
                   INSERT INTO okto_change.image (capture, relid, op, after)
                   SELECT {capture}, {relid}, 'I', {text} FROM ONLY {table} AS t WHERE {own} AND {others} RETURNING 1)
               SELECT pg_catalog.count(*) FROM news""",
            capture=literal(capture.id),
            relid=literal(table.relid),
            text=table.row_text("t"),
            table=table.table,
            own=native.own(session),
            others=others,
        )
    )[0][0]
    return found
