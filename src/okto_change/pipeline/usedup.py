"""What targets remember of runs: approvals that are used up, and the newest policy that somebody ran by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from okto_change.approval.policy import Clearance, Environment
from okto_change.database import ledger
from okto_change.database.ledger import Authority
from okto_change.database.session import Session
from okto_change.errors import NotAuthorised, Refused
from okto_change.execution.targets import Targets
from okto_change.model import EditStep, Lock
from okto_change.pipeline.repository import Repository

APART = timedelta(seconds=120)
"""how far the clocks of this machine and of a target may differ"""


def ledgers(lock: Lock, environment: Environment, targets: Targets) -> list[Session]:
    """Return the sessions of the databases that keep the ledger of this lock's runs.

    Those are the databases that it changes; for edits of files, the one that keeps the journal.
    """
    names = [environment.journal if isinstance(step, EditStep) else step.target for step in lock.steps]
    return [targets.session(name) for name in dict.fromkeys(names)]


def consumed(lock: Lock, environment: Environment, targets: Targets) -> frozenset[str]:
    """Return the ids of the decisions that runs of this change used up, by the ledgers of its targets.

    A run that changed nothing (a lock timeout, a check that failed) uses nothing up: it may be tried again as approved.
    """
    found = (ledger.consumed(session, lock.change, lock.environment) for session in ledgers(lock, environment, targets))
    return frozenset().union(*found)


def demand_current(repo: Repository, lock: Lock, environment: Environment, targets: Targets) -> datetime:
    """Refuse a policy that is older than one that a run went by, and a clock that is not the target's.

    Returns the moment to judge by: the later of both clocks. Raises NotAuthorised, Refused.
    """
    moments = [datetime.now(UTC)]
    for session in ledgers(lock, environment, targets):
        _demand_newest(repo, session)
        moments.append(ledger.clock(session).astimezone(UTC))
        apart = abs(moments[-1] - datetime.now(UTC))
        if apart > APART:
            raise Refused(
                f"the clocks of this machine and of {session.target} differ by {apart.total_seconds():.0f} s",
                where=session.target,
                hint="approvals end by the clock: set the one that is wrong, then run it again",
            )
    return max(moments)


def authority(repo: Repository, clearance: Clearance, *, single_use: bool) -> Authority:
    """Return what a cleared run writes into the ledger."""
    return Authority(
        statements=clearance.spent if single_use else (),
        repo=repo.policy.repo,
        policy_version=clearance.policy_version,
        commit=repo.protected_commit,
    )


def _demand_newest(repo: Repository, session: Session) -> None:
    seen = ledger.newest_policy(session, repo.policy.repo)
    if seen is None:
        return
    version, commit = seen
    if version > repo.policy.version:
        raise NotAuthorised(
            f"a run went by version {version} of the policy here, and this is version {repo.policy.version}",
            where=session.target,
            hint="somebody put an old policy back, or this clone's origin is not the real one",
        )
    if repo.mirror.source.url and not repo.mirror.is_ancestor(commit, repo.protected_commit):
        raise NotAuthorised(
            f"a run went by commit {commit[:12]} here, which is not in the past of the protected branch",
            where=session.target,
            hint="somebody rewrote the branch, or this clone's origin is not the real one",
        )
