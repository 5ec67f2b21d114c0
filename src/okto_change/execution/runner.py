"""The one loop that changes anything. It yields an event before each effect; whoever consumes them writes the journal.

If the consumer raises, the generator is closed at its ``yield`` and every open transaction is rolled back: no audit, no change.
"""

from __future__ import annotations

from collections.abc import Generator

from okto_change.errors import Conflict, NotReversible, OktoError, Refused, Stuck
from okto_change.execution import checks, edits, undoing, work
from okto_change.execution.job import Job
from okto_change.execution.units import EditUnit, SqlUnit, Unit
from okto_change.model import Check, Event, EventKind, Outcome, Phase, Result

Run = Generator[Event, None, Outcome]


def apply(job: Job, *, done: frozenset[int] = frozenset()) -> Run:
    """Run every unit that is not in ``done`` (units committed by an earlier process of this run), then the ``after`` checks.

    Ends with DONE, REFUSED (a ``before`` check, nothing ran), ROLLED_BACK (nothing changed), UNDONE (a later unit or an
    ``after`` check failed and what was committed was taken back) or STUCK.
    """
    yield job.event(EventKind.RUN_STARTED, **job.authority, resumed=sorted(done))
    committed = [unit for unit in job.units if unit.number in done]
    try:
        if not committed:
            yield from _preflight(job)
        for unit in job.units:
            if unit.number not in done:
                yield from _do(job, unit)
                committed.append(unit)
        yield from _after(job)
    except Stuck as error:
        return (yield from _finish(job, _stuck(job, error)))
    except (OktoError, KeyboardInterrupt) as error:
        return (yield from _finish(job, (yield from _compensate(job, committed, _plain(error)))))
    return (yield from _finish(job, _done(job)))


def undo(job: Job, origin: str, done: frozenset[int], *, only_clean: bool = False) -> Run:
    """Take back the units of run ``origin`` that stand committed (``done``), last first.

    Everything is looked at before anything is changed: a conflict ends with CONFLICT and nothing changed.
    """
    units = [unit for unit in job.units if unit.number in done]
    yield job.event(EventKind.UNDO_STARTED, origin=origin, only_clean=only_clean, **job.authority)
    try:
        for unit in units:
            undoing.demand_reversible(unit)
        if len(units) > 1:
            undoing.look(job, units, origin, only_clean=only_clean)
        left = yield from undoing.take_back(job, units, origin, only_clean=only_clean)
    except Conflict as error:
        if not job.seen.undone:
            yield job.event(EventKind.CONFLICT, rows=len(error.faults))
            return (yield from _finish(job, _conflict(job, error)))
        return (yield from _finish(job, _undo_failed(job, origin, error)))
    except (OktoError, KeyboardInterrupt) as error:
        return (yield from _finish(job, _undo_failed(job, origin, _plain(error))))
    return (yield from _finish(job, _undone(job, origin, left)))


def _do(job: Job, unit: Unit) -> Generator[Event, None, None]:
    match unit:
        case SqlUnit():
            yield from work.commit_unit(job, unit)
        case EditUnit():
            yield from edits.do(job, unit)


def _preflight(job: Job) -> Generator[Event, None, None]:
    """Run the ``before`` checks that the first unit does not run itself, as the first thing in its own transaction."""
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
        result = checks.judge(check, work.read_only(job, check))
        results.append(result)
        job.seen.checks[0 if check.phase is Phase.BEFORE else len(job.units) + 1] = tuple(results)
        yield work.check_event(job, result)
        if not result.passed:
            raise family(f"{words}: {result.name!r} expected {result.expected}, found {result.found}", where=check.where)


def _compensate(job: Job, committed: list[Unit], error: OktoError) -> Generator[Event, None, Outcome]:
    job.targets.rollback()
    if not committed:
        yield job.event(EventKind.ROLLED_BACK, reason=error.message)
        return _rolled_back(job, error)
    try:
        for unit in committed:
            undoing.demand_reversible(unit)
        yield job.event(EventKind.UNDO_STARTED, origin=job.run, reason=error.message)
        yield from undoing.take_back(job, committed, job.run, only_clean=False)
    except (OktoError, KeyboardInterrupt) as second:
        return _half(job, error, _plain(second))
    return _taken_back(job, error)


