"""The one loop that changes anything. It yields an event before each effect; whoever consumes them writes the journal.

If the consumer raises, the generator is closed at its ``yield`` and every open transaction is rolled back: no audit, no change.
"""

from __future__ import annotations

from collections.abc import Generator

from okto_change.errors import Conflict, OktoError, Paused, Refused, Stuck
from okto_change.execution import batches, checks, choosing, edits, foresight, outcomes, redoing, undoing, work
from okto_change.execution.job import Job
from okto_change.execution.units import EditUnit, SqlUnit, Unit
from okto_change.model import Check, Event, EventKind, Outcome, Phase

Run = Generator[Event, None, Outcome]


def apply(job: Job, *, done: frozenset[int] = frozenset(), partial: frozenset[int] = frozenset()) -> Run:
    """Run every unit that is not in ``done`` (units committed by an earlier process of this run), then the ``after`` checks.

    ``partial`` are batches of which an earlier process committed some chunks. Ends with DONE, PAUSED (between two chunks),
    REFUSED (a ``before`` check, nothing ran), ROLLED_BACK (nothing changed), UNDONE (a later unit or an
    ``after`` check failed and what was committed was taken back) or STUCK.
    """
    yield job.event(EventKind.RUN_STARTED, **{**job.authority, "resumed": sorted(done)})
    job.seen.committed |= done | partial
    try:
        if not done | partial:
            yield from _preflight(job)
        for unit in job.units:
            if unit.number not in done:
                job.look()
                yield from _do(job, unit)
        yield from _after(job)
    except Stuck as error:
        return (yield from _finish(job, outcomes.stuck(job, error)))
    except Paused as error:
        return (yield from _pause(job, error, outcomes.paused(job, error)))
    except (OktoError, KeyboardInterrupt) as error:
        job.seen.failure = _plain(error).message
        return (yield from _finish(job, (yield from _compensate(job, _plain(error)))))
    return (yield from _finish(job, outcomes.done(job)))


def undo(job: Job, origin: str, done: frozenset[int], *, only_clean: bool = False) -> Run:
    """Take back the units of run ``origin`` that stand committed (``done``), last first.

    Everything is looked at before anything is changed: a conflict ends with CONFLICT and nothing changed.
    """
    units = [unit for unit in job.units if unit.number in done]
    yield job.event(EventKind.UNDO_STARTED, origin=origin, only_clean=only_clean, **job.authority)
    try:
        for unit in units:
            undoing.demand_reversible(unit)
        if len(units) > 1 or batches.among(units):
            undoing.look(job, units, origin, only_clean=only_clean)
        left = yield from undoing.take_back(job, units, origin, only_clean=only_clean)
        yield from _before_again(job)
    except Paused as error:
        return (yield from _pause(job, error, outcomes.undo_paused(job, origin, error)))
    except Conflict as error:
        if not job.seen.undone and not job.seen.batches_undone:
            yield job.event(EventKind.CONFLICT, rows=len(error.faults))
            return (yield from _finish(job, outcomes.conflict(job, error, only_clean=only_clean)))
        return (yield from _finish(job, outcomes.undo_failed(job, origin, error)))
    except (OktoError, KeyboardInterrupt) as error:
        return (yield from _finish(job, outcomes.undo_failed(job, origin, _plain(error))))
    return (yield from _finish(job, outcomes.undone(job, origin, left)))


def _pause(job: Job, error: OktoError, outcome: Outcome) -> Generator[Event, None, Outcome]:
    job.targets.rollback()
    yield job.event(EventKind.ROLLED_BACK, reason=error.message)
    return (yield from _finish(job, outcome))


def redo(job: Job, origin: str, undos: redoing.Undos, *, left: bool = False) -> Run:
    """Put the units of run ``origin`` back that later runs took away, first one first; ``undos`` tells which took what.

    Everything is looked at before anything is changed: a conflict ends with CONFLICT and nothing changed. When a later
    unit or an ``after`` check fails, what was put back is taken back again (UNDONE), except the rows and keys of others
    that the undo had ``left`` too.
    """
    units = [unit for unit in job.units if unit.number in undos]
    runs = sorted({run.removesuffix("/undo") for unit in undos.values() for run in unit})
    yield job.event(EventKind.REDO_STARTED, origin=origin, undone_by=runs, **job.authority)
    try:
        for unit in units:
            redoing.demand_redoable(unit)
        if len(units) > 1 or batches.among(units):
            redoing.look(job, units, origin, undos)
        yield from redoing.redo(job, units, origin, undos)
        yield from _after(job)
    except Stuck as error:
        job.targets.rollback()
        return (yield from _finish(job, outcomes.redo_failed(job, origin, error)))
    except Paused as error:
        return (yield from _pause(job, error, outcomes.redo_paused(job, origin, error)))
    except (OktoError, KeyboardInterrupt) as error:
        job.seen.failure = _plain(error).message
        return (yield from _finish(job, (yield from _undo_redo(job, origin, _plain(error), only_clean=left))))
    return (yield from _finish(job, outcomes.redone(job, origin)))


