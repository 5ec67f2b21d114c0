"""Undo: find what a run left, put back what it found, prove that nothing else changed. All of it, or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from okto_change.database.composing import compose, identifier, literal
from okto_change.database.session import Session
from okto_change.errors import Conflict, DatabaseError, NotReversible, Unaccounted
from okto_change.execution.images import (
    aside,
    coverage,
    matching,
    naming,
    native,
    net,
    retention,
    shape,
    swap,
    unchecked,
    wholesale,
    writers,
)
from okto_change.execution.images import capture as capturing
from okto_change.execution.images.capture import Capture
from okto_change.execution.images.matching import Work
from okto_change.execution.images.pins import pinned, resolving
from okto_change.execution.images.shape import Shape
from okto_change.execution.images.unchecked import Unchecked
from okto_change.model import UndoProof
from okto_change.model.base import type_

ATTEMPTS = 4
CLASSES = ("22", "23")
"""SQLSTATE classes that mean: the rows of today do not let the old ones back (data does not fit, constraint)"""


@type_
class Restored:
    """What an undo did: ``rows`` put back or taken away, ``left`` rows left alone, of which ``conflicts`` names the first."""

    rows: int
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: int = 0


class _Uncovered(Exception):
    def __init__(self, tables: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(tables)))
        self.tables = tables


def restore(
    session: Session, run: str, *, unit: str, only_clean: bool = False, undo_run: str | None = None
) -> Restored:
    """Undo what still stands of a unit of ``run``, in the open transaction, and keep images of the undo as ``undo_run``.

    Works from the image table alone, at any later time. Either every row is back as it was, or nothing is done and
    Conflict names the rows that somebody changed, removed, replaced or came to depend on since; with ``only_clean``
    those are left alone and the rest is undone. Waits for locks at most lock_timeout. The images of an undo are those
    of a run: ``restore(undo_run)`` redoes. Raises NotReversible when this role or the table cannot do it.
    """
    origin = session.query("image_origin", run=run, unit=unit)
    if not origin:
        raise NotReversible(f"there are no images of run {run}, unit {unit}", where=session.target)
    retention.demand_kept(session, run, unit)
    name, extra = undo_run or f"{run}/undo", frozenset[str]()
    taken = wholesale.take_back(session, origin[0][0], name, unit, _unchanged_tables, only_clean=only_clean)
    if taken is not None:
        return Restored(rows=taken)
    for _ in range(ATTEMPTS):
        try:
            with session.savepoint():
                return _once(session, origin[0][0], name, unit, extra, only_clean=only_clean)
        except _Uncovered as uncovered:
            extra |= uncovered.tables
        except DatabaseError as error:
            raise _explained(session, error) from error
    raise Unaccounted(
        f"the undo writes to tables that cannot be captured: {', '.join(sorted(extra))}", where=session.target
    )


def _once(session: Session, origin: int, name: str, unit: str, extra: frozenset[str], *, only_clean: bool) -> Restored:
    with pinned(session):
        captures = net.family(session, origin)
        standing = net.standing(session, captures)
        oids = [item.relid for item in standing]
        leaves = coverage.leaves(session, oids + list(coverage.resolve(session, extra).values()))
        undo = capturing.begin(session, name, unit, leaves, undoes=origin)
        if net.family(session, origin) != [*captures, undo.id]:
            raise _Uncovered(frozenset())  # another undo was committed while this one waited for its locks
        tables = _unchanged_tables(session, captures, oids)
        last = writers.trusted(session, captures, oids)
        works = [matching.prepare(session, table, captures, undo.id, last[table.relid]) for table in tables]
        loose = unchecked.begin(session, captures, undo.id, works)
        dirty = matching.conflicts(session, works, captures if loose else ())
        if dirty and not only_clean:
            raise Conflict(
                "somebody changed what this change left; undoing it would destroy that",
                where=session.target,
                faults=matching.reasons(dirty),
                hint="settle these rows by hand, or undo the rest with --only-clean",
            )
        dirty += aside.entangled(session, works, dirty)
        aside.set_aside(session, dirty)
        rows = sum(_size(session, work) for work in works)
        _put_back(session, works, oids, loose, undo)
        notes = _side_effects(session, origin)
    _demand_exact(session, undo, origin, works, left=bool(dirty))
    capturing.finish(session, undo)
    left = len({(item.work.table.relid, item.id) for item in dirty})
    return Restored(rows=rows, conflicts=matching.reasons(dirty), notes=notes, left=left)


def _unchanged_tables(session: Session, captures: Sequence[int], oids: Sequence[int]) -> list[Shape]:
    rows = session.query("image_kept_shapes", captures=list(captures))
    kept = {relid: shape.parse(relid, found) for relid, found in rows}
    live = shape.load(session, oids)
    unfit = [shape.difference(kept[relid], live.get(relid)) for relid in oids]
    faults = tuple(reason for reason in unfit if reason is not None) + naming.moved(session, captures)
    if faults:
        raise Conflict(
            "tables of this change have another shape since; their rows cannot be put back",
            where=session.target,
            faults=faults,
            hint="write a new change that puts things right",
        )
    return [live[relid] for relid in oids]


def _size(session: Session, work: Work) -> int:
    found: int = session.execute(
        compose(
            """SELECT coalesce(pg_catalog.sum(pg_catalog.abs(r.n)), 0)::bigint
                    - (SELECT pg_catalog.count(*) FROM {places} AS a WHERE a.new IS NOT NULL)
                 FROM {rows} AS r""",
            rows=work.rows,
            places=work.places,
        )
    )[0][0]
    return found


def _put_back(
    session: Session, works: Sequence[Work], oids: Sequence[int], loose: Unchecked | None, undo: Capture
) -> None:
    session.run("SET CONSTRAINTS ALL IMMEDIATE")
    if loose is not None:
        unchecked.note(session, works, loose, undo.id)
    with swap.switched_off(session, oids), resolving(session), unchecked.as_replica(session, loose):
        session.run("SET CONSTRAINTS ALL DEFERRED")
        swap.put_back(session, works)
        session.run("SET CONSTRAINTS ALL IMMEDIATE")
    unchecked.demand_sound(session, works, loose)


def _side_effects(session: Session, origin: int) -> tuple[str, ...]:
    notes = []
    for schema, name, last, called in session.query("image_restarted_sequences", capture=origin):
        sequence = identifier(schema, name)
        # RESTART gives the sequence a new file in this transaction; what setval writes there is rolled back with it.
        session.execute(compose("ALTER SEQUENCE {sequence} RESTART", sequence=sequence))
        session.execute(
            compose(
                "SELECT pg_catalog.setval({oid}::pg_catalog.regclass, {last}, {called})",
                oid=literal(sequence_text(schema, name)),
                last=literal(last),
                called=literal(called),
            )
        )
        notes.append(f"sequence {schema}.{name} set back to {last}")
    return (*notes, *_views(session, origin))


def _views(session: Session, origin: int) -> Iterator[str]:
    """Fill the materialized views that were refreshed anew, or empty those that held no data before; tell which."""
    rows = session.query("image_kept_shapes", captures=[origin])
    kept = {relid: shape.parse(relid, found) for relid, found in rows if found["kind"] == "m"}
    for relid, view in shape.load(session, kept).items():
        if kept[relid].unpopulated:
            session.execute(compose("REFRESH MATERIALIZED VIEW {view} WITH NO DATA", view=view.table))
            yield f"materialized view {view.qualified} holds no data, as before the change"
        else:
            session.execute(compose("REFRESH MATERIALIZED VIEW {view}", view=view.table))
            yield f"materialized view {view.qualified} refreshed from the rows of now"


def sequence_text(schema: str, name: str) -> str:
    """Return a qualified name as ``regclass`` reads it."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def _demand_exact(session: Session, undo: Capture, origin: int, works: Sequence[Work], *, left: bool) -> None:
    accounting = capturing.account(session, undo, ddl=True)
    if accounting.missing:
        raise _Uncovered(accounting.missing)
    if accounting.refusals:
        raise NotReversible("the undo cannot be accounted for", where=session.target, faults=accounting.refusals)
    with pinned(session):
        captures = net.family(session, origin)
        excess = net.standing(session, captures)
        if left:
            excess = _beyond(session, undo, captures, works, excess)
        named = _named(session, captures, excess)
    if excess:
        raise Conflict(
            "undoing this change would change rows of others",
            where=session.target,
            faults=named,
            hint="settle these rows by hand",
        )


