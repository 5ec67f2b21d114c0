"""The ballot on one lock, from git alone: no database, no compiler. What ``approvals`` shows and ``verify`` asks."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from okto_change.approval import policy as policies
from okto_change.approval.contributors import contributors
from okto_change.approval.policy import Environment
from okto_change.model import Ballot, Lock, Risk
from okto_change.pipeline import glass
from okto_change.pipeline.repository import Repository


def count_decisions(
    repo: Repository,
    environment: Environment,
    lock: Lock,
    *,
    commit: str,
    facts_sha256: str | None,
    report_sha256: str | None,
    risk: Risk,
    used: AbstractSet[str] = frozenset(),
) -> Ballot:
    """Return the ballot on ``lock`` as committed in ``commit``; ``used`` are statements that runs used up."""
    decisions = policies.examine(
        repo.policy, repo.mirror.decision_files(lock.change, environment.name), second_opinion=True
    )
    return policies.ballot(
        repo.policy,
        lock,
        decisions,
        datetime.now(UTC),
        facts_sha256=facts_sha256,
        report_sha256=report_sha256,
        consumed=used,
        risk=risk,
        overdue=glass.overdue(repo, environment),
        contributors=contributors(repo.mirror.git, repo.policy, environment, lock.change, commit),
    )
