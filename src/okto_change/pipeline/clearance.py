"""Whether policy clears a change for this run: its facts as they are now, and what the decisions on it say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from okto_change.approval import policy as policies
from okto_change.approval.contributors import contributors
from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import Clearance
from okto_change.approval.statement import Statement
from okto_change.errors import NotAuthorised
from okto_change.execution.targets import Targets
from okto_change.model import Risk
from okto_change.model.base import type_
from okto_change.pipeline.compiling import differences, lock_path
from okto_change.pipeline.counted import voucher
from okto_change.pipeline.drift import describe
from okto_change.pipeline.evidence import collect, tables_of
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.sources import Source
from okto_change.pipeline.stored import facts_sha256


@type_
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
