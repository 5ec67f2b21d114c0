"""Rehearsing a batch: its first chunks run and are taken back; what they let expect of the whole."""

from __future__ import annotations

import time
from collections.abc import Generator

from okto_change.database import chunks
from okto_change.database.session import Session
from okto_change.errors import Refused
from okto_change.execution import batches, giving_way, images, units, work
from okto_change.execution.course import Course, added, see
from okto_change.execution.images.pins import pinned
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import Batch, BatchRehearsal, Event, EventKind

REHEARSED = 2
"""chunks of a batch that a rehearsal runs"""
Performed = list[tuple[SqlUnit, images.Capture]]


def rehearse(job: Job, unit: SqlUnit, session: Session) -> Generator[Event, None, tuple[Performed, BatchRehearsal]]:
    """Run the first chunks in the open transaction; return their captures and what they let expect of the whole.

    What needs the whole (``inside`` checks, invariants, the bounds) is judged only where these chunks are the whole.
    """
    batch = batches.batch_of(unit)
    job.seen.checks[unit.number] = ()
    for check in unit.before:
        yield from work.judge_before(job, unit, check, session)
    giving_way.demand_visible(batch, session)
    course = Course(opened=batches.survey(unit, batch, session))
    verdicts, started = job.seen.checks[unit.number], time.monotonic()
    performed: Performed = []
    go, found = batches.find(job, unit, session, course)
    while found is not None and len(performed) < REHEARSED:
        this = units.chunk(unit, course.number + 1)
        yield job.event(EventKind.CHUNK_STARTED, unit.name, unit=unit.number, chunk=this.chunk, of=course.opened.chunks)
        performed.append((this, (yield from batches.perform(job, this, session, go, found))))
        course = added(job, unit, course, found)
        verdicts += job.seen.checks[unit.number]
        go, found = batches.find(job, unit, session, course)
    took = time.monotonic() - started
    job.seen.checks[unit.number] = verdicts
    if found is None:
        yield from batches.judge_whole(job, unit, session, course)
    see(job, unit, course)
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


def _estimate(unit: SqlUnit, course: Course, took: float, *, whole: bool) -> BatchRehearsal:
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
