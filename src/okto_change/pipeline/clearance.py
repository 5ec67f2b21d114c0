"""Who runs which bytes, and whether policy clears them: the change read at one commit, its facts as they are now."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from okto_change.approval import identity
from okto_change.approval import policy as policies
from okto_change.approval.contributors import contributors
from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import Clearance, Environment
from okto_change.approval.statement import Statement
from okto_change.errors import NotAuthorised, Refused
from okto_change.execution.targets import Targets
from okto_change.model import Lock, Risk
from okto_change.pipeline.compiling import Compiled, compile_change, demand_lock, differences, lock_path
from okto_change.pipeline.counted import voucher
from okto_change.pipeline.drift import describe
from okto_change.pipeline.evidence import collect, tables_of
from okto_change.pipeline.repository import CHANGES, Repository
from okto_change.pipeline.stored import Report, facts_sha256, from_files


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


def read_source(repo: Repository, change: str, environment: str) -> Source:
    """Compile the change at the commit that runs are pinned to, and demand that its lock says the same.

    Raises Refused when the change is not there, NotAuthorised when the committed lock differs from its sources.
    """
    entry = repo.policy.environment(environment)
    commit = repo.mirror.head_commit() if entry.from_head else repo.protected_commit
    files = repo.committed_files(commit, change)
    if not files:
        raise _absent(repo, change, entry)
    compiled = repo.apart(compile_change, repo.policy, change, environment, files)
    try:
        lock = demand_lock(compiled, files)
    except Refused as error:
        if entry.from_head and repo.workspace.is_dirty(f"{CHANGES}/{change}"):
            error.faults += (f"{CHANGES}/{change} has edits that are not committed: {environment} runs what is",)
            error.hint = f"git add {CHANGES}/{change} && git commit, then run the command again"
            raise
        if not error.faults:
            raise
        raise NotAuthorised(
            error.message,
            where=error.where,
            faults=error.faults,
            hint=f"see who changed it: git log -p {commit[:12]} -- changes/{change}; put it back, or {error.hint}",
        ) from error
    return Source(commit=commit, compiled=compiled, lock=lock, report=from_files(files, lock))


def _absent(repo: Repository, change: str, entry: Environment) -> Refused:
    if entry.from_head:
        message, hint = f"{change} is not in the commit at HEAD", "commit it, then run the command again"
    else:
        branch = repo.mirror.protected_ref.removeprefix("refs/heads/")
        message = f"{change} is not on the protected branch {branch}, where {entry.name} reads what it runs"
        hint = f"have it merged into {branch}, then run the command again"
    return Refused(message, where=entry.name, hint=hint)


def who(repo: Repository, entry: Environment) -> Actor:
    """Return who this is: the person of the policy whose key signs here, else the login where the policy asks for nobody."""
    try:
        signer = repo.signer()
        identity.prove(signer)
    except NotAuthorised:
        if entry.execute.groups:
            raise
        return Actor(name=f"login {getpass.getuser()}", person=None)
    return Actor(name=signer.person, person=signer.person)


def demand_hands(repo: Repository, entry: Environment, actor: Actor) -> None:
    """Raise NotAuthorised for somebody whom the environment lets run nothing: taking back is running too.

    Those who may break the glass there may take back as well, whatever they wrote or approved: an undo cannot wait.
    """
    groups = entry.execute.groups
    if not groups:
        return
    may = repo.policy.members((*groups, *(entry.break_glass.execute if entry.break_glass else ())))
    if actor.person not in may:
        raise NotAuthorised(
            f"{actor.name} is in none of the groups that may execute in {entry.name}: {', '.join(groups)}",
            where=repo.policy.file,
            hint=f"who may: {', '.join(sorted(may)) or 'nobody; the policy decides who is'}",
        )


@dataclass(frozen=True, kw_only=True)
class Present:
    """How things are at the start of a run: the moment, the target's facts, the risk found live, what was used up.

    ``overdue`` are reviews that are late, ``broken`` is the statement of whoever runs it that breaks the glass.
    """

    at: datetime
    facts: str | None
    risk: Risk
    used: frozenset[str]
    overdue: tuple[str, ...] = ()
    broken: DecisionFile | None = None


def clear(repo: Repository, source: Source, present: Present, executor: str | None) -> Clearance:
    """Return the clearance of a lock. Raises NotAuthorised with every reason and its step number."""
    lock, environment = source.lock, source.compiled.environment
    files = repo.mirror.decision_files(lock.change, lock.environment)
    own = (present.broken,) if present.broken else ()
    decisions = policies.examine(repo.policy, (*files, *own), second_opinion=True)
    try:
        return policies.clear(
            repo.policy,
            lock,
            decisions,
            executor=executor,
            now=present.at,
            facts_sha256=present.facts,
            report_sha256=source.report.sha256 if source.report else None,
            consumed=present.used,
            commit=source.commit,
            risk=present.risk,
            overdue=present.overdue,
            voucher=voucher(repo.policy, environment, source.report, present.at),
            emergency=present.broken is not None,
            contributors=contributors(repo.mirror.git, repo.policy, environment, lock.change, source.commit),
        )
    except NotAuthorised as error:
        error.faults += changed_since(repo, source, decisions)
        raise


def changed_since(repo: Repository, source: Source, decisions: Sequence[policies.Decision]) -> tuple[str, ...]:
    """Say what differs between this lock and the newest other version that somebody approved; () if there is none."""
    lock = source.lock
    said = [decision.statement for decision in decisions if decision.statement is not None]
    given = [one for one in said if one.decision == "approve" and one.environment == lock.environment]
    if not given:
        return ()
    newest = max(given, key=lambda one: one.issued_at)
    if newest.digest == lock.digest:
        return _policy_since(repo, newest)
    path = f"changes/{lock.change}/{lock_path(lock.environment)}"
    approved = repo.mirror.find_version(path, newest.digest, commit=source.commit)
    if approved is None:
        return (f"{newest.signer} approved another version, which is not in this branch's history",)
    return tuple(f"since {newest.signer} approved: {line}" for line in differences(approved, lock.content))


def _policy_since(repo: Repository, given: Statement) -> tuple[str, ...]:
    """Say what differs between the policy in force and the one that an approval was given under."""
    policy = repo.policy
    if given.policy_sha256 == policy.sha256.removeprefix("sha256:"):
        return ()
    seen = repo.mirror.find_version(policy.file, given.policy_sha256, commit=repo.protected_commit)
    if seen is None:
        return (f"{given.signer} approved under another policy than {policy.file}",)
    from okto_change.plan.differences import text_differences

    return tuple(
        f"since {given.signer} approved: {line}" for line in text_differences(policy.file, seen, policy.content)
    )


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
            "the target is not what the dry run saw",
            where=source.lock.environment,
            faults=describe(reviewed, found),
            hint=f"run `okto-change dry-run {source.lock.change} --env {source.lock.environment}` again and have it approved",
        )
    return facts_sha256(found)
