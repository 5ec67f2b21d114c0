"""Clearance, then the one loop that changes anything: apply and resume, each event journaled before its effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from okto_change import lifecycle
from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import Clearance, Environment
from okto_change.database.ledger import Authority
from okto_change.errors import JournalBroken, Refused, Stuck
from okto_change.execution import interrupts, runner
from okto_change.execution.job import Job, new_run
from okto_change.execution.targets import Targets
from okto_change.journal.store import Journal
from okto_change.model import Event, EventKind, Outcome, Result
from okto_change.pipeline import continuing, glass, settling, usedup
from okto_change.pipeline.approach import Approach
from okto_change.pipeline.clearance import Present, clear, facts_now
from okto_change.pipeline.compiling import analyse_live, demand_sound
from okto_change.pipeline.connections import open_journal, open_targets
from okto_change.pipeline.desk import Desk, Unwritten
from okto_change.pipeline.evidence import find, new_job
from okto_change.pipeline.glass import Emergency
from okto_change.pipeline.lookout import Lookout
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.sources import Actor, Source, who
from okto_change.pipeline.stored import Report

Watch = Callable[[Event], None]
HOW = {None: "broke off and told no end", Result.PAUSED: "is paused"}
"""by how the run ended that stands in part"""
UNDOING = frozenset({lifecycle.State.UNDOING, lifecycle.State.UNDO_COMMITTING})


def apply(
    repo: Repository,
    source: Source,
    actor: Actor,
    *,
    near: Approach,
    watch: Watch,
    emergency: Emergency | None = None,
) -> Outcome:
    """Run the change, like ``applying.apply``, which has fetched, read and compiled it, and begun to connect (``near``)."""
    change, entry = source.lock.change, source.compiled.environment
    used = {step.target for step in source.lock.steps}
    with opened(repo, entry, actor, change, used, near) as (targets, journal):
        found = settling.settle(journal, targets, change, entry.name)
        if found.standing is not None:
            return _stands(found, entry.name)
        job = cleared_job(repo, source, targets, journal, actor, emergency)
        return loop(job, runner.apply(job), journal, watch)


def resume(repo: Repository, run: str, *, watch: Watch) -> Outcome:
    """Go on with a run that was cut off, at its first unit that is not committed.

    Raises UsageError for an unknown run, Refused for one that has ended or was taking something back, Halted once
    somebody who may has said no to it.
    """
    entry, first = settling.in_journals(repo, run, lambda journal, name: settling.find_run(journal, name, run))
    started, actor = first.event, who(repo, entry)
    with opened(repo, entry, actor, started.change) as (targets, journal):
        lost = _unfinished(settling.settle(journal, targets, started.change, entry.name), run)
        lock = settling.lock_of(repo, journal, started.change, entry, run)
        settling.demand_same(lock, targets, run)
        look = continuing.go_on(repo, lock, first, actor)
        authority = dict(started.data) | {"person": actor.name, "decisions": []}
        job = new_job(lock, targets, entry.journal, run=run, **authority)
        job = replace(job, ledger=_taken(repo, entry, started), look=look, beside=look.beside)
        done, standing = frozenset(map(int, lost.whole)), frozenset(map(int, lost.standing))
        return loop(job, runner.apply(job, done=done, partial=standing - done), journal, watch)


def _unfinished(found: lifecycle.ChangeState, run: str) -> lifecycle.Run:
    lost = next(known for known in found.runs if known.id == run)
    place = f"{lost.change} --env {lost.environment}"
    if lost.finished and lost.result not in (Result.STUCK, Result.PAUSED):
        raise Refused(
            f"run {run} is {lost.state.value}, there is nothing to resume{_since(found, run)}",
            where=lost.change,
            hint=f"okto-change status --env {lost.environment}",
        )
    taken = found.half or any(other.origin == run and (other.undone or other.progress) for other in found.runs)
    if taken and found.undone:
        raise Refused(
            f"run {run} was taken back, there is nothing to resume",
            where=lost.change,
            hint=f"apply it anew with: okto-change apply {place}",
        )
    if taken or lost.origin is not None or lost.undone or lost.state in UNDOING:
        raise Refused(
            f"run {run} broke off while it took something back or put it back; that is not resumed but done again",
            where=lost.change,
            hint=f"okto-change {'redo' if lost.redo else 'rollback'} {place}",
        )
    return lost


def _since(found: lifecycle.ChangeState, run: str) -> str:
    """Say which run has begun to take ``run`` back since it ended, '' if none has."""
    undo = next((one for one in reversed(found.runs) if one.origin == run and (one.undone or one.progress)), None)
    return "" if undo is None or undo.redo else f"; run {undo.id} has taken it back since, or a part of it"


def _stands(found: lifecycle.ChangeState, environment: str) -> Outcome:
    """Answer for a change that stands already. Raises Stuck for one that was cut off half-way."""
    run, units = found.standing or ("", ())
    if found.applied is not None:
        return Outcome(
            result=Result.ALREADY_APPLIED,
            run=run,
            state="nothing was changed now",
            summary=f"{found.change} is applied in {environment} already, by run {run}",
        )
    place = f"{found.change} --env {environment}"
    on = f"resume {run}" if found.half is None else f"redo {place}"
    known = next(one for one in found.runs if one.id == run)
    parts = [unit if unit in known.whole and found.half is None else f"{unit} (some chunks of it)" for unit in units]
    if found.half is not None and not found.half.redo:
        raise Stuck(
            f"a part of run {run} of {found.change} is taken back: {found.state.value}",
            where=environment,
            state=f"parts that stand committed: {', '.join(parts)}",
            hint=f"take back the rest with `okto-change rollback {place}`",
        )
    how = HOW.get(known.result, f"broke off or got stuck: {found.state.value}")
    raise Stuck(
        f"run {run} of {found.change} {how}",
        where=environment,
        state=f"parts that stand committed: {', '.join(parts)}",
        hint=f"go on with `okto-change {on}`, or take it back with `okto-change rollback {place}`",
    )


def cleared_job(
    repo: Repository, source: Source, targets: Targets, journal: Journal, actor: Actor, emergency: Emergency | None
) -> Job:
    """Return a run that policy allows, with what was reviewed as its expectation. Raises NotAuthorised, Refused."""
    live = repo.apart(analyse_live, source.compiled, find(source.compiled, targets, repo))
    demand_sound(live.findings, "this change cannot run")
    entry = source.compiled.environment
    present = Present(
        at=usedup.demand_current(repo, source.lock, entry, targets),
        facts=facts_now(source, targets),
        risk=live.risk,
        used=usedup.consumed(source.lock, entry, targets),
        overdue=() if emergency else glass.overdue(repo, entry, broken_before(journal, entry)),
    )
    if emergency is not None:
        present = replace(present, broken=_break(repo, source, emergency, actor))
    clearance = clear(repo, source, present, actor.person)
    if present.broken is not None and actor.person is not None:
        glass.publish_file(repo, actor.person, present.broken)
    job = new_job(
        source.lock,
        targets,
        entry.journal,
        run=new_run(),
        person=actor.name,
        statements=source.compiled.analysis.statements,
        digest=source.lock.digest,
        commit=source.commit,
        policy_sha256=clearance.policy_sha256,
        decisions=list(clearance.statements),
        counted=dict(clearance.counted),
        **_told(entry, clearance, emergency),
    )
    if source.report is not None:
        _expect(job, source.report)
    look = Lookout(repo, source.lock, clearance.statements, present.risk, emergency=emergency is not None)
    taken = usedup.authority(repo, clearance, single_use=entry.single_use)
    return replace(job, ledger=taken, look=look, beside=look.beside)


def _break(repo: Repository, source: Source, emergency: Emergency, actor: Actor) -> DecisionFile:
    report, lock = source.report, source.lock
    evidence = glass.Evidence(
        lock.change,
        lock.environment,
        lock.digest,
        report.dry_run.facts_sha256 if report else "",
        report.sha256 if report else "",
    )
    return glass.break_glass(repo, source.compiled.environment, evidence, emergency, actor.person)


def _told(entry: Environment, clearance: Clearance, emergency: Emergency | None) -> dict[str, Any]:
    """Return what the journal is told of a broken glass, nothing without one."""
    if emergency is None or entry.break_glass is None:
        return {}
    due = clearance.at + timedelta(seconds=entry.break_glass.within)
    return {
        "break_glass": {
            "statement": clearance.broken,
            "incident": emergency.incident,
            "reason": emergency.reason,
            "review_due": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    }


def broken_before(journal: Journal, entry: Environment) -> frozenset[str]:
    """Return the changes of which the journal tells that their glass was broken: deleted statements are owed too."""
    if entry.break_glass is None:
        return frozenset()
    started = (e.event for e in journal.entries(environment=entry.name) if e.event.kind is EventKind.RUN_STARTED)
    return frozenset(event.change for event in started if event.data.get("break_glass"))


def _taken(repo: Repository, entry: Environment, started: Event) -> Authority:
    """Return what a resumed run goes by: what it was started with."""
    decisions = tuple(map(str, started.data.get("decisions", ()))) if entry.single_use else ()
    return Authority(
        statements=decisions, repo=repo.policy.repo, policy_version=repo.policy.version, commit=repo.protected_commit
    )


@contextmanager
def opened(
    repo: Repository,
    entry: Environment,
    actor: Actor,
    change: str,
    used: Iterable[str] = (),
    near: Approach | None = None,
) -> Iterator[tuple[Targets, Journal]]:
    """Give an environment's targets and its journal; the journal holds the change's turn as long as the block lasts.

    Those that are known to be ``used`` are connected at the same time.
    """
    with open_targets(entry, repo.environ, near=near) as targets:
        targets.begin(used)
        with open_journal(
            entry, repo.environ, repo=repo.policy.repo, actor=actor.name, turn=change, near=near
        ) as journal:
            yield targets, journal


def _expect(job: Job, report: Report) -> None:
    for edit in reversed(report.dry_run.edits):
        job.expected[edit.target, edit.file] = edit.before_sha256
    rehearsed = report.dry_run.rehearsal
    targets = {unit.target for unit in job.units} - {edit.target for edit in report.dry_run.edits}
    if rehearsed is not None and len(targets) == 1:
        target = targets.pop()
        job.coverage[target] = {writes.table for writes in rehearsed.writes}
        job.compared[target] = set(rehearsed.compared)


def loop(job: Job, events: runner.Run, journal: Journal, watch: Watch) -> Outcome:
    """Journal every event before its effect. A journal that fails closes the runner: nothing commits."""
    told: list[str] = []
    with interrupts.listening(_telling(job, watch)), Desk(journal, job.announced) as desk, closing(events):
        while True:
            try:
                event = next(events)
                desk.write(event)
                if event.kind in (EventKind.COMMITTED, EventKind.UNDONE):
                    told.append(f"{event.kind.value} {event.step}")
                with suppress(OSError):  # progress that nobody reads any more stops nothing
                    watch(event)
            except StopIteration as end:
                outcome: Outcome = end.value
                return outcome
            except Unwritten as unwritten:
                raise _untold(job, unwritten.error, told) from unwritten
            except JournalBroken as error:
                raise _untold(job, error, told) from error
            except KeyboardInterrupt as again:
                raise _torn(job, told) from again


def _telling(job: Job, watch: Watch) -> Callable[[str], None]:
    """Return what tells ``watch``, and not the journal, that an interrupt has to wait."""

    def tell(name: str) -> None:
        words = f"for what is under way to end, then {name} stops the run; another one leaves at once"
        with suppress(
            OSError, RuntimeError
        ):  # a stream that was being written to when the signal came cannot be written to
            watch(job.event(EventKind.WAITING, reason=words))

    return tell


def _untold(job: Job, error: JournalBroken, told: list[str]) -> JournalBroken:
    """Return a journal's error, saying also what this run did before it and what had made it fail already."""
    before = f"; before that: {_counted(told)}" if told else ""
    earlier = (f"the run itself had failed before: {job.seen.failure}",) if job.seen.failure else ()
    return JournalBroken(
        error.message,
        where=error.where,
        state=f"{error.state}{before}",
        hint=error.hint,
        faults=(*error.faults, *earlier),
    )


def _torn(job: Job, told: list[str]) -> Stuck:
    """Say what an interrupt leaves that came while an earlier one was still being answered."""
    before = f"; before that: {_counted(told)}" if told else "; before that nothing was committed"
    return Stuck(
        f"run {job.run} was interrupted again while it ended",
        where=job.lock.change,
        state=f"what was open is rolled back, what was announced last may or may not have happened{before}",
        hint=f"run `okto-change status --env {job.lock.environment}`; nothing is applied twice",
    )


def _counted(told: list[str]) -> str:
    """Return what happened, each once: a batch commits thousands of chunks."""
    return ", ".join(f"{what} ({times} chunks)" if times > 1 else what for what, times in Counter(told).items())
