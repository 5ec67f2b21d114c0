"""Clearance, then the one loop that changes anything: apply, rollback, resume, each journaled before its effect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from okto_change import lifecycle
from okto_change.approval.policy import Environment
from okto_change.errors import JournalBroken, Refused, Stuck, UsageError
from okto_change.execution import runner
from okto_change.execution.job import Job, new_run
from okto_change.execution.targets import Targets
from okto_change.journal.store import Journal
from okto_change.model import Event, EventKind, Outcome, Result
from okto_change.pipeline import settling
from okto_change.pipeline.clearance import Actor, Source, clear, consumed, facts_now, read_source, who
from okto_change.pipeline.compiling import analyse_live, demand_sound
from okto_change.pipeline.connections import open_journal, open_targets
from okto_change.pipeline.evidence import Report, find, new_job
from okto_change.pipeline.repository import Repository

Watch = Callable[[Event], None]


def apply(repo: Repository, change: str, environment: str, *, watch: Watch) -> Outcome:
    """Run the change. Raises NotAuthorised with the reasons, Refused, ConnectionFailed, JournalBroken."""
    change = repo.resolve(change)
    source = read_source(repo, change, environment)
    actor = who(repo, source.compiled.environment)
    with _open(repo, source.compiled.environment, actor) as (targets, journal):
        found = settling.settle(journal, targets, change, environment)
        if found.standing is not None:
            return _stands(found, environment)
        job = cleared_job(repo, source, targets, journal, actor)
        return _loop(runner.apply(job), journal, watch)


def rollback(repo: Repository, change: str, environment: str, *, only_clean: bool, watch: Watch) -> Outcome:
    """Take back what stands of the change. It needs no new approval: the start of its run is its authority."""
    change = repo.resolve(change)
    entry = repo.policy.environment(environment)
    actor = who(repo, entry)
    with _open(repo, entry, actor) as (targets, journal):
        found = settling.settle(journal, targets, change, environment)
        if found.standing is None:
            return Outcome(
                result=Result.NOTHING_TO_UNDO, run=None, summary=f"nothing of {change} stands in {environment}",
                state="nothing was changed",
            )  # fmt: skip
        run, units = found.standing
        lock = settling.lock_of(repo, journal, change, entry, run)
        job = new_job(lock, targets, entry.journal, person=actor.name)
        return _loop(runner.undo(job, run, frozenset(map(int, units)), only_clean=only_clean), journal, watch)


def resume(repo: Repository, run: str, *, watch: Watch) -> Outcome:
    """Go on with a run that was cut off, at its first unit that is not committed. Raises UsageError for an unknown run."""
    for environment in sorted(repo.policy.environments):
        entry = repo.policy.environment(environment)
        actor = who(repo, entry)
        with _open(repo, entry, actor) as (targets, journal):
            started = settling.find_run(journal, environment, run)
            if started is None:
                continue
            lost = _unfinished(settling.settle(journal, targets, started.change, environment), run)
            lock = settling.lock_of(repo, journal, started.change, entry, run)
            authority = dict(started.data) | {"person": actor.name, "decisions": []}
            job = new_job(lock, targets, entry.journal, run=run, **authority)
            return _loop(runner.apply(job, done=frozenset(map(int, lost.standing))), journal, watch)
    raise UsageError(f"no journal knows a run {run!r}", hint="`okto-change status` lists the runs")


def _unfinished(found: lifecycle.ChangeState, run: str) -> lifecycle.Run:
    lost = next(known for known in found.runs if known.id == run)
    if lost.origin is None and (not lost.finished or lost.result is Result.STUCK) and not lost.undone:
        return lost
    raise Refused(
        f"run {run} is {lost.state.value}, there is nothing to resume", where=lost.change,
        hint=f"okto-change status --env {lost.environment}",
    )  # fmt: skip


def _stands(found: lifecycle.ChangeState, environment: str) -> Outcome:
    """Answer for a change that stands already. Raises Stuck for one that was cut off half-way."""
    run, units = found.standing or ("", ())
    if found.state is lifecycle.State.APPLIED:
        return Outcome(
            result=Result.ALREADY_APPLIED, run=run, state="nothing was changed now",
            summary=f"{found.change} is applied in {environment} already, by run {run}",
        )  # fmt: skip
    raise Stuck(
        f"run {run} of {found.change} broke off or got stuck: {found.state.value}", where=environment,
        state=f"units committed so far: {', '.join(units)}",
        hint=f"go on with `okto-change resume {run}`, or take it back with "
        f"`okto-change rollback {found.change} --env {environment}`",
    )  # fmt: skip


def cleared_job(repo: Repository, source: Source, targets: Targets, journal: Journal, actor: Actor) -> Job:
    """Return a run that policy allows, with what was reviewed as its expectation. Raises NotAuthorised, Refused."""
    demand_sound(analyse_live(source.compiled, find(source.compiled, targets)).findings, "this change cannot run")
    drift = facts_now(source, targets)
    clearance = clear(repo, source, drift, consumed(journal.entries(environment=source.lock.environment)), actor.person)
    job = new_job(
        source.lock, targets, source.compiled.environment.journal, run=new_run(), person=actor.name,
        digest=source.lock.digest, commit=source.commit, policy_sha256=clearance.policy_sha256,
        decisions=list(clearance.statements), counted=dict(clearance.counted),
    )  # fmt: skip
    if source.report is not None:
        _expect(job, source.report)
    return job


@contextmanager
def _open(repo: Repository, entry: Environment, actor: Actor) -> Iterator[tuple[Targets, Journal]]:
    with (
        open_targets(entry, repo.environ) as targets,
        open_journal(entry, repo.environ, actor=actor.name) as journal,
    ):
        yield targets, journal


def _expect(job: Job, report: Report) -> None:
    for edit in reversed(report.dry_run.edits):
        job.expected[edit.target, edit.file] = edit.before_sha256
    rehearsed = report.dry_run.rehearsal
    targets = {unit.target for unit in job.units} - {edit.target for edit in report.dry_run.edits}
    if rehearsed is not None and len(targets) == 1:
        job.coverage[targets.pop()] = {writes.table for writes in rehearsed.writes}


def _loop(events: runner.Run, journal: Journal, watch: Watch) -> Outcome:
    """Journal every event before the runner goes on to its effect. A journal that fails closes the runner: nothing commits."""
    committed: list[str] = []
    with closing(events):
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            if event.kind in (EventKind.COMMITTED, EventKind.UNDONE):
                committed.append(f"{event.kind.value} {event.step}")
            try:
                journal.append(event)
            except JournalBroken as error:
                error.state += f"; before that: {', '.join(committed)}" if committed else ""
                raise
            watch(event)