def _beyond(
    session: Session, undo: Capture, captures: Sequence[int], works: Sequence[Work], standing: Sequence[net.Standing]
) -> tuple[net.Standing, ...]:
    """Return tables where the undo did more or less than taking back the rows that were clean."""
    known = {work.table.relid for work in works}
    before = net.standing(session, [capture for capture in captures if capture != undo.id])
    now = {item.relid: item for item in standing}
    return tuple(
        now.get(item.relid, item)
        for item in net.standing(session, [undo.id])
        if item.relid not in known or not _shrank(item, before, now.get(item.relid))
    )


def _shrank(done: net.Standing, before: Sequence[net.Standing], now: net.Standing | None) -> bool:
    was = next((item for item in before if item.relid == done.relid), None)
    if was is None:
        return False
    left = now or net.Standing(relid=done.relid, excess=0, missing=0)
    return left.excess == was.excess - done.missing and left.missing == was.missing - done.excess


def _named(session: Session, captures: Sequence[int], excess: Sequence[net.Standing]) -> tuple[str, ...]:
    if not excess:
        return ()
    rows = session.query("image_outstanding", captures=list(captures), limit=matching.NAMED)
    live = shape.load(session, [item.relid for item in excess])
    return tuple(
        dict.fromkeys(
            f"{matching.label(live[relid], image)}: {'would be lost or changed' if n > 0 else 'would appear or change'}"
            for relid, image, n in rows
            if relid in live
        )
    )


