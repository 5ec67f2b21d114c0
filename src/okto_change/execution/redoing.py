"""Putting units back that an undo took away, first one first: the images of the undo taken back, or keys set again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

from okto_change.database import state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, NotReversible, StepFailed
from okto_change.execution import batch_redo, batch_undo, checks, edits, images, interrupts, transactions, work
from okto_change.execution.job import Job
from okto_change.execution.undoing import Back, looking
from okto_change.execution.units import EditUnit, SqlUnit, Unit
from okto_change.model import Check, CheckResult, Event, EventKind

Undos = Mapping[int, Sequence[str]]
"""unit -> the runs that took it back, first one first"""
Events = Generator[Event, None, None]


def taken_back_by(unit: Unit) -> str | None:
    """Say how an undo takes a unit back that keeps no images to put back, None if it does keep them. Pure."""
    if isinstance(unit, EditUnit):
        return None
    if unit.scripts:
        return "by its author's script"
    if unit.definitions:
        return "by the inverse of its DDL"
    return None


def demand_redoable(unit: Unit) -> None:
    """Raise NotReversible for a unit that cannot be put back from the images of its undo."""
    if (how := taken_back_by(unit)) is not None:
        raise NotReversible(
            f"{unit.name} was undone {how}: that cannot be put back from images",
            state="nothing was changed; the change is still undone",
            hint="have the change approved again and apply it",
        )


def look(job: Job, units: Sequence[Unit], origin: str, undos: Undos) -> None:
    """Try every redo and roll all of it back; raise Conflict with the rows and keys of all units."""
    found: list[str] = []
    contents: dict[tuple[str, str], bytes] = {}
    try:
        for unit in units:
            try:
                match unit:
                    case EditUnit():
                        place = unit.target, unit.step.file
                        content = (
                            contents[place]
                            if place in contents
                            else job.targets.store(unit.target).read(unit.step.file)[0]
                        )
                        contents[place] = edits.look(job, unit, origin, content, redo=True).content
                    case SqlUnit() if unit.batch is not None:
                        found += batch_undo.conflicts(job, unit, looking(job, unit), origin, redo=True)
                        break  # the look leaves the batch as it is, and what comes after it may rest on it
                    case SqlUnit():
                        put_forth(job, unit, looking(job, unit), undos[unit.number])
            except Conflict as conflict:
                found += conflict.faults or (conflict.message,)
    finally:
        job.targets.rollback()
    if found:
        raise Conflict("somebody changed what the undo left; a redo would destroy that", faults=tuple(found))


def redo(job: Job, units: Sequence[Unit], origin: str, undos: Undos) -> Events:
    """Put ``units`` back first one first, a transaction or file swap each, with the plan's checks inside and invariants."""
    for unit in units:
        job.look()
        match unit:
            case EditUnit():
                result = yield from edits.redo(job, unit, origin)
                job.seen.notes += result.notes
            case SqlUnit() if unit.batch is not None:
                yield from batch_redo.redo(job, unit, origin)
            case SqlUnit():
                yield from _redo_sql(job, unit, origin, undos[unit.number])


def put_forth(job: Job, unit: SqlUnit, session: Session, undos: Sequence[str], *, only_clean: bool = False) -> Back:
    """Take the undos of one unit back inside the open transaction, last one first. Raises Conflict, DatabaseError."""
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    for undo in reversed(undos):
        with interrupts.allowed():
            done = images.restore(session, undo, unit=str(unit.number), only_clean=only_clean, undo_run=job.run)
        left, notes = (*left, *done.conflicts), (*notes, *done.notes)
    return Back(left=left, notes=notes)


def _redo_sql(job: Job, unit: SqlUnit, origin: str, undos: Sequence[str]) -> Events:
    yield from transactions.retried(job, unit, lambda session: _attempt(job, unit, session, origin, undos))


def _attempt(job: Job, unit: SqlUnit, session: Session, origin: str, undos: Sequence[str]) -> Events:
    yield job.event(EventKind.STEP_STARTED, unit.name, redo=True, unit=unit.number, target=unit.target)
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    job.seen.checks[unit.number] = ()
    before = [(check, _ask(session, check)) for check in unit.invariants]
    back = put_forth(job, unit, session, undos)
    for check in unit.inside:
        yield from _verdict(job, unit, check, checks.judge(check, *_ask(session, check)))
    for check, (rows, _) in before:
        yield from _verdict(job, unit, check, checks.compare(check, rows, *_ask(session, check)))
    writes = images.writes(session, job.run)
    state.record_redone(session, run=origin, unit=str(unit.number), redone_by=job.run)
    job.look()
    mark = state.backend(session)
    yield job.event(EventKind.COMMITTING, unit.name, unit=unit.number, target=unit.target, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    job.seen.committed.add(unit.number)
    job.seen.writes[unit.number] = writes
    job.seen.notes += back.notes
    yield job.event(EventKind.COMMITTED, unit.name, unit=unit.number, target=unit.target)
    transactions.tidy(job.targets, unit.target)


def _ask(session: Session, check: Check) -> checks.Found:
    with interrupts.allowed():
        return session.answer(check.sql)


def _verdict(job: Job, unit: SqlUnit, check: Check, result: CheckResult) -> Events:
    job.seen.checks[unit.number] += (result,)
    yield work.check_event(job, result)
    if not result.passed:
        raise StepFailed(
            f"the check {check.name!r} failed: expected {result.expected}, found {result.found}",
            where=check.where,
            state="rolled back; the change is still undone",
        )