def _undo_redo(job: Job, origin: str, error: OktoError, *, only_clean: bool) -> Generator[Event, None, Outcome]:
    """Take back what a redo that failed had put back; say what became of one that had put nothing back."""
    job.targets.rollback()
    if not job.seen.committed:
        conflict = isinstance(error, Conflict)
        told = {"rows": len(error.faults)} if conflict else {"reason": error.message}
        yield job.event(EventKind.CONFLICT if conflict else EventKind.ROLLED_BACK, **told)
        return outcomes.redo_failed(job, origin, error)
    try:
        left = yield from _take_back(job, origin, error, only_clean=only_clean)
    except (OktoError, KeyboardInterrupt) as second:
        return outcomes.half(job, error, _plain(second))
    return outcomes.redo_taken_back(job, error, left)


def _before_again(job: Job) -> Generator[Event, None, None]:
    """Tell whether the plan's ``before`` checks hold again; an undo that puts every row back has succeeded either way."""
    again = foresight.before_again(job)
    job.seen.checks[len(job.units) + 1] = again
    for result in again:
        yield work.check_event(job, result)


def _do(job: Job, unit: Unit) -> Generator[Event, None, None]:
    match unit:
        case SqlUnit() if unit.batch is not None:
            yield from batches.commit(job, unit)
        case SqlUnit():
            yield from work.commit_unit(job, unit)
        case EditUnit():
            yield from edits.do(job, unit)


def _preflight(job: Job) -> Generator[Event, None, None]:
    """Run the ``before`` checks that the first unit does not run itself, as the first thing in its own transaction."""
    choosing.demand_reversible(job)
    first = job.units[0]
    own = first.before if isinstance(first, SqlUnit) else ()
    before = [check for check in job.lock.checks if check.phase is Phase.BEFORE and check not in own]
    yield from _outside(job, before, Refused, "the check before the change failed, so nothing was run")


def _after(job: Job) -> Generator[Event, None, None]:
    after = [check for check in job.lock.checks if check.phase is Phase.AFTER]
    yield from _outside(job, after, OktoError, "the check after the change failed")


def _outside(job: Job, outside: list[Check], family: type[OktoError], words: str) -> Generator[Event, None, None]:
    results = []
    for check in outside:
        result = checks.judge(check, *work.read_only(job, check))
        results.append(result)
        job.seen.checks[0 if check.phase is Phase.BEFORE else len(job.units) + 1] = tuple(results)
        yield work.check_event(job, result)
        if not result.passed:
            raise family(
                f"{words}: {result.name!r} expected {result.expected}, found {result.found}", where=check.where
            )


def _compensate(job: Job, error: OktoError) -> Generator[Event, None, Outcome]:
    """Take back what stands committed, last first; what goes wrong there is told beside the first error, not instead of it."""
    job.targets.rollback()
    if not job.seen.committed:
        yield job.event(EventKind.ROLLED_BACK, reason=error.message)
        return outcomes.rolled_back(job, error)
    try:
        yield from _take_back(job, job.run, error, only_clean=False)
    except (OktoError, KeyboardInterrupt) as second:
        return outcomes.half(job, error, _plain(second))
    return outcomes.taken_back(job, error)


def _take_back(job: Job, origin: str, error: OktoError, *, only_clean: bool) -> Generator[Event, None, tuple[str, ...]]:
    committed = [unit for unit in job.units if unit.number in job.seen.committed]
    for unit in committed:
        undoing.demand_reversible(unit)
    yield job.event(EventKind.UNDO_STARTED, origin=origin, reason=error.message)
    return (yield from undoing.take_back(job, committed, origin, only_clean=only_clean))


def _finish(job: Job, outcome: Outcome) -> Generator[Event, None, Outcome]:
    yield job.event(EventKind.RUN_FINISHED, result=outcome.result.value, summary=outcome.summary, state=outcome.state)
    return outcome


def _plain(error: OktoError | KeyboardInterrupt) -> OktoError:
    return (
        error if isinstance(error, OktoError) else OktoError(f"interrupted by {error}" if str(error) else "interrupted")
    )
