"""The ballot on one lock, from git alone: no database. What ``approvals`` shows and ``verify`` asks."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from okto_change.approval import policy as policies
from okto_change.approval import sshkeygen, vouching
from okto_change.approval.contributors import contributors
from okto_change.approval.policy import Environment, Policy, Voucher
from okto_change.model import Ballot, Lock
from okto_change.pipeline import glass
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.stored import Report


def count_decisions(
    repo: Repository,
    environment: Environment,
    lock: Lock,
    *,
    commit: str,
    report: Report | None,
    used: AbstractSet[str] = frozenset(),
) -> Ballot:
    """Return the ballot on ``lock`` as committed in ``commit``, with the dry run stored there.

    ``used`` are statements that runs used up.
    """
    now = datetime.now(UTC)
    decisions = policies.examine(
        repo.policy, repo.mirror.decision_files(lock.change, environment.name), second_opinion=True
    )
    return policies.ballot(
        repo.policy,
        lock,
        decisions,
        now,
        facts_sha256=report.dry_run.facts_sha256 if report else None,
        report_sha256=report.sha256 if report else None,
        consumed=used,
        risk=report.dry_run.risk if report else lock.risk,
        voucher=voucher(repo.policy, environment, report, now),
        overdue=glass.overdue(repo, environment),
        contributors=contributors(repo.mirror.git, repo.policy, environment, lock.change, commit),
    )


def voucher(policy: Policy, environment: Environment, report: Report | None, now: datetime) -> Voucher | None:
    """Return who signed the stored dry run; None without one. Where it must be signed, ``ssh-keygen`` must agree."""
    if report is None:
        return None
    found = policies.vouch(policy, report.content, report.armor, report.dry_run.at, now)
    if not environment.dry_run_signers or found.fault or found.key is None or report.armor is None:
        return found
    agreed = sshkeygen.second_opinion(report.content, report.armor, found.key, vouching.NAMESPACE)
    return Voucher(found.person, "ssh-keygen does not accept its signature") if agreed is False else found
