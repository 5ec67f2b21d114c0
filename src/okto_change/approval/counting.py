"""Decisions + policy + lock -> who counts for what, what is still needed, what blocks. Pure.

People are counted, not signatures: each person once, in the role that the latest decision names. Whoever submitted a
change, or is its author, cannot approve it. Positive decisions count only where they stand now; a rejection counts if
it ever stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from okto_change.approval.decisions import Decision
from okto_change.approval.matching import matching, needs
from okto_change.approval.rulebook import Environment, Policy, Rule
from okto_change.approval.statement import Statement, bare
from okto_change.model import Ballot, BallotLine, Lock, Need
from okto_change.model.base import type_

SKEW = timedelta(seconds=120)
"""how far a signer's clock may be ahead of ours"""
STICKY = frozenset({"reject", "revoke"})
"""decisions that count although they were deleted from the branch"""


@type_
class Situation:
    """What decisions are judged against: lock, environment, moment, the dry run as it is now, what was used up.

    ``facts_sha256`` and ``report_sha256`` are None where unknown; ``consumed`` are ids of statements that an earlier
    run used up.
    """

    policy: Policy
    environment: Environment
    lock: Lock
    now: datetime
    facts_sha256: str | None = None
    report_sha256: str | None = None
    consumed: AbstractSet[str] = frozenset()


@type_
class Count:
    """The result of counting: ``counted`` maps people to the group they count for, ``used`` has the ids that counted.

    ``excluded`` are the people who wrote or submitted the change; ``submitters`` those whose submission counts now.
    """

    lines: tuple[BallotLine, ...]
    rules: tuple[Rule, ...]
    needs: tuple[Need, ...]
    counted: Mapping[str, str]
    submitters: tuple[str, ...]
    excluded: frozenset[str]
    used: tuple[str, ...]
    not_understood: tuple[str, ...]
    vetoes: tuple[str, ...]

    @property
    def asks_nothing(self) -> bool:
        """Whether rules match and none of them asks for anybody."""
        return bool(self.rules) and not self.needs


def count(situation: Situation, decisions: Iterable[Decision]) -> Count:
    """Count ``decisions``; every one gets a line that says whether it counts and why."""
    return _Counting(situation, tuple(decisions)).result()


def ballot(situation: Situation, counted: Count, blocks: tuple[str, ...]) -> Ballot:
    """Return a count as the ballot that people read."""
    lock = situation.lock
    return Ballot(
        change=lock.change, environment=lock.environment, digest=lock.digest, decisions=counted.lines,
        needs=counted.needs, cleared=not blocks, blocks=blocks,
    )  # fmt: skip


