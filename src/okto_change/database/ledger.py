"""What approvals were used up in a target, and the newest policy that a run went by there."""

from __future__ import annotations

from datetime import datetime

from okto_change.database import state
from okto_change.database.session import Session
from okto_change.errors import Refused
from okto_change.model.base import type_


@type_
class Authority:
    """What a run goes by: ids of the signed statements (hexadecimal sha256), repository, version of the policy, commit.

    ``commit`` is that of the protected branch, where the policy was read.
    """

    statements: tuple[str, ...]
    repo: str
    policy_version: int
    commit: str


def take(session: Session, authority: Authority, *, run: str, change: str, environment: str) -> None:
    """Write, in the transaction of the effect itself, that ``run`` uses these statements up.

    A run may take its own again. Raises Refused when another run has one: the primary key decides, whatever was seen
    before.
    """
    statements = list(authority.statements)
    session.query("ledger_take", statements=statements, run=run, change=change, environment=environment)
    others = session.query("ledger_taken_by_others", statements=statements, run=run)
    if others:
        raise Refused(
            f"an approval of {change} was used up by run {others[0][1]} meanwhile",
            where=session.target,
            hint="approvals count once: have the change approved again",
        )
    session.query("trust_note", repo=authority.repo, policy_version=authority.policy_version, commit=authority.commit)


def give_back(session: Session, run: str) -> None:
    """Forget what ``run`` took: it changed nothing after all."""
    session.query("ledger_give_back", run=run)


def consumed(session: Session, change: str, environment: str) -> frozenset[str]:
    """Return the ids of the statements that runs of ``change`` used up here."""
    if not state.is_installed(session) or not state.is_current(session):
        return frozenset()
    return frozenset(row[0] for row in session.query("ledger_consumed", change=change, environment=environment))


def newest_policy(session: Session, repo: str) -> tuple[int, str] | None:
    """Return version and commit of the newest policy of ``repo`` that a run went by here, None before the first."""
    rows = session.query("trust_seen", repo=repo)
    return (rows[0][0], rows[0][1]) if rows else None


def clock(session: Session) -> datetime:
    """Return the moment by the server's clock."""
    moment: datetime = session.query("clock")[0][0]
    return moment
