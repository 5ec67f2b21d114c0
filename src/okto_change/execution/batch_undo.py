"""Taking a batch back: a look at all chunks first, then a chunk and a transaction at a time, the last chunk first."""

from __future__ import annotations

from collections.abc import Generator

from okto_change.database import chunks, state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, OktoError, Paused
from okto_change.execution import batches, chunk_moves, giving_way, images, interrupts, transactions, undoing, units
from okto_change.execution.chunk_moves import Way
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import Event, EventKind, RowChange, TableWrites
from okto_change.model.base import type_

Left = tuple[str, ...]


@type_
class Looked:
    """What taking a batch back, or putting it back, would do: writes by table, some rows, what is in the way, what to know."""

    writes: tuple[TableWrites, ...]
    rows: tuple[RowChange, ...]
    conflicts: tuple[str, ...]
    notes: tuple[str, ...]


def undo(job: Job, unit: SqlUnit, origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Take back the chunks of run ``origin`` that stand; return the rows left as they are.

    Chunks that are taken back stay taken back, whatever stops it later. Raises Paused when that is a pause that somebody
    asked for, an interrupt or the server, Conflict when rows of a chunk were changed since: nothing of that chunk is done.
    """
    left: Left = ()
    try:
        session = job.targets.ready(unit.target)
        way = chunk_moves.find(session, unit, origin)
        way.prepare(session)
        stands = chunks.standing(session, origin, str(unit.number))
        _see(job, unit, stands.count, stands.undone)
        while True:
            taken = yield from batches.held_off(
                job, unit, lambda session: _chunk(job, unit, session, way, only_clean=only_clean)
            )
            left += taken or ()
            if unit.number in job.seen.undone:
                return left
            giving_way.heard(job, unit)
    except (OktoError, KeyboardInterrupt) as error:
        if unit.number in job.seen.batches_undone and batches.came_between(error):
            raise Paused(*batches.words(error)) from error
        raise


def _chunk(job: Job, unit: SqlUnit, session: Session, way: Way, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Take back the latest chunk that stands, with the first one the whole."""
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    stands = chunks.standing(session, way.origin, str(unit.number))
    place: dict[str, object] = {"unit": unit.number, "target": unit.target}
    mark = state.backend(session)
    left: Left = ()
    announced = False
    if stands.count:
        this = units.chunk(unit, stands.latest)
        place |= {"chunk": stands.latest, "of": stands.count + stands.undone}
        yield job.event(EventKind.CHUNK_STARTED, unit.name, undo=True, **place)
        if way.native(this):  # its entry is written while its rows are moved
            yield job.event(EventKind.UNDO_COMMITTING, unit.name, **place, **transactions.marked(mark))
            announced = _moved(job, this, session, way)
            if not announced:
                reason = f"chunk {this.chunk} row by row: its rows cannot be moved at once"
                yield job.event(EventKind.RETRYING, unit.name, unit=unit.number, reason=reason)
        if not announced:
            left = _put_back(job, this, session, way, only_clean=only_clean)
        chunks.record_undone(session, way.origin, str(unit.number), stands.latest, job.run)
    if stands.count <= 1:
        state.record_undone(session, run=way.origin, unit=str(unit.number), undone_by=job.run)
    if not announced:
        yield job.event(EventKind.UNDO_COMMITTING, unit.name, **place, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    _see(job, unit, stands.count - 1, stands.undone + 1)
    if stands.count <= 1:
        job.seen.taken_back(unit.number)
    job.seen.batches_undone.add(unit.number)
    yield job.event(EventKind.UNDONE, unit.name, left=len(left), **place)
    return left


def _moved(job: Job, this: SqlUnit, session: Session, way: Way) -> bool:
    with interrupts.allowed():
        return way.move(session, this, undoing.keep_as(job, this, way.origin), back=True)


def _put_back(job: Job, this: SqlUnit, session: Session, way: Way, *, only_clean: bool) -> Left:
    try:
        back = undoing.put_back(job, this, session, way.origin, only_clean=only_clean)
        job.seen.notes += back.notes
        return back.left
    except Conflict as error:
        error.message = f"chunk {this.chunk} of {this.name}: {error.message}"
        raise


def _see(job: Job, unit: SqlUnit, standing: int, undone: int) -> None:
    job.seen.batches[unit.number] = f"{max(standing, 0):,} of {standing + undone:,} chunks"


# ------------------------------------------------------------------------------ looking


def look(job: Job, unit: SqlUnit, session: Session, origin: str, *, redo: bool = False) -> Looked:
    """Say what taking the chunks that stand back would do, or putting the others back, in the open transaction.

    Chunks with native images are compared, and nothing is locked or written; a few others are taken back for a look.
    """
    with interrupts.allowed():
        way = chunk_moves.find(session, unit, origin)
        numbers = way.numbers(back=not redo)
        found, notes, tried = _compare(job, unit, session, way, numbers, redo=redo)
        shown = [number for number in numbers if number not in tried]  # what was tried has images of its own
        writes = way.writes(session, shown, back=not redo)
        rows = way.sample(session, shown, back=not redo)
    size = _size(unit, len(numbers), redo=redo)
    return Looked(writes=writes, rows=rows, conflicts=tuple(found), notes=(size, *notes))


def conflicts(job: Job, unit: SqlUnit, session: Session, origin: str, *, redo: bool = False) -> list[str]:
    """Name the rows in the way of taking the chunks back, or putting them back, as ``look`` does."""
    with interrupts.allowed():
        way = chunk_moves.find(session, unit, origin)
        return _compare(job, unit, session, way, way.numbers(back=not redo), redo=redo)[0]


def _compare(
    job: Job, unit: SqlUnit, session: Session, way: Way, numbers: list[int], *, redo: bool
) -> tuple[list[str], tuple[str, ...], list[int]]:
    """Return the rows in the way, what else there is to know, and the chunks that were moved for a try."""
    found, others = way.faults(session, numbers, back=not redo), way.others(session, numbers)
    notes: tuple[str, ...] = ()
    if len(others) > chunk_moves.MOST_TRIED:
        what = "put back" if redo else "taken back"
        notes = (f"{len(others):,} chunks have images as text: their rows are compared when each of them is {what}",)
        others = []
    else:
        found += _try(job, unit, session, way, others, redo=redo)
    return found, (*_spread(found, len(numbers)), *notes), others


def _spread(found: list[str], count: int) -> tuple[str, ...]:
    """Say in how many chunks there are rows in the way, and which is the first; nothing where there are none."""
    named = sorted({int(line.split(":")[0].split()[1].replace(",", "")) for line in found if line.startswith("chunk ")})
    if not named:
        return ()
    least = "at least " if found[-1] == chunk_moves.MORE else ""
    return (f"rows in the way in {least}{len(named):,} of {count:,} chunks, the first of them chunk {named[0]:,}",)


def _size(unit: SqlUnit, count: int, *, redo: bool) -> str:
    how = "put back in chunks, a transaction each, the first one first" if redo else "taken back in chunks, last first"
    return f"{unit.name}: {count:,} chunks to be {how}; the rows shown are those of one chunk"


def _try(job: Job, unit: SqlUnit, session: Session, way: Way, numbers: list[int], *, redo: bool) -> list[str]:
    lines: list[str] = []
    for number in numbers if redo else reversed(numbers):
        this = units.chunk(unit, number)
        try:
            if redo:
                done = images.restore(session, way.undo_of(number), unit=this.key, only_clean=True, undo_run=job.run)
                left = done.conflicts
            else:
                left = undoing.put_back(job, this, session, way.origin, only_clean=True).left
        except Conflict as conflict:
            left = conflict.faults or (conflict.message,)
        lines += [f"chunk {number:,}: {line}" for line in left]
    return lines
