"""Taking a change back and putting it back again: what would happen, then the one loop, each event journaled first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from okto_change import lifecycle
from okto_change.errors import NotAuthorised, Refused
from okto_change.execution import foresight, runner
from okto_change.execution.job import Job
from okto_change.execution.targets import Targets
from okto_change.execution.units import Unit
from okto_change.journal.store import Journal
from okto_change.model import Outcome, Result, UndoPreview
from okto_change.model.base import record
from okto_change.pipeline import glass, settling, usedup
from okto_change.pipeline.clearance import Present, clear
from okto_change.pipeline.compiling import analyse_live
from okto_change.pipeline.evidence import find, new_job
from okto_change.pipeline.lookout import Lookout
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.running import Watch, broken_before, loop, opened
from okto_change.pipeline.sources import Actor, Source, demand_hands, read_source, who


@record
class _Work:
    """What is taken back or put back: ``units`` of run ``origin``, each with the undos that took it back before."""

    job: Job
    journal: Journal
    origin: str
    units: Mapping[int, tuple[str, ...]]
    left: bool = False
    """whether an earlier rollback left rows or keys of others as they are"""


@record
class _Place:
    repo: Repository
    actor: Actor
    targets: Targets
    journal: Journal
    found: lifecycle.ChangeState


def rollback(repo: Repository, change: str, environment: str, *, only_clean: bool, watch: Watch) -> Outcome:
    """Take back what stands of the change, or what an earlier rollback left. It needs no new approval.

    The start of the run that it takes back is its authority.
    """
    with _found(repo, repo.resolve(change), environment) as place:
        work = _undo_work(place)
        if isinstance(work, Outcome):
            return work
        events = runner.undo(work.job, work.origin, frozenset(work.units), only_clean=only_clean)
        return loop(work.job, events, work.journal, watch)


def rollback_preview(repo: Repository, change: str, environment: str) -> UndoPreview | Outcome:
    """Do what ``rollback`` would, compare, and roll it back; an Outcome says that there is nothing to take back."""
    with _found(repo, repo.resolve(change), environment) as place:
        work = _undo_work(place)
        return work if isinstance(work, Outcome) else foresight.foresee(work.job, _units(work), work.origin)


def redo(repo: Repository, change: str, environment: str, *, watch: Watch) -> Outcome:
    """Put a change back that was rolled back: its rows as they were after it, where nobody changed them since.

    The decisions that its run used up allow it, if they would still allow it now. Raises NotAuthorised otherwise.
    """
    repo.demand_fetched("redo")
    source = read_source(repo, repo.resolve(change), environment)
    with _found(repo, source.lock.change, environment) as place:
        work = _redo_work(place, source)
        if isinstance(work, Outcome):
            return work
        events = runner.redo(work.job, work.origin, work.units, left=work.left)
        return loop(work.job, events, work.journal, watch)


def redo_preview(repo: Repository, change: str, environment: str) -> UndoPreview | Outcome:
    """Do what ``redo`` would and roll it back; an Outcome says that there is nothing to put back."""
    source = read_source(repo, repo.resolve(change), environment)
    with _found(repo, source.lock.change, environment) as place:
        work = _redo_work(place, source)
        return work if isinstance(work, Outcome) else foresight.foresee(work.job, _units(work), work.origin, work.units)


@contextmanager
def _found(repo: Repository, change: str, environment: str) -> Iterator[_Place]:
    """Give where the change stands, with what earlier runs left unknown found out, while nobody else can run it."""
    entry = repo.policy.environment(environment)
    actor = who(repo, entry)
    demand_hands(repo, entry, actor)
    with opened(repo, entry, actor, change) as (targets, journal):
        yield _Place(repo, actor, targets, journal, settling.settle(journal, targets, change, environment))


def _units(work: _Work) -> list[Unit]:
    return [unit for unit in work.job.units if unit.number in work.units]


def _undo_work(place: _Place) -> _Work | Outcome:
    """Return the run to take back, and its units: those that stand, and those of which something was left."""
    found = place.found
    run, units = found.standing or found.left or ("", ())
    more = found.left[1] if found.left is not None and found.left[0] == run else ()
    if not units:
        return _nothing(found.change, found.environment)
    return _Work(_job(place, run), place.journal, run, {int(unit): () for unit in (*units, *more)})


def _nothing(change: str, environment: str) -> Outcome:
    return Outcome(
        result=Result.NOTHING_TO_UNDO,
        run=None,
        state="nothing was changed",
        summary=f"nothing of {change} stands in {environment}",
    )


def _nothing_undone(found: lifecycle.ChangeState, environment: str) -> Outcome:
    if found.half is not None:
        raise Refused(
            f"run {found.half.origin or found.half.id} of {found.change} is taken back in part only",
            where=environment,
            state="nothing was changed",
            hint=f"take back the rest first, with: okto-change rollback {found.change} --env {environment}",
        )
    stands = f"; run {found.applied} stands" if found.applied else ""
    return Outcome(
        result=Result.NOTHING_TO_REDO,
        run=None,
        state="nothing was changed",
        summary=f"nothing of {found.change} was rolled back in {environment} that could be put back{stands}",
    )


def _job(place: _Place, run: str, **authority: Any) -> Job:
    entry = place.repo.policy.environment(place.found.environment)
    lock = settling.lock_of(place.repo, place.journal, place.found.change, entry, run)
    settling.demand_same(lock, place.targets, run)
    return new_job(lock, place.targets, entry.journal, person=place.actor.name, **authority)


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
    )


def _demand_whole(first: lifecycle.Run, units: Iterable[str]) -> None:
    """Raise Refused for a batch that never came to its end: its first chunks are not the change that was approved."""
    if any(unit not in first.committed for unit in units):
        raise Refused(
            f"run {first.id} broke off in a batch and was taken back: a part of it is not put back",
            where=first.change,
            state="nothing was changed; the change is still undone",
            hint=f"have the change approved again, then run: okto-change apply {first.change} --env {first.environment}",
        )


def _redo_work(place: _Place, source: Source) -> _Work | Outcome:
    found = place.found
    if found.redoable is None:
        return _nothing_undone(found, found.environment)
    run, undone = found.redoable
    first = next(known for known in found.runs if known.id == run)
    _demand_whole(first, undone)
    if source.lock.digest != first.digest:
        raise NotAuthorised(
            f"the plan is another one than run {run} ran, so its rows cannot be put back",
            where=found.change,
            hint=f"have the plan of now approved, then run: okto-change apply {found.change} --env {found.environment}",
        )
    present = _present(place.repo, source, place.targets, place.journal, first)
    clearance = clear(place.repo, source, present, place.actor.person)
    job = _job(
        place,
        run,
        digest=source.lock.digest,
        policy_sha256=clearance.policy_sha256,
        allowed_by=list(clearance.statements),
    )
    look = Lookout(place.repo, source.lock, clearance.statements, present.risk)
    job = replace(job, look=look, beside=look.beside)
    units = {int(unit): undos for unit, undos in undone.items()}
    return _Work(job, place.journal, run, units, left=found.left is not None)