def _explained(session: Session, error: DatabaseError) -> Exception:
    """Say what a failed undo means: a conflict, or something that this role or table does not allow."""
    if error.sqlstate is not None and error.sqlstate[:2] in CLASSES:
        return Conflict(
            "the rows of now do not let the old ones back",
            where=session.target,
            faults=(error.message,),
            hint="settle these rows by hand",
        )
    if error.sqlstate == "42501":
        return NotReversible(f"this role cannot undo it: {error.message}", where=session.target, hint=error.hint)
    return error


# ----------------------------------------------------------------------------- proof


def proof(session: Session, capture: Capture) -> UndoProof:
    """Compare after a rehearsed undo, in the same transaction: run and undo together must have changed nothing.

    The undo may be ``restore`` or a script of the author's that ran while ``capture``, or a capture that undoes it, still
    recorded.
    """
    mark, refusals = capture.mark, capture.refusals
    accounting = capturing.account(session, capture, ddl=True)
    capture.mark, capture.refusals = mark, refusals
    with pinned(session):
        rows = sum(item.rows for item in net.standing(session, [capture.id], mark=mark))
        captures = net.family(session, capture.id)
        left = net.standing(session, captures)
        named = _named(session, captures, left)
        uncovered = accounting.missing if capturing.records(session, capture) else frozenset()
    wrong = sum(item.rows for item in left)
    reason = None
    if uncovered:
        reason = f"the undo writes to tables that were not captured: {', '.join(sorted(uncovered))}"
    elif wrong:
        reason = f"{wrong} rows are not as they were: {'; '.join(named[:5])}"
    elif refusals:
        reason = f"rows are as they were, but more than rows changed: {'; '.join(refusals)}"
    elif different := _different(session, capture):
        wrong, reason = different, f"{different} rows are not as they were"
    return UndoProof(proven=reason is None, rows=rows, identical=max(rows - wrong, 0), reason=reason)


def _different(session: Session, capture: Capture) -> int:
    """Look at the rows themselves where images are native: their undo was accounted for, but kept no images of its own."""
    with pinned(session), native.roomy(session):
        return sum(item.rows - native.identical(session, item) for item in native.load(session, [capture.id]))
