"""Taking a batch back, a chunk and a transaction at a time, the last chunk first; and rehearsing its first chunks."""

from __future__ import annotations

import time
from collections.abc import Generator

from okto_change.database import chunks, state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, OktoError, Paused, Refused
from okto_change.execution import batches, giving_way, images, transactions, undoing, units, work
from okto_change.execution.images.pins import pinned
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import Batch, BatchRehearsal, Event, EventKind

REHEARSED = 2
"""chunks of a batch that a rehearsal runs"""
Left = tuple[str, ...]
Performed = list[tuple[SqlUnit, images.Capture]]


def undo(job: Job, unit: SqlUnit, origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Take back the chunks of run ``origin`` that stand; return the rows left as they are.

    Chunks that are taken back stay taken back, whatever stops it later. Raises Paused when that is a pause that somebody
    asked for, an interrupt or the server, Conflict when rows of a chunk were changed since: nothing of that chunk is done.
    """
    left: Left = ()
    try:
        stands = chunks.standing(job.targets.ready(unit.target), origin, str(unit.number))
        _see(job, unit, stands.count, stands.undone)
        while True:
            taken = yield from batches.held_off(
                job, unit, lambda session: _chunk(job, unit, session, origin, only_clean=only_clean)
            )
            left += taken or ()
            if unit.number in job.seen.undone:
                return left
            giving_way.obey(job, job.targets.ready(unit.target))
    except (OktoError, KeyboardInterrupt) as error:
        if unit.number in job.seen.batches_undone and batches.came_between(error):
            raise Paused(*batches.words(error)) from error
        raise


def _chunk(job: Job, unit: SqlUnit, session: Session, origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Take back the latest chunk that stands, with the first one the whole."""
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    stands = chunks.standing(session, origin, str(unit.number))
    place: dict[str, object] = {"unit": unit.number, "target": unit.target}
    left: Left = ()
    if stands.count:
        this = units.chunk(unit, stands.latest)
        place |= {"chunk": stands.latest, "of": stands.count + stands.undone}
        yield job.event(EventKind.CHUNK_STARTED, unit.name, undo=True, **place)
        left = _put_back(job, this, session, origin, only_clean=only_clean)
        chunks.record_undone(session, origin, str(unit.number), stands.latest, job.run)
    if stands.count <= 1:
        state.record_undone(session, run=origin, unit=str(unit.number), undone_by=job.run)
    mark = state.backend(session)
    yield job.event(EventKind.UNDO_COMMITTING, unit.name, **place, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    _see(job, unit, stands.count - 1, stands.undone + 1)
    if stands.count <= 1:
        job.seen.taken_back(unit.number)
    job.seen.batches_undone.add(unit.number)
    yield job.event(EventKind.UNDONE, unit.name, left=len(left), **place)
    return left


def _put_back(job: Job, this: SqlUnit, session: Session, origin: str, *, only_clean: bool) -> Left:
    try:
        back = undoing.put_back(job, this, session, origin, only_clean=only_clean)
        job.seen.notes += back.notes
        return back.left
    except Conflict as error:
        error.message = f"chunk {this.chunk} of {this.name}: {error.message}"
        raise


def _see(job: Job, unit: SqlUnit, standing: int, undone: int) -> None:
    job.seen.batches[unit.number] = f"{max(standing, 0):,} of {standing + undone:,} chunks"


# ------------------------------------------------------------------------------ rehearsal


def rehearse(job: Job, unit: SqlUnit, session: Session) -> Generator[Event, None, tuple[Performed, BatchRehearsal]]:
    """Run the first chunks in the open transaction; return their captures and what they let expect of the whole.

    What needs the whole (``inside`` checks, invariants, the bounds) is judged only where these chunks are the whole.
    """
    batch = batches.batch_of(unit)
    job.seen.checks[unit.number] = ()
    for check in unit.before:
        yield from work.judge_before(job, unit, check, session)
    giving_way.demand_visible(batch, session)
    course = batches.Course(opened=batches.survey(unit, batch, session))
    verdicts, started = job.seen.checks[unit.number], time.monotonic()
    performed: Performed = []
    go, found = batches.find(job, unit, session, course)
    while found is not None and len(performed) < REHEARSED:
        this = units.chunk(unit, course.number + 1)
        yield job.event(EventKind.CHUNK_STARTED, unit.name, unit=unit.number, chunk=this.chunk, of=course.opened.chunks)
        performed.append((this, (yield from batches.perform(job, this, session, go, found))))
        course = batches.added(job, unit, course, found)
        verdicts += job.seen.checks[unit.number]
        go, found = batches.find(job, unit, session, course)
    took = time.monotonic() - started
    job.seen.checks[unit.number] = verdicts
    if found is None:
        yield from batches.judge_whole(job, unit, session, course)
    batches.see(job, unit, course)
    return performed, _estimate(unit, course, took, whole=found is None)


def enter_first(session: Session, batch: Batch) -> str:
    """Let the statements of the open transaction see the first chunk only; say so in words. Raises Refused without the table."""
    go = chunks.through(session, batch)
    with pinned(session):
        upper = chunks.largest(session, go)
        found = None if upper is None else chunks.following(session, go, None, upper)
    if found is None:
        raise Refused(f"{batch.table} is empty: there is no first chunk to look at", where=session.target)
    chunks.enter(session, found)
    of = chunks.estimated(session, go)
    return "looked at in the first chunk" + ("" if of is None else f" of about {of:,}")


def _estimate(unit: SqlUnit, course: batches.Course, took: float, *, whole: bool) -> BatchRehearsal:
    """Say what the first chunks let expect of the whole, as far as the table's statistics say how much there is."""
    batch = batches.batch_of(unit)
    of = course.number if whole else course.opened.chunks
    times = None if of is None or not course.number else max(of, course.number) / course.number
    return BatchRehearsal(
        step=unit.name,
        size=batch.size,
        chunks=course.number,
        whole=whole,
        of=None if of is None else max(of, course.number),
        rows=course.total,
        expected_rows=None if times is None or course.total is None else round(course.total * times),
        expected_milliseconds=None
        if times is None
        else round(took * 1000 * times + batch.pause * times * course.number),
    )