class _Counting:
    """One count: decisions lose their standing one reason at a time, what is left counts."""

    def __init__(self, situation: Situation, decisions: tuple[Decision, ...]) -> None:
        self._situation = situation
        self._decisions = decisions
        self._reasons: dict[int, str] = {}
        self._rules = matching(situation.policy, situation.environment, situation.lock)
        self._need = needs(self._rules)

    def result(self) -> Count:
        """Judge every decision, then count people."""
        eligible = self._eligible()
        latest = self._latest(eligible)
        excluded = self._excluded()
        counted = self._approvals(eligible, latest, excluded)
        submits = self._submits(eligible, latest)
        vetoes = self._vetoes(eligible, latest)
        standing = {*counted.values(), *submits, *vetoes}
        roles = {self._person(index): self._statement(index).role for index in counted.values()}
        return Count(
            lines=tuple(self._line(index, index in standing) for index in range(len(self._decisions))),
            rules=self._rules, needs=self._needs(roles, excluded), counted=roles, excluded=excluded,
            submitters=tuple(dict.fromkeys(self._person(index) for index in submits)),
            used=tuple(sorted({self._decisions[index].id for index in (*counted.values(), *submits)})),
            not_understood=self._not_understood(),
            vetoes=tuple(f"{self._person(i)}: {self._statement(i).comment or 'no reason given'}" for i in vetoes),
        )  # fmt: skip

    def _person(self, index: int) -> str:
        return self._decisions[index].person or ""

    def _statement(self, index: int) -> Statement:
        statement = self._decisions[index].statement
        assert statement is not None
        return statement

    def _eligible(self) -> list[int]:
        """Return the decisions that are about this lock and made by a key that counts; the others get their reason."""
        eligible: list[int] = []
        seen: dict[str, str] = {}
        for index, decision in enumerate(self._decisions):
            reason = decision.problem or self._ineligible(decision)
            if not reason and decision.id in seen:
                reason = f"the same statement as {seen[decision.id]}"
            if reason:
                self._reasons[index] = reason
            else:
                seen[decision.id] = decision.file
                eligible.append(index)
        return eligible

    def _ineligible(self, decision: Decision) -> str | None:
        statement, key, now = decision.statement, decision.key, self._situation.now
        assert statement is not None and key is not None
        return (
            key.fault(now)
            or (f"names {statement.signer}, {decision.person} signed" if statement.signer != decision.person else None)
            or self._foreign(statement)
            or ("it was deleted from the branch" if not decision.at_tip and statement.decision not in STICKY else None)
            or ("it is from the future; compare the clocks" if statement.issued_at > now + SKEW else None)
            or (f"when it was signed, {fault}" if (fault := key.fault(statement.issued_at)) else None)
            or self._spent(decision, statement)
        )  # fmt: skip

    def _foreign(self, statement: Statement) -> str | None:
        lock = self._situation.lock
        if statement.repo != lock.repo:
            return "it is for another repository"
        if statement.change != lock.change:
            return f"it is for another change, {statement.change}"
        if statement.environment != lock.environment:
            return f"it is for another environment, {statement.environment}"
        if statement.digest != lock.digest:
            return f"it is for another version of the plan, {short(statement.digest)}; this one is {short(lock.digest)}"
        return None

    def _spent(self, decision: Decision, statement: Statement) -> str | None:
        """Say why an approval is used up; submissions and rejections neither expire nor are used up."""
        if statement.decision == "break-glass":
            return "break-glass has no part in an ordinary run"
        if statement.decision == "review":
            return "a review is about a run of the past"
        if statement.decision != "approve":
            return None
        environment = self._situation.environment
        ends = min(statement.expires_at, statement.issued_at + timedelta(seconds=environment.max_approval_age))
        if self._situation.now >= ends:
            return f"it expired at {ends:%Y-%m-%d %H:%MZ}"
        if environment.single_use and decision.id in self._situation.consumed:
            return "an earlier run used it; approvals count once"
        if environment.policy_change == "void" and statement.policy_sha256 != bare(self._situation.policy.sha256):
            return "it was given under another version of the policy"
        return self._other_evidence(statement)

    def _other_evidence(self, statement: Statement) -> str | None:
        facts, report = self._situation.facts_sha256, self._situation.report_sha256
        if self._situation.environment.dry_run == "required" and not statement.dry_run_facts_sha256:
            return "it was given without a dry run, which this environment requires"
        if statement.dry_run_facts_sha256 and facts is not None and statement.dry_run_facts_sha256 != bare(facts):
            return "it was given on a dry run that found the target in another state"
        if statement.dry_run_report_sha256 and report is not None and statement.dry_run_report_sha256 != bare(report):
            return "it was given on another dry run than the one stored now"
        return None

    def _latest(self, eligible: list[int]) -> dict[str, int]:
        """Return each person's latest approve, reject or revoke; of two at the same second the negative one."""
        latest: dict[str, int] = {}
        for index in eligible:
            if self._statement(index).decision in {"approve", *STICKY}:
                other = latest.setdefault(self._person(index), index)
                latest[self._person(index)] = max(other, index, key=self._order)
        return latest

    def _order(self, index: int) -> tuple[datetime, bool, str]:
        statement = self._statement(index)
        return statement.issued_at, statement.decision in STICKY, self._decisions[index].id

    def _excluded(self) -> frozenset[str]:
        """Return who may not approve: the author, and whoever ever signed a submission of this lock, deleted or not."""
        lock = self._situation.lock
        submitted = {
            decision.person for decision in self._decisions
            if decision.person and decision.statement and decision.statement.decision == "submit"
            and self._foreign(decision.statement) is None
        }  # fmt: skip
        return frozenset(submitted | ({lock.author} & self._situation.policy.people.keys()))

    def _submits(self, eligible: list[int], latest: Mapping[str, int]) -> list[int]:
        policy, environment = self._situation.policy, self._situation.environment
        allowed = policy.members(environment.submit) if environment.submit else policy.people.keys()
        found = []
        for index in eligible:
            person, statement = self._person(index), self._statement(index)
            if statement.decision != "submit":
                continue
            if person not in allowed:
                self._reasons[index] = f"{person} is in no group that may submit ({', '.join(environment.submit)})"
            elif self._withdrawn(index, latest.get(person)):
                self._reasons[index] = f"{person} withdrew it later"
            else:
                found.append(index)
        return found

    def _withdrawn(self, submit: int, later: int | None) -> bool:
        """Whether the person's latest decision is a negative one after the submission."""
        if later is None or self._statement(later).decision not in STICKY:
            return False
        return self._order(later) > self._order(submit)

    def _approvals(
        self, eligible: list[int], latest: Mapping[str, int], excluded: frozenset[str]
    ) -> dict[str, int]:  # fmt: skip
        counted: dict[str, int] = {}
        for index in eligible:
            statement, person = self._statement(index), self._person(index)
            if statement.decision != "approve":
                continue
            if latest[person] != index:
                self._reasons[index] = f"{person} decided again later: {self._statement(latest[person]).decision}"
            elif person in excluded:
                self._reasons[index] = f"{person} wrote or submitted this change; somebody else must approve it"
            elif statement.role not in self._situation.policy.groups_of(person):
                self._reasons[index] = f"{person} is not in the group {statement.role or '(none)'} that it is given for"
            elif statement.role not in self._need:
                self._reasons[index] = f"no rule asks for the group {statement.role} that it is given for"
            else:
                counted[person] = index
        return counted

    def _vetoes(self, eligible: list[int], latest: Mapping[str, int]) -> list[int]:
        policy, groups = self._situation.policy, self._situation.environment.veto or tuple(self._need)
        allowed = policy.members(groups) if groups else policy.people.keys()
        found = []
        for index in eligible:
            statement, person = self._statement(index), self._person(index)
            if statement.decision == "revoke":
                self._reasons[index] = f"{person} withdrew what was signed before"
            elif statement.decision == "reject" and latest[person] != index:
                self._reasons[index] = f"{person} decided again later: {self._statement(latest[person]).decision}"
            elif statement.decision == "reject" and person not in allowed:
                self._reasons[index] = f"{person} is in no group whose rejection blocks"
            elif statement.decision == "reject":
                found.append(index)
        return found

    def _not_understood(self) -> tuple[str, ...]:
        return tuple(
            f"{decision.file}: {decision.problem}"
            for decision in self._decisions
            if decision.not_understood and decision.key and not decision.key.fault(self._situation.now)
        )

    def _needs(self, roles: Mapping[str, str], excluded: frozenset[str]) -> tuple[Need, ...]:
        policy, now = self._situation.policy, self._situation.now
        free = {name for name, person in policy.people.items() if person.can_sign(now)} - excluded - roles.keys()
        return tuple(
            Need(
                group=group, need=need, have=sum(role == group for role in roles.values()),
                candidates=tuple(name for name in policy.groups[group] if name in free),
            )
            for group, need in self._need.items()
        )  # fmt: skip

    def _line(self, index: int, counted: bool) -> BallotLine:
        decision, statement = self._decisions[index], self._decisions[index].statement
        return BallotLine(
            file=decision.file, signer=decision.person or "unknown", counted=counted, issued_at=decision.issued_at,
            decision=statement.decision if statement else "unreadable",
            reason=self._reasons.get(index) or self._why(index),
        )  # fmt: skip

    def _why(self, index: int) -> str:
        statement = self._statement(index)
        gone = "" if self._decisions[index].at_tip else "; it was deleted since, which changes nothing"
        match statement.decision:
            case "approve":
                return f"counts for {statement.role}"
            case "submit":
                return "submitted"
            case _:
                return f"blocks{gone}"


def short(digest: str) -> str:
    """Return the first twelve digits of a digest in groups of four, to be read out."""
    digits = bare(digest)
    return f"{digits[:4]} {digits[4:8]} {digits[8:12]}"
