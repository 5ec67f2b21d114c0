"""What decisions are judged against, and why one of them has no standing: other bytes, another key, used up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import datetime, timedelta

from okto_change.approval.decisions import Decision
from okto_change.approval.rulebook import Environment, Policy
from okto_change.approval.statement import Statement, bare
from okto_change.approval.vouching import Voucher
from okto_change.model import Lock, Risk
from okto_change.model.base import type_

SKEW = timedelta(seconds=120)
"""how far a signer's clock may be ahead of ours"""
STICKY = frozenset({"reject", "revoke"})
"""decisions that count although they were deleted from the branch"""


@type_
class Situation:
    """What decisions are judged against: lock, environment, moment, the dry run as it is now, what was used up.

    ``facts_sha256`` and ``report_sha256`` are None where no dry run of this lock is stored; ``consumed`` are ids of
    statements that an earlier run used up. ``risk`` is the highest that anybody computed for the lock. ``contributors``
    maps people to the commit that names them. ``emergency`` counts as for a broken glass.
    """

    policy: Policy
    environment: Environment
    lock: Lock
    now: datetime
    risk: Risk
    facts_sha256: str | None = None
    report_sha256: str | None = None
    consumed: AbstractSet[str] = frozenset()
    contributors: Mapping[str, str] = field(default_factory=dict)
    emergency: bool = False
    voucher: Voucher | None = None
    """who signed the dry run that is stored; None where none is"""


def ineligible(situation: Situation, decision: Decision) -> str | None:
    """Say why a decision that was read and attributed has no standing; None if it has."""
    said, key, now = decision.statement, decision.key, situation.now
    assert said is not None and key is not None
    return (
        key.fault(now)
        or (f"names {said.signer}, {decision.person} signed" if said.signer != decision.person else None)
        or foreign(situation.lock, said)
        or ("it was deleted from the branch" if not decision.at_tip and said.decision not in STICKY else None)
        or ("it is from the future; compare the clocks" if said.issued_at > now + SKEW else None)
        or (f"when it was signed, {fault}" if (fault := key.fault(said.issued_at)) else None)
        or _spent(situation, decision, said)
    )


def foreign(lock: Lock, said: Statement) -> str | None:
    """Say what else than ``lock`` a statement is about; None if it is about that."""
    if said.repo != lock.repo:
        return "it is for another repository"
    if said.change != lock.change:
        return f"it is for another change, {said.change}"
    if said.environment != lock.environment:
        return f"it is for another environment, {said.environment}"
    if said.digest != lock.digest:
        return f"it is for another version of the plan, {short(said.digest)}; this one is {short(lock.digest)}"
    return None


def short(digest: str) -> str:
    """Return the first twelve digits of a digest in groups of four, to be read out."""
    digits = bare(digest)
    return f"{digits[:4]} {digits[4:8]} {digits[8:12]}"


def _spent(situation: Situation, decision: Decision, said: Statement) -> str | None:
    """Say why an approval is used up; submissions and rejections neither expire nor are used up."""
    if said.decision == "break-glass" and not situation.emergency:
        return "break-glass has no part in an ordinary run"
    if said.decision == "review":
        return "a review is about a run of the past"
    if said.decision not in {"approve", "break-glass"}:
        return None
    environment = situation.environment
    ends = min(said.expires_at, said.issued_at + timedelta(seconds=_life(environment, said.decision)))
    if situation.now >= ends:
        return f"it expired at {ends:%Y-%m-%d %H:%MZ}"
    if environment.single_use and decision.id in situation.consumed:
        return "an earlier run used it; approvals count once"
    if environment.policy_change == "void" and said.policy_sha256 != bare(situation.policy.sha256):
        return "it was given under another version of the policy"
    return _other_evidence(situation, said)


def _life(environment: Environment, decision: str) -> int:
    if decision == "break-glass":
        return environment.break_glass.valid if environment.break_glass else 0
    return environment.max_approval_age


def _other_evidence(situation: Situation, said: Statement) -> str | None:
    facts, report = situation.facts_sha256, situation.report_sha256
    if situation.environment.dry_run == "required" and not said.dry_run_facts_sha256:
        return "it was given without a dry run, which this environment requires"
    if said.dry_run_report_sha256 and report is None:
        # Without the report nothing would be compared with the target: taking it away must not let a change through.
        return "the dry run that it was given on is not stored any more, or is damaged"
    if said.dry_run_facts_sha256 and facts is not None and said.dry_run_facts_sha256 != bare(facts):
        return "it was given on a dry run that found the target in another state"
    if said.dry_run_report_sha256 and report is not None and said.dry_run_report_sha256 != bare(report):
        return "it was given on another dry run than the one stored now"
    return None