def _finish(job: Job, outcome: Outcome) -> Generator[Event, None, Outcome]:
    yield job.event(EventKind.RUN_FINISHED, result=outcome.result.value, summary=outcome.summary, state=outcome.state)
    return outcome


def _plain(error: OktoError | KeyboardInterrupt) -> OktoError:
    return error if isinstance(error, OktoError) else OktoError("interrupted from the keyboard")


# ----------------------------------------------------------------------------------- how it ended, in words


def _done(job: Job) -> Outcome:
    return Outcome(
        result=Result.DONE, run=job.run, summary=f"applied {job.lock.change} to {job.lock.environment}",
        state="committed; every changed row has its image", writes=job.seen.all_writes(), checks=job.seen.all_checks(),
        hint=f"take it back with: okto-change rollback {job.lock.change} --env {job.lock.environment}",
    )  # fmt: skip


def _rolled_back(job: Job, error: OktoError) -> Outcome:
    refused = isinstance(error, Refused) and not isinstance(error, NotReversible)
    return Outcome(
        result=Result.REFUSED if refused else Result.ROLLED_BACK, run=job.run, summary=_with_place(error),
        state="nothing was changed" if refused else "rolled back; nothing was changed", hint=error.hint,
        writes=job.seen.all_writes(), checks=job.seen.all_checks(), conflicts=error.faults,
    )  # fmt: skip


def _taken_back(job: Job, error: OktoError) -> Outcome:
    return Outcome(
        result=Result.UNDONE, run=job.run, summary=_with_place(error),
        state="what was committed before has been undone; everything is as it was", hint=error.hint,
        checks=job.seen.all_checks(), conflicts=error.faults,
    )  # fmt: skip


def _half(job: Job, error: OktoError, second: OktoError) -> Outcome:
    return Outcome(
        result=Result.STUCK, run=job.run, summary=_with_place(error),
        state=f"partly applied, and undoing it failed: {second.message}",
        hint=second.hint or f"look at `okto-change status --env {job.lock.environment}`, then run rollback or resume",
        conflicts=second.faults, checks=job.seen.all_checks(),
    )  # fmt: skip


def _stuck(job: Job, error: OktoError) -> Outcome:
    return Outcome(
        result=Result.STUCK, run=job.run, summary=_with_place(error), state=error.state, hint=error.hint,
        checks=job.seen.all_checks(),
    )  # fmt: skip


def _conflict(job: Job, error: OktoError) -> Outcome:
    return Outcome(
        result=Result.CONFLICT, run=job.run, summary=error.message, state="nothing was changed", conflicts=error.faults,
        hint="settle these rows by hand, or undo the rest with: "
        f"okto-change rollback {job.lock.change} --env {job.lock.environment} --only-clean",
    )  # fmt: skip


def _undo_failed(job: Job, origin: str, error: OktoError) -> Outcome:
    back = ", ".join(map(str, sorted(job.seen.undone)))
    state = "the undo was rolled back; the change still stands as before"
    if back:
        state = f"partly undone: units {back} of run {origin} are back, the others still stand"
    return Outcome(
        result=Result.STUCK if back or isinstance(error, Stuck) else Result.ROLLED_BACK, run=job.run,
        summary=f"the undo failed: {_with_place(error)}", state=error.state if isinstance(error, Stuck) else state,
        hint=error.hint or "run rollback again when the cause is gone", conflicts=error.faults,
    )  # fmt: skip


def _undone(job: Job, origin: str, left: tuple[str, ...]) -> Outcome:
    return Outcome(
        result=Result.CONFLICT if left else Result.DONE, run=job.run, summary=f"took back run {origin}",
        state="undone except the rows named" if left else "every row and key is back as it was", conflicts=left,
        writes=job.seen.all_writes(),
    )  # fmt: skip


def _with_place(error: OktoError) -> str:
    return error.message if error.where is None else f"{error.where}: {error.message}"
