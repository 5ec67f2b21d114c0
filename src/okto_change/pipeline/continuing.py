"""Whether a run that broke off or paused may go on: what it was started by is looked up in git again, not taken on trust.

The journal that tells of the start is a database like others, and whoever resumes may be the one who chose it. So the
decisions that it names must be there, and must have cleared exactly this lock when it was started, or clear it now.
"""

from __future__ import annotations

from datetime import UTC, datetime

from okto_change.approval import policy as policies
from okto_change.approval.contributors import contributors
from okto_change.errors import NotAuthorised
from okto_change.model import Entry, Lock
from okto_change.pipeline.counted import voucher
from okto_change.pipeline.lookout import Lookout
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.sources import Actor, demand_hands
from okto_change.pipeline.stored import from_files


def go_on(repo: Repository, lock: Lock, first: Entry, actor: Actor) -> Lookout:
    """Return what a resumed run looks out for; ``first`` is the journal's entry of its start.

    Raises Halted if somebody has said no since, NotAuthorised for whoever might not have started it, and for a run that
    the decisions in git do not clear.
    """
    started, entry = first.event, repo.policy.environment(lock.environment)
    emergency = bool(started.data.get("break_glass")) and entry.break_glass is not None
    decisions = policies.examine(repo.policy, repo.mirror.decision_files(lock.change, lock.environment))
    going_by = frozenset(map(str, started.data.get("decisions", ())))
    look = Lookout(repo, lock, going_by, lock.risk, emergency=emergency)
    look.judge()
    if emergency:
        demand_hands(repo, entry, actor)
    else:
        counted = dict(started.data.get("counted", {}))
        now = datetime.now(UTC)
        policies.demand_executor(repo.policy, lock, decisions, actor.person, counted, now=now, risk=lock.risk)
    _demand_cleared(repo, lock, first, decisions, going_by, emergency=emergency)
    return look


def _demand_cleared(
    repo: Repository,
    lock: Lock,
    first: Entry,
    decisions: tuple[policies.Decision, ...],
    going_by: frozenset[str],
    *,
    emergency: bool,
) -> None:
    entry, commit = repo.policy.environment(lock.environment), str(first.event.data["commit"])
    if not entry.from_head and not repo.mirror.is_ancestor(commit, repo.protected_commit):
        raise NotAuthorised(
            f"the journal says that it was started from commit {commit[:12]}, which is not on the protected branch",
            where=lock.change,
            hint=f"take back what stands: okto-change rollback {lock.change} --env {lock.environment}",
        )
    report = from_files(repo.committed_files(commit, lock.change), lock)
    policies.demand_cleared(
        repo.policy,
        lock,
        decisions,
        going_by,
        started=first.at,
        starter=str(first.event.data.get("person", "")),
        now=datetime.now(UTC),
        emergency=emergency,
        facts_sha256=report.dry_run.facts_sha256 if report else None,
        report_sha256=report.sha256 if report else None,
        voucher=voucher(repo.policy, entry, report, first.at),
        contributors=contributors(repo.mirror.git, repo.policy, entry, lock.change, commit),
    )
