"""Taking a batch back: a look at all chunks first, then a chunk and a transaction at a time, the last chunk first."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from okto_change.database import chunks, state
from okto_change.database.chunks import Ahead
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, OktoError, Paused
from okto_change.execution import batches, chunk_moves, giving_way, images, interrupts, transactions, undoing, units
from okto_change.execution.chunk_moves import Way
from okto_change.execution.images import matching
from okto_change.execution.job import Job
from okto_change.execution.undoing import Back
from okto_change.execution.units import SqlUnit
from okto_change.model import Event, EventKind, RowChange, TableWrites
from okto_change.model.base import type_

Events = Generator[Event, None, None]
Left = tuple[str, ...]


@type_
class Looked:
    """What taking a batch back, or putting it back, would do: writes by table, some rows, what is in the way, what to know."""

    writes: tuple[TableWrites, ...]
    rows: tuple[RowChange, ...]
    conflicts: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Course:
    """How far an undo came: what is known of the chunks, the last one that was gone through, and the rows left so far."""

    way: Way
    rest: bool
    """whether rows that an earlier undo left are taken back too"""
    below: int | None = None
    left: Left = ()
    others: int = 0
    """further chunks of which rows were left"""

    def leave(self, number: int, lines: Left) -> None:
        """Note the rows that were left of a chunk; a hundred are named, whatever the number of chunks."""
        if len(self.left) < matching.NAMED:
            self.left += tuple(f"chunk {number:,}: {line}" for line in lines)
        else:
            self.others += bool(lines)

    def named(self) -> Left:
        """Return the rows that were left, in words."""
        chunk = "chunk" if self.others == 1 else "chunks"
        return (*self.left, f"and rows of {self.others:,} more {chunk}") if self.others else self.left


def undo(job: Job, unit: SqlUnit, origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Take back the chunks of run ``origin`` that stand, and what an earlier undo left; return the rows left as they are.

    Each chunk is gone through once. What is taken back stays taken back, whatever stops it later. Raises Paused when that is a
    pause that somebody asked for, an interrupt or the server, Conflict when rows of a chunk were changed since: nothing of that
    chunk is done.
    """
    try:
        session = job.targets.ready(unit.target)
        way = chunk_moves.find(session, unit, origin)
        way.prepare(session)
        course = _Course(way, rest=undoing.keep_as(job, unit, origin) == job.run)
        if not chunks.closed(session, origin, str(unit.number)):
            job.seen.unfinished.add(unit.number)
        ahead = chunks.ahead(session, origin, str(unit.number), None, rest=course.rest)
        _see(
            job, unit, standing=ahead.standing + ahead.stands, more=ahead.more + (ahead.number is not None), of=ahead.of
        )
        while True:
            yield from batches.held_off(
                job, unit, lambda session: _chunk(job, unit, session, course, only_clean=only_clean)
            )
            if unit.number in job.seen.undone:
                transactions.tidy(
                    job.targets, unit.target
                )  # chunks taken back row by row leave their triggers switched off
                return course.named()
            giving_way.heard(job, unit)
    except (OktoError, KeyboardInterrupt) as error:
        if unit.number in job.seen.batches_undone and batches.came_between(error):
            raise Paused(*batches.words(error)) from error
        raise


def _chunk(job: Job, unit: SqlUnit, session: Session, course: _Course, *, only_clean: bool) -> Events:
    """Take back the next chunk, with the last one the whole."""
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    way, number = course.way, str(unit.number)
    ahead = chunks.ahead(session, way.origin, number, course.below, rest=course.rest)
    mark = state.backend(session)
    place: dict[str, object] = {"unit": unit.number, "target": unit.target}
    back = Back()
    if ahead.number is None:
        state.record_undone(session, run=way.origin, unit=number, undone_by=job.run, left=ahead.left)
        yield job.event(EventKind.UNDO_COMMITTING, unit.name, **place, **transactions.marked(mark))
    else:
        place |= {"chunk": ahead.number, "of": ahead.of, "rest": not ahead.stands, "more": ahead.more}
        yield job.event(EventKind.CHUNK_STARTED, unit.name, undo=True, **place)
        told = {**place, "standing": ahead.standing, **transactions.marked(mark)}
        back = yield from _take_back(job, unit, session, way, ahead, told, only_clean=only_clean)
    transactions.commit(job, unit.target, session, mark)
    _note(job, unit, course, ahead, back)
    yield job.event(EventKind.UNDONE, unit.name, left=back.alone, **place)


