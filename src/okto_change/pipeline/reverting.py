"""Taking a change back and putting it back again: what would happen, then the one loop, each event journaled first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okto_change import lifecycle
from okto_change.approval.policy import Environment
from okto_change.errors import NotAuthorised
from okto_change.execution import foresight, runner
from okto_change.execution.job import Job
from okto_change.execution.targets import Targets
from okto_change.journal.store import Journal
from okto_change.model import Outcome, Result, UndoPreview
from okto_change.pipeline import glass, settling, usedup
from okto_change.pipeline.clearance import Actor, Present, Source, clear, read_source, who
from okto_change.pipeline.compiling import analyse_live
from okto_change.pipeline.evidence import find, new_job
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.running import Watch, broken_before, loop, opened


def rollback(repo: Repository, change: str, environment: str, *, only_clean: bool, watch: Watch) -> Outcome:
    """Take back what stands of the change, or what an earlier rollback left. It needs no new approval.

    The start of the run that it takes back is its authority.
    """
    change = repo.resolve(change)
    entry = repo.policy.environment(environment)
    actor = who(repo, entry)
    with opened(repo, entry, actor, change) as (targets, journal):
        found = settling.settle(journal, targets, change, environment)
        run, units = _to_undo(found)
        if not units:
            return _nothing(change, environment)
        job = _job(repo, journal, targets, entry, change, run, person=actor.name)
        return loop(job, runner.undo(job, run, units, only_clean=only_clean), journal, watch)


def rollback_preview(repo: Repository, change: str, environment: str) -> UndoPreview | Outcome:
    """Do what ``rollback`` would, compare, and roll it back; an Outcome says that there is nothing to take back."""
    change = repo.resolve(change)
    entry = repo.policy.environment(environment)
    actor = who(repo, entry)
    with opened(repo, entry, actor, change) as (targets, journal):
        found = settling.settle(journal, targets, change, environment)
        run, units = _to_undo(found)
        if not units:
            return _nothing(change, environment)
        job = _job(repo, journal, targets, entry, change, run, person=actor.name)
        return foresight.foresee(job, [unit for unit in job.units if unit.number in units], run)


def redo(repo: Repository, change: str, environment: str, *, watch: Watch) -> Outcome:
    """Put a change back that was rolled back: its rows as they were after it, where nobody changed them since.

    The decisions that its run used up allow it, if they would still allow it now. Raises NotAuthorised otherwise.
    """
    repo.demand_fetched("redo")
    change = repo.resolve(change)
    source = read_source(repo, change, environment)
    entry = source.compiled.environment
    actor = who(repo, entry)
    with opened(repo, entry, actor, change) as (targets, journal):
        found = settling.settle(journal, targets, change, environment)
        if found.redoable is None:
            return _nothing_undone(found, environment)
        job, run, undos = _redo_job(repo, journal, targets, source, actor, found)
        return loop(job, runner.redo(job, run, undos), journal, watch)


def redo_preview(repo: Repository, change: str, environment: str) -> UndoPreview | Outcome:
    """Do what ``redo`` would and roll it back; an Outcome says that there is nothing to put back."""
    change = repo.resolve(change)
    source = read_source(repo, change, environment)
    entry = source.compiled.environment
    actor = who(repo, entry)
    with opened(repo, entry, actor, change) as (targets, journal):
        found = settling.settle(journal, targets, change, environment)
        if found.redoable is None:
            return _nothing_undone(found, environment)
        job, run, undos = _redo_job(repo, journal, targets, source, actor, found)
        return foresight.foresee(job, [unit for unit in job.units if unit.number in undos], run, undos)


def _to_undo(found: lifecycle.ChangeState) -> tuple[str, frozenset[int]]:
    """Return the run to take back, and its units: those that stand, and those of which something was left."""
    run, units = found.standing or found.left or ("", ())
    more = found.left[1] if found.left is not None and found.left[0] == run else ()
    return run, frozenset(map(int, (*units, *more)))


def _nothing(change: str, environment: str) -> Outcome:
    return Outcome(
        result=Result.NOTHING_TO_UNDO, run=None, state="nothing was changed",
        summary=f"nothing of {change} stands in {environment}",
    )  # fmt: skip


def _nothing_undone(found: lifecycle.ChangeState, environment: str) -> Outcome:
    stands = f"; run {found.applied} stands" if found.applied else ""
    return Outcome(
        result=Result.NOTHING_TO_UNDO, run=None, state="nothing was changed",
        summary=f"nothing of {found.change} was rolled back in {environment} that could be put back{stands}",
    )  # fmt: skip


def _job(
    repo: Repository, journal: Journal, targets: Targets, entry: Environment, change: str, run: str, **authority: Any
) -> Job:  # fmt: skip
    lock = settling.lock_of(repo, journal, change, entry, run)
    return new_job(lock, targets, entry.journal, **authority)


def _present(repo: Repository, source: Source, targets: Targets, journal: Journal, first: lifecycle.Run) -> Present:
    """Return how things are, with the decisions of the run that is put back not counted as used up.

    The facts are those reviewed: what the images of the undo meet is compared row by row, and table by table.
    """
    lock, entry = source.lock, source.compiled.environment
    return Present(
        at=usedup.demand_current(repo, lock, entry, targets),
        facts=source.report.dry_run.facts_sha256 if source.report else None,
        risk=analyse_live(source.compiled, find(source.compiled, targets)).risk,
        used=usedup.consumed(lock, entry, targets) - set(first.decisions),
        overdue=glass.overdue(repo, entry, broken_before(journal, entry)),
    )  # fmt: skip


def _redo_job(
    repo: Repository, journal: Journal, targets: Targets, source: Source, actor: Actor, found: lifecycle.ChangeState
) -> tuple[Job, str, Mapping[int, tuple[str, ...]]]:  # fmt: skip
    run, undone = found.redoable or ("", {})
    first = next(known for known in found.runs if known.id == run)
    place = f"{found.change} --env {found.environment}"
    if source.lock.digest != first.digest:
        raise NotAuthorised(
            f"the plan is another one than run {run} ran, so its rows cannot be put back", where=found.change,
            hint=f"have the plan of now approved, then run: okto-change apply {place}",
        )  # fmt: skip
    clearance = clear(repo, source, _present(repo, source, targets, journal, first), actor.person)
    job = _job(
        repo, journal, targets, source.compiled.environment, found.change, run, person=actor.name,
        digest=source.lock.digest, policy_sha256=clearance.policy_sha256, allowed_by=list(clearance.statements),
    )  # fmt: skip
    return job, run, {int(unit): undos for unit, undos in undone.items()}
