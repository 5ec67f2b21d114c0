"""Putting a batch back that was taken back: a chunk and a transaction at a time, the first chunk first, then the whole judged."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from okto_change.database import chunks, state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, OktoError
from okto_change.execution import (
    batch_undo,
    batches,
    checks,
    chunk_moves,
    giving_way,
    interrupts,
    transactions,
    units,
    work,
)
from okto_change.execution.checks import Found
from okto_change.execution.chunk_moves import Way
from okto_change.execution.course import writes_of
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import Check, Event, EventKind

Events = Generator[Event, None, None]
Before = list[tuple[Check, Found]]


def redo(job: Job, unit: SqlUnit, origin: str) -> Events:
    """Put the chunks of run ``origin`` back that were taken back, and judge the whole as after any redo.

    Raises Paused when something came between while some chunks stand again, Conflict when rows of a chunk were changed
    since they were taken back: nothing of that chunk is done.
    """
    try:
        session = job.targets.ready(unit.target)
        chunks.end_pause(session, job.run)
        way = chunk_moves.find(session, unit, origin)
        way.prepare(session)
        before = _whole(job, unit)
        for number in way.numbers(back=False):
            with job.beside():
                yield from batches.held_off(job, unit, partial(_chunk, job, unit, way, number))
            giving_way.heard(job, unit)
        yield from batches.held_off(job, unit, lambda session: _close(job, unit, session, origin, before))
        transactions.tidy(job.targets, unit.target)  # of chunks put back row by row
    except (OktoError, KeyboardInterrupt) as error:
        if unit.number in job.seen.committed and batches.came_between(error):
            raise batches.paused_by(error) from error
        raise


def _whole(job: Job, unit: SqlUnit) -> Before:
    """Ask the invariants over the whole before the first chunk."""
    return [(check, work.read_only(job, check)) for check in unit.invariants]


def _chunk(job: Job, unit: SqlUnit, way: Way, number: int, session: Session) -> Events:
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    this = units.chunk(unit, number)
    of = len(way.done)
    place: dict[str, object] = {"unit": unit.number, "target": unit.target, "chunk": number, "of": of}
    yield job.event(EventKind.CHUNK_STARTED, unit.name, redo=True, **place)
    chunks.enter(session, way.done[number].range)
    job.seen.checks[unit.number] = ()
    before = [(check, work.ask(session, check)) for check in this.invariants]
    _put_forth(job, this, session, way)
    for check, (rows, _) in before:
        yield from work.verdict(job, unit, check, checks.compare(check, rows, *work.ask(session, check)))
    chunks.record_redone(session, way.origin, str(unit.number), number, job.run)
    if number == 1:
        state.record_redone(session, run=way.origin, unit=str(unit.number), redone_by=job.run)
    job.look()
    mark = state.backend(session)
    yield job.event(EventKind.COMMITTING, unit.name, **place, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    job.seen.committed.add(unit.number)
    job.seen.batches[unit.number] = f"{number:,} of {of:,} chunks"
    yield job.event(EventKind.COMMITTED, unit.name, **place)


def _put_forth(job: Job, this: SqlUnit, session: Session, way: Way) -> None:
    with interrupts.allowed():
        if way.move(session, this, job.run, back=False):
            return
    try:
        with interrupts.allowed():
            job.seen.notes += batch_undo.put_forth(job, this, session, way).notes
    except Conflict as error:
        error.message = f"chunk {this.chunk} of {this.name}: {error.message}"
        raise


def _close(job: Job, unit: SqlUnit, session: Session, origin: str, before: Before) -> Events:
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    job.seen.checks[unit.number] = ()
    for check in unit.inside:
        yield from work.verdict(job, unit, check, checks.judge(check, *work.ask(session, check)))
    for check, (rows, _) in before:
        yield from work.verdict(job, unit, check, checks.compare(check, rows, *work.ask(session, check)))
    if not chunks.standing(session, origin, str(unit.number)).count:
        state.record_redone(
            session, run=origin, unit=str(unit.number), redone_by=job.run
        )  # an empty table has no chunk
    chunks.close_redo(session, origin, str(unit.number), job.run)
    mark = state.backend(session)
    yield job.event(EventKind.COMMITTING, unit.name, unit=unit.number, target=unit.target, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    job.seen.committed.add(unit.number)
    job.seen.writes[unit.number] = tuple(writes_of(chunks.written(session, origin, str(unit.number))).values())
    yield job.event(EventKind.COMMITTED, unit.name, unit=unit.number, target=unit.target)