def _take_back(
    job: Job, unit: SqlUnit, session: Session, way: Way, ahead: Ahead, told: dict[str, object], *, only_clean: bool
) -> Generator[Event, None, Back]:
    """Take back the rows of one chunk and record it, its COMMIT announced by ``told``: while they are moved, or behind it."""
    this = units.chunk(unit, ahead.number or 0)
    moved = False
    if ahead.stands and way.native(this):  # its entry is written while its rows are moved
        yield job.event(EventKind.UNDO_COMMITTING, unit.name, left=0, left_of_all=ahead.left, **told)
        moved = _moved(job, this, session, way)
        if not moved:
            reason = f"chunk {this.chunk} row by row: its rows cannot be moved at once"
            yield job.event(EventKind.RETRYING, unit.name, unit=unit.number, reason=reason)
    back = Back(rows=way.done[ahead.number or 0].imaged)
    if not moved:
        back = _put_back(job, this, session, way, only_clean=only_clean)
    left, origin, number = back.alone, way.origin, str(unit.number)
    chunks.record_undone(session, origin, number, this.chunk or 0, job.run, left=left)
    if not ahead.more:
        state.record_undone(session, run=origin, unit=number, undone_by=job.run, left=ahead.left + left)
    if not moved:
        yield job.event(EventKind.UNDO_COMMITTING, unit.name, left=left, left_of_all=ahead.left + left, **told)
    return back


def _note(job: Job, unit: SqlUnit, course: _Course, ahead: Ahead, back: Back) -> None:
    """Note a chunk whose undo is committed."""
    course.below = ahead.number
    course.leave(ahead.number or 0, back.left)
    job.seen.notes += back.notes
    job.seen.rows_back += back.rows
    _see(job, unit, standing=ahead.standing, more=ahead.more, of=ahead.of)
    if not ahead.more:
        job.seen.taken_back(unit.number)
    else:
        job.seen.batches_undone.add(unit.number)


def _moved(job: Job, this: SqlUnit, session: Session, way: Way) -> bool:
    with interrupts.allowed():
        return way.move(session, this, undoing.keep_as(job, this, way.origin), back=True)


def _put_back(job: Job, this: SqlUnit, session: Session, way: Way, *, only_clean: bool) -> Back:
    try:
        return undoing.put_back(job, this, session, way.origin, only_clean=only_clean)
    except Conflict as error:
        error.message = f"chunk {this.chunk} of {this.name}: {error.message}"
        raise


def _see(job: Job, unit: SqlUnit, *, standing: int, more: int, of: int) -> None:
    """Say how many chunks stand, and of how many more there is something to take back."""
    rests = more - standing
    what = f", and rows left of {rests:,} {'other' if rests == 1 else 'others'}" if rests > 0 else ""
    job.seen.batches[unit.number] = f"{standing:,} of {of:,} chunks{what}"


# ------------------------------------------------------------------------------ looking


def look(job: Job, unit: SqlUnit, session: Session, origin: str, *, redo: bool = False) -> Looked:
    """Say what taking the chunks that stand back would do, or putting the others back, in the open transaction.

    Chunks with native images are compared, and nothing is locked or written; a few others are taken back for a look.
    """
    with interrupts.allowed():
        way = chunk_moves.find(session, unit, origin)
        numbers = way.numbers(back=not redo)
        found, notes, tried = _compare(job, unit, session, way, numbers, redo=redo)
        rests = way.rests(numbers)
        shown = [number for number in numbers if number not in (*tried, *rests)]  # what was tried has images of its own
        writes = way.writes(session, shown, back=not redo)
        rows = way.sample(session, shown, back=not redo)
    size = _size(unit, len(numbers), len(rests), redo=redo)
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
        if way.rests(others):
            notes += (f"rows of {len(way.rests(others)):,} chunks that were taken back in part are not counted here",)
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


def _size(unit: SqlUnit, count: int, rests: int, *, redo: bool) -> str:
    how = "put back in chunks, a transaction each, the first one first" if redo else "taken back in chunks, last first"
    what = "what was taken back" if redo else "what is left"
    part = f"; of {rests:,} of them {what}, as an earlier rollback left rows there" if rests else ""
    return f"{unit.name}: {count:,} chunks to be {how}{part}; the rows shown are those of one chunk"


def put_forth(job: Job, this: SqlUnit, session: Session, way: Way, *, only_clean: bool = False) -> Back:
    """Put one chunk back inside the open transaction, row by row: its undos taken back, the last one first."""
    left: Left = ()
    notes: tuple[str, ...] = ()
    for name in way.done[this.chunk or 0].undos:
        done = images.restore(session, name, unit=this.key, only_clean=only_clean, undo_run=job.run)
        left, notes = (*left, *done.conflicts), (*notes, *done.notes)
    return Back(left=left, notes=notes)


def _try(job: Job, unit: SqlUnit, session: Session, way: Way, numbers: list[int], *, redo: bool) -> list[str]:
    lines: list[str] = []
    for number in numbers if redo else reversed(numbers):
        this = units.chunk(unit, number)
        try:
            if redo:
                left = put_forth(job, this, session, way, only_clean=True).left
            else:
                left = undoing.put_back(job, this, session, way.origin, only_clean=True).left
        except Conflict as conflict:
            left = conflict.faults or (conflict.message,)
        lines += [f"chunk {number:,}: {line}" for line in left]
    return lines
