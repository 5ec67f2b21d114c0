"""Clearance, then the one loop that changes anything: apply, rollback, resume, each journaled before its effect."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from okto_change import lifecycle
from okto_change.approval import policy as policies
from okto_change.approval.policy import Clearance, Environment
from okto_change.errors import JournalBroken, NotAuthorised, Refused, Stuck, UsageError
from okto_change.execution import runner
from okto_change.execution.job import Job, new_run
from okto_change.execution.targets import Targets
from okto_change.journal.store import Journal
from okto_change.model import Entry, Event, EventKind, Lock, Outcome, Result
from okto_change.pipeline import settling
from okto_change.pipeline.compiling import (
    Compiled,
    analyse_live,
    compile_change,
    demand_lock,
    demand_sound,
    differences,
    lock_path,
)
from okto_change.pipeline.connections import open_journal, open_targets
from okto_change.pipeline.evidence import Report, collect, facts_sha256, find, from_files, new_job, tables_of
from okto_change.pipeline.repository import Repository

Watch = Callable[[Event], None]


@dataclass(frozen=True)
class Source:
    """The change as it will run: compiled at one commit, with the dry run stored there."""

    commit: str
    compiled: Compiled
    lock: Lock
    report: Report | None


@dataclass(frozen=True)
class Actor:
    """Who runs the command: a person of the policy, or only a login of this machine (``person`` None)."""

    name: str
    person: str | None


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


def read_source(repo: Repository, change: str, environment: str) -> Source:
    """Compile the change at the commit that runs are pinned to, and demand that its lock says the same.

    Raises Refused when the change is not there, NotAuthorised when the committed lock differs from its sources.
    """
    entry = repo.policy.environment(environment)
    commit = repo.mirror.head_commit() if entry.from_head else repo.protected_commit
    files = repo.committed_files(commit, change)
    if not files:
        where = "HEAD" if entry.from_head else f"the protected branch ({repo.mirror.protected_ref})"
        raise Refused(f"{change} is not on {where}", where=change, hint="commit it, and merge it where runs are read from")
    compiled = compile_change(repo.policy, change, environment, files)
    try:
        lock = demand_lock(compiled, files)
    except Refused as error:
        if not error.faults:
            raise
        raise NotAuthorised(error.message, where=error.where, faults=error.faults, hint=error.hint) from error
    return Source(commit=commit, compiled=compiled, lock=lock, report=from_files(files, lock))


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


def clear(repo: Repository, source: Source, facts: str | None, used: frozenset[str], executor: str | None) -> Clearance:
    """Return the clearance of a lock. Raises NotAuthorised with every reason and its step number."""
    lock = source.lock
    files = repo.mirror.decision_files(lock.change, lock.environment)
    decisions = policies.examine(repo.policy, files, second_opinion=True)
    try:
        return policies.clear(
            repo.policy, lock, decisions, executor=executor, now=datetime.now(UTC), facts_sha256=facts,
            report_sha256=source.report.sha256 if source.report else None, consumed=used, commit=source.commit,
        )  # fmt: skip
    except NotAuthorised as error:
        error.faults += changed_since(repo, source, decisions)
        raise


def changed_since(repo: Repository, source: Source, decisions: Sequence[policies.Decision]) -> tuple[str, ...]:
    """Say what differs between this lock and the newest other version that somebody approved; () if there is none."""
    lock = source.lock
    stale = [
        said for said in (decision.statement for decision in decisions)
        if said and said.decision == "approve" and said.digest != lock.digest and said.environment == lock.environment
    ]  # fmt: skip
    if not stale:
        return ()
    newest = max(stale, key=lambda said: said.issued_at)
    path = f"changes/{lock.change}/{lock_path(lock.environment)}"
    approved = repo.mirror.find_version(path, newest.digest, commit=source.commit)
    if approved is None:
        return (f"{newest.signer} approved another version, which is not in this branch's history",)
    return tuple(f"since {newest.signer} approved: {line}" for line in differences(approved, lock.content))


def facts_now(source: Source, targets: Targets) -> str | None:
    """Return the digest of the facts as they are now, over the tables that the stored dry run covers; None without one.

    Raises NotAuthorised naming what changed since: what was approved is not what would run.
    """
    if source.report is None:
        return None
    reviewed = source.report.dry_run.facts
    rehearsed = source.report.dry_run.rehearsal
    found = collect(source.lock, targets, tables_of(source.lock, rehearsed))
    if found != reviewed:
        raise NotAuthorised(
            "the target is not what the dry run saw", where=source.lock.environment,
            faults=tuple(_drift(reviewed, found)),
            hint=f"run `okto-change dry-run {source.lock.change} --env {source.lock.environment}` again and have it approved",
        )  # fmt: skip
    return facts_sha256(found)


def consumed(entries: Iterable[Entry]) -> frozenset[str]:
    """Return the decisions that earlier runs used up."""
    return frozenset(item for entry in entries for item in entry.event.data.get("decisions", ()))


@contextmanager
def _open(repo: Repository, entry: Environment, actor: Actor) -> Iterator[tuple[Targets, Journal]]:
    with (
        open_targets(entry, repo.environ) as targets,
        open_journal(entry, repo.environ, actor=actor.name) as journal,
    ):
        yield targets, journal


def who(repo: Repository, entry: Environment) -> Actor:
    """Return who this is: the person of the policy whose key signs here, else the login where the policy asks for nobody."""
    try:
        name = repo.signer().person
    except NotAuthorised:
        if entry.execute.groups:
            raise
        return Actor(name=f"login {getpass.getuser()}", person=None)
    return Actor(name=name, person=name)


def _drift(reviewed: Mapping[str, object], found: Mapping[str, object], path: str = "") -> list[str]:
    lines = []
    for name in sorted(reviewed.keys() | found.keys()):
        old, new = reviewed.get(name), found.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += _drift(old, new, f"{path}{name}: ")
        elif old != new:
            lines.append(f"{path}{name} was {old}, is {new}")
    return lines


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
