"""How a run ended, in words that are true: what happened, what state things are in, what to do next. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from okto_change.errors import Conflict, NotReversible, OktoError, Refused, Stuck, Unusable
from okto_change.execution.job import Job
from okto_change.execution.redoing import taken_back_by
from okto_change.execution.units import SqlUnit, Unit
from okto_change.model import Outcome, Result

THEIRS = "what somebody wrote since stays theirs, and a new change puts it right"
AGAIN = (
    "apply it again once the cause is gone; if the plan or its SQL has to change, lock that anew and have it approved"
)


def done(job: Job) -> Outcome:
    """Everything is committed and every check held."""
    final = [unit for unit in job.units if unit.irreversible is not None]
    scripted = [unit for unit in job.units if isinstance(unit, SqlUnit) and unit.scripts]
    state = "committed; every changed row and key has its image"
    if final:
        reasons = "; ".join(f"{unit.name} is irreversible: {unit.irreversible}" for unit in final)
        state = f"committed; it cannot be taken back, {reasons}"
    elif scripted:
        state = f"committed; the undo of {_names(scripted)} is its author's script"
    return Outcome(
        result=Result.DONE,
        run=job.run,
        summary=f"applied {job.lock.change} to {job.lock.environment}",
        state=state,
        writes=job.seen.all_writes(),
        checks=job.seen.all_checks(),
        hint=None if final else f"take it back with: okto-change rollback {_place(job)}",
    )


def rolled_back(job: Job, error: OktoError) -> Outcome:
    """Nothing was committed: refused before anything ran, or failed inside the first transaction."""
    refused = isinstance(error, Refused | Unusable) and not isinstance(error, NotReversible)
    return Outcome(
        result=Result.REFUSED if refused else Result.ROLLED_BACK,
        run=job.run,
        summary=_with_place(error),
        state="nothing was changed" if refused else "rolled back; nothing was changed",
        hint=error.hint or (None if refused else AGAIN),
        writes=job.seen.all_writes(),
        checks=job.seen.all_checks(),
        conflicts=error.faults,
    )


def taken_back(job: Job, error: OktoError) -> Outcome:
    """It failed after a commit, and everything that was committed was taken back."""
    units = [unit for unit in job.units if unit.number in job.seen.undone]
    scripted = [unit for unit in units if isinstance(unit, SqlUnit) and unit.scripts]
    state = f"{_names(units)} had been committed and is undone again; every row and key is back as it was"
    if scripted:
        state = f"{_names(units)} had been committed and is undone again, {_names(scripted)} by its author's script"
    return Outcome(
        result=Result.UNDONE,
        run=job.run,
        summary=_with_place(error),
        state=state,
        hint=error.hint,
        checks=job.seen.all_checks(),
        conflicts=error.faults,
    )


def half(job: Job, error: OktoError, second: OktoError) -> Outcome:
    """It failed after a commit, and so did taking that back: both are told."""
    state = f"{_stands(job)}; undoing it failed: {_with_place(second)}"
    if isinstance(second, Stuck):
        state += f"; {second.state}"
    return Outcome(
        result=Result.STUCK,
        run=job.run,
        summary=_with_place(error),
        state=state,
        hint=f"look at `okto-change status --env {job.lock.environment}`, then run rollback"
        + (f" ({second.hint})" if second.hint else ""),
        conflicts=(*error.faults, *second.faults),
        checks=job.seen.all_checks(),
    )


def stuck(job: Job, error: Stuck) -> Outcome:
    """Nobody can tell yet what became of the last effect; what was committed before it stands."""
    before = f"; {_stands(job)}" if job.seen.committed else ""
    return Outcome(
        result=Result.STUCK,
        run=job.run,
        summary=_with_place(error),
        state=f"{error.state}{before}",
        hint=error.hint,
        checks=job.seen.all_checks(),
    )


def paused(job: Job, error: OktoError) -> Outcome:
    """A batch stopped between two chunks; what is committed stands."""
    others = [unit for unit in job.units if unit.number in job.seen.committed and unit.number not in job.seen.batches]
    before = f"{_names(others)} is committed; " if others else ""
    return Outcome(
        result=Result.PAUSED,
        run=job.run,
        summary=_with_place(error),
        writes=job.seen.all_writes(),
        state=f"{before}committed and standing so far, {_far(job)}; the chunk under way was rolled back",
        hint=error.hint
        or f"go on with: okto-change resume {job.run}; or take it back with: okto-change rollback {_place(job)}",
        checks=job.seen.all_checks(),
        conflicts=error.faults,
    )


def undo_paused(job: Job, origin: str, error: OktoError) -> Outcome:
    """The undo of a batch stopped between two chunks."""
    return _stopped(
        job,
        error,
        summary=f"the undo of run {origin}",
        state=f"{_back(job)}still standing, {_far(job)}",
        hint=f"go on with: okto-change rollback {_place(job)}",
    )


def redo_paused(job: Job, origin: str, error: OktoError) -> Outcome:
    """The redo of a batch stopped between two chunks."""
    further = f"go on with: okto-change redo {_place(job)}; or take it back with: okto-change rollback {_place(job)}"
    return _stopped(
        job,
        error,
        summary=f"the redo of run {origin}",
        state=f"put back and standing so far, {_far(job)}; the chunk under way was rolled back",
        hint=error.hint or further,
    )


def _stopped(job: Job, error: OktoError, *, summary: str, state: str, hint: str) -> Outcome:
    return Outcome(
        result=Result.PAUSED,
        run=job.run,
        summary=f"{summary} stopped: {_with_place(error)}",
        state=state,
        conflicts=error.faults,
        hint=hint,
    )


def _far(job: Job) -> str:
    """Say how far the batches came."""
    return "; ".join(f"{unit.name!r}: {job.seen.batches[unit.number]}" for unit in _batches(job))


def _batches(job: Job) -> list[Unit]:
    return [unit for unit in job.units if unit.number in job.seen.batches and unit.number not in job.seen.undone]


def _back(job: Job) -> str:
    back = [unit for unit in job.units if unit.number in job.seen.undone]
    return f"{_names(back)} is back; " if back else ""


def conflict(job: Job, error: OktoError, *, only_clean: bool) -> Outcome:
    """The undo would destroy later work, so it did nothing; with ``only_clean`` that leaves nothing to be undone."""
    rest = f"{THEIRS}; undo the rest with: okto-change rollback {_place(job)} --only-clean"
    return Outcome(
        result=Result.CONFLICT,
        run=job.run,
        summary=error.message,
        state="nothing was changed",
        conflicts=error.faults,
        hint=error.hint if only_clean else rest,
    )


def undo_failed(job: Job, origin: str, error: OktoError) -> Outcome:
    """An undo that was asked for did not get to its end."""
    back = ", ".join(unit.name for unit in job.units if unit.number in job.seen.undone)
    half = "; ".join(f"{unit.name}: {job.seen.batches[unit.number]}" for unit in _batches(job))
    result, state = Result.ROLLED_BACK, "the undo was rolled back; the change still stands as before"
    if isinstance(error, Refused):
        result, state = Result.REFUSED, "nothing was undone; the change still stands as before"
    if back:
        result, state = Result.STUCK, f"partly undone: {back} of run {origin} is back, the rest still stands"
    if job.seen.batches_undone:
        result, state = (
            Result.STUCK,
            f"{_back(job)}taken back in part, and as it was before the change there; still standing, {half}",
        )
    if isinstance(error, Stuck):
        result, state = Result.STUCK, f"{error.state}; {state}" if back or job.seen.batches_undone else error.state
    return Outcome(
        result=result,
        run=job.run,
        summary=f"the undo failed: {_with_place(error)}",
        state=state,
        hint=error.hint or "run rollback again when the cause is gone",
        conflicts=error.faults,
    )


def undone(job: Job, origin: str, left: tuple[str, ...]) -> Outcome:
    """What stood is taken back, except what ``left`` names."""
    units = [unit for unit in job.units if unit.number in job.seen.undone]
    scripted = [unit for unit in units if isinstance(unit, SqlUnit) and unit.scripts]
    writes, checks = job.seen.all_writes(), job.seen.all_checks()
    summary, state = f"took back run {origin}", "every row and key is back as it was"
    redoable = not job.seen.unfinished and not any(taken_back_by(unit) for unit in units)
    hint = f"put it back again with: okto-change redo {_place(job)}" if redoable else ""
    if scripted:
        state = f"undone; {_names(scripted)} by its author's script"
    if left:
        nothing = not job.seen.rows_back and not any(table.total for table in writes)
        summary = f"took back {'nothing of' if nothing else 'a part of'} run {origin}"
        state = "the rows and keys named were left as they are; " + (
            "there was nothing else" if nothing else "the rest is undone"
        )
        hint = f"{THEIRS}; when what else was in the way is gone, take back what is left with: okto-change rollback {_place(job)}"
    unlike = tuple(
        f"the check {check.name!r} expected {check.expected} before the change, finds {check.found} now"
        for check in checks
        if not check.passed
    )
    return Outcome(
        result=Result.CONFLICT if left else Result.DONE,
        run=job.run,
        summary=summary,
        state=state,
        hint=hint or None,
        conflicts=left,
        writes=writes,
        checks=checks,
        notes=(*dict.fromkeys(job.seen.notes), *unlike),
    )


def redone(job: Job, origin: str) -> Outcome:
    """What an undo took away is back."""
    return Outcome(
        result=Result.DONE,
        run=job.run,
        summary=f"put back run {origin}",
        state="the change stands again as it was applied",
        writes=job.seen.all_writes(),
        checks=job.seen.all_checks(),
        notes=tuple(dict.fromkeys(job.seen.notes)),
        hint=f"take it back with: okto-change rollback {_place(job)}",
    )


def redo_taken_back(job: Job, error: OktoError, left: tuple[str, ...]) -> Outcome:
    """A redo failed after a commit, and what it had put back is taken back again, except what ``left`` names."""
    units = [unit for unit in job.units if unit.number in job.seen.undone]
    state = f"{_names(units)} had been put back and is undone again; "
    state += (
        "the rows and keys named were left as they are"
        if left
        else "every row and key is as it was before the redo; the change is still undone"
    )
    return Outcome(
        result=Result.CONFLICT if left else Result.UNDONE,
        run=job.run,
        summary=f"the redo failed: {_with_place(error)}",
        state=state,
        hint=error.hint or f"settle the cause, then run: okto-change redo {_place(job)}",
        checks=job.seen.all_checks(),
        conflicts=(*error.faults, *left),
    )


def redo_failed(job: Job, origin: str, error: OktoError) -> Outcome:
    """A redo put nothing back, or nobody can tell yet what became of its last effect; what it put back before stands."""
    result, state = Result.ROLLED_BACK, "rolled back; the change is still undone"
    if isinstance(error, Conflict):
        result, state = Result.CONFLICT, "nothing was changed; the change is still undone"
    elif isinstance(error, Refused):
        result, state = Result.REFUSED, "nothing was changed; the change is still undone"
    if back := [unit for unit in job.units if unit.number in job.seen.committed]:
        state = f"{_names(back)} of run {origin} stands again, the rest is still undone"
    if isinstance(error, Stuck):
        result, state = Result.STUCK, f"{error.state}; {state}" if back else error.state
    return Outcome(
        result=result,
        run=job.run,
        summary=f"the redo failed: {_with_place(error)}",
        state=state,
        conflicts=error.faults,
        checks=job.seen.all_checks(),
        hint=f"take it back again with: okto-change rollback {_place(job)}"
        if back
        else (not isinstance(error, Conflict) and error.hint)
        or f"settle the cause, then run: okto-change redo {_place(job)}",
    )


def _stands(job: Job) -> str:
    standing = [unit for unit in job.units if unit.number in job.seen.committed]
    back = [unit for unit in job.units if unit.number in job.seen.undone]
    words = f"partly applied: {_names(standing)} is committed and stands"
    far = "; ".join(
        f"{unit.name}: {job.seen.batches[unit.number]}" for unit in standing if unit.number in job.seen.batches
    )
    words += f" ({far})" if far else ""
    return f"{words}, {_names(back)} is undone" if back else words


def _names(units: Iterable[Unit]) -> str:
    return ", ".join(f"{unit.name!r}" for unit in units)


def _place(job: Job) -> str:
    return f"{job.lock.change} --env {job.lock.environment}"


def _with_place(error: OktoError) -> str:
    return error.message if error.where is None else f"{error.where}: {error.message}"
