"""Decisions + policy + lock -> who counts for what, what is still needed, what blocks. Pure.

People are counted, not signatures: each person once, in the role that the latest decision names. Whoever submitted a
change, or is its author, cannot approve it. Positive decisions count only where they stand now; a rejection or a
revocation counts if it ever stood.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

from okto_change.approval.decisions import Decision
from okto_change.approval.matching import matching, needs, proofs
from okto_change.approval.rulebook import WITHOUT, Rule
from okto_change.approval.standing import STICKY, Situation, foreign, ineligible
from okto_change.approval.statement import Statement
from okto_change.model import Ballot, BallotLine, Need
from okto_change.model.base import type_


@type_
class Count:
    """The result of counting: ``counted`` maps people to the group they count for, ``used`` has the ids that counted,
    ``spent`` those that serve one run: all but submissions.

    ``writers`` are the people who wrote or submitted the change, ``excluded`` maps everybody who cannot approve it to
    the reason; ``submitters`` are those whose submission counts now. ``broken`` maps whoever broke the glass to the id
    of the statement.
    """

    lines: tuple[BallotLine, ...]
    rules: tuple[Rule, ...]
    needs: tuple[Need, ...]
    counted: Mapping[str, str]
    submitters: tuple[str, ...]
    writers: frozenset[str]
    excluded: Mapping[str, str]
    used: tuple[str, ...]
    spent: tuple[str, ...]
    not_understood: tuple[str, ...]
    vetoes: tuple[str, ...]
    broken: Mapping[str, str]

    @property
    def asks_nothing(self) -> bool:
        """Whether rules match and none of them asks for anybody."""
        return bool(self.rules) and not self.needs


def count(situation: Situation, decisions: Iterable[Decision]) -> Count:
    """Count ``decisions``; every one gets a line that says whether it counts and why."""
    return _Counting(situation, tuple(decisions)).result()


def refusals(situation: Situation, decisions: Iterable[Decision], going_by: AbstractSet[str]) -> tuple[str, ...]:
    """Say who has said no to a run that goes by the statements ``going_by``: a rejection that blocks, a revocation.

    Only what somebody signed: an approval that expires, or that is deleted from the branch, stops nothing that runs.
    """
    return _Counting(situation, tuple(decisions)).refusals(going_by)


def ballot(situation: Situation, counted: Count, blocks: tuple[str, ...], notes: tuple[str, ...] = ()) -> Ballot:
    """Return a count as the ballot that people read."""
    lock = situation.lock
    return Ballot(
        change=lock.change,
        environment=lock.environment,
        digest=lock.digest,
        decisions=counted.lines,
        needs=counted.needs,
        cleared=not blocks,
        blocks=blocks,
        notes=notes,
        excluded=counted.excluded,
        rules=tuple(rule.id for rule in counted.rules),
        risk=situation.risk,
        risk_reasons=lock.risk_reasons,
    )


class _Counting:
    """One count: decisions lose their standing one reason at a time, what is left counts."""

    def __init__(self, situation: Situation, decisions: tuple[Decision, ...]) -> None:
        self._situation = situation
        self._decisions = decisions
        self._reasons: dict[int, str] = {}
        self._rules = matching(situation.policy, situation.environment, situation.lock, situation.risk)
        glass = situation.environment.break_glass
        self._need = dict(glass.require) if situation.emergency and glass else needs(self._rules)

    def result(self) -> Count:
        """Judge every decision, then count people."""
        eligible = self._eligible()
        latest = self._latest(eligible)
        revoked = self._revoked(eligible)
        excluded = self._excluded(revoked)
        counted = self._approvals(eligible, latest, excluded)
        submits = self._submits(eligible, latest, revoked)
        vetoes = self._vetoes(eligible, latest)
        broken = self._broken(eligible, latest, revoked)
        positive = (*counted.values(), *submits, *broken.values())
        standing = {*positive, *vetoes, *revoked.values()}
        roles = {self._person(index): self._statement(index).role for index in counted.values()}
        return Count(
            lines=tuple(self._line(index, index in standing) for index in range(len(self._decisions))),
            rules=self._rules,
            needs=self._needs(roles, excluded),
            counted=roles,
            excluded=excluded,
            writers=self._writers(),
            submitters=tuple(dict.fromkeys(self._person(index) for index in submits)),
            used=self._ids(positive),
            spent=self._ids((*counted.values(), *broken.values())),
            not_understood=self._not_understood(),
            vetoes=tuple(f"{self._person(i)}: {self._statement(i).comment or 'no reason given'}" for i in vetoes),
            broken={person: self._decisions[index].id for person, index in broken.items()},
        )

    def refusals(self, going_by: AbstractSet[str]) -> tuple[str, ...]:
        """Return a line for each rejection that blocks, and for each statement of ``going_by`` that was taken back."""
        eligible = self._eligible()
        latest, revoked = self._latest(eligible), self._revoked(eligible)
        found = dict.fromkeys(
            f"rejected by {self._person(index)}: {self._statement(index).comment or 'no reason given'}"
            for index in self._vetoes(eligible, latest)
        )
        for index, decision in enumerate(self._decisions):
            if decision.id in going_by and decision.statement and self._taken_back(index, latest, revoked):
                person = self._person(index)
                no = revoked.get(person, latest.get(person, index))
                said, comment = self._statement(no), self._statement(no).comment or "no reason given"
                own = "rejects it now" if said.decision == "reject" else "withdrew what was signed before"
                words = f"{self._person(no)} revoked what {person} signed" if person in revoked else f"{person} {own}"
                found[f"{words}: {comment}"] = None
        return tuple(found)

    def _ids(self, indices: Iterable[int]) -> tuple[str, ...]:
        return tuple(sorted({self._decisions[index].id for index in indices}))

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
            reason = decision.problem or ineligible(self._situation, decision)
            if not reason and decision.id in seen:
                reason = f"the same statement as {seen[decision.id]}"
            if reason:
                self._reasons[index] = reason
            else:
                seen[decision.id] = decision.file
                eligible.append(index)
        return eligible

    def _of_another(self, index: int) -> bool:
        """Whether it is a revocation of what somebody else signed."""
        return self._statement(index).of not in ("", self._person(index))

    def _latest(self, eligible: list[int]) -> dict[str, int]:
        """Return each person's latest decision about the plan; of two at the same second the negative one."""
        latest: dict[str, int] = {}
        for index in eligible:
            if self._statement(index).decision in {"approve", *STICKY} and not self._of_another(index):
                other = latest.setdefault(self._person(index), index)
                latest[self._person(index)] = max(other, index, key=self._order)
        return latest

    def _order(self, index: int) -> tuple[datetime, bool, str]:
        statement = self._statement(index)
        return statement.issued_at, statement.decision in STICKY, self._decisions[index].id

    def _revoked(self, eligible: list[int]) -> dict[str, int]:
        """Return whose decisions somebody with that right revoked, whenever they were or will be signed, and by which.

        It takes away what lets a change run, never a rejection: who may revoke could otherwise clear the way alone.
        """
        situation, found = self._situation, dict[str, int]()
        allowed = situation.policy.revokers(situation.environment)
        for index in eligible:
            if self._statement(index).decision != "revoke" or not self._of_another(index):
                continue
            if self._person(index) in allowed:
                found.setdefault(self._statement(index).of, index)
            else:
                self._reasons[index] = f"{self._person(index)} is in no group that may revoke what others signed"
        return found

    def _writers(self) -> frozenset[str]:
        """Return the author, and whoever ever signed a submission of this lock, deleted or not."""
        lock = self._situation.lock
        submitted = {
            decision.person
            for decision in self._decisions
            if decision.person
            and decision.statement
            and decision.statement.decision == "submit"
            and foreign(lock, decision.statement) is None
        }
        return frozenset(submitted | ({lock.author} & self._situation.policy.people.keys()))

    def _excluded(self, revoked: Mapping[str, int]) -> dict[str, str]:
        """Return who may not approve, and why."""
        reasons = {who: f"has a part in it: {commit}" for who, commit in self._situation.contributors.items()}
        author = self._situation.lock.author
        reasons |= {who: "wrote this change" if who == author else "submitted this change" for who in self._writers()}
        return reasons | {
            who: f"is revoked by {self._person(index)} ({self._statement(index).comment or 'no reason given'})"
            for who, index in revoked.items()
        }

    def _submits(self, eligible: list[int], latest: Mapping[str, int], revoked: Mapping[str, int]) -> list[int]:
        policy, environment = self._situation.policy, self._situation.environment
        allowed = policy.members(environment.submit) if environment.submit else policy.people.keys()
        found = []
        for index in eligible:
            person, statement = self._person(index), self._statement(index)
            if statement.decision != "submit":
                continue
            if person not in allowed:
                self._reasons[index] = f"{person} is in no group that may submit ({', '.join(environment.submit)})"
            elif fault := self._taken_back(index, latest, revoked):
                self._reasons[index] = fault
            else:
                found.append(index)
        return found

    def _broken(self, eligible: list[int], latest: Mapping[str, int], revoked: Mapping[str, int]) -> dict[str, int]:
        """Return who broke the glass for this lock, each by the latest statement."""
        found: dict[str, int] = {}
        for index in sorted(eligible, key=self._order):
            if self._statement(index).decision != "break-glass":
                continue
            if fault := self._taken_back(index, latest, revoked):
                self._reasons[index] = fault
            else:
                found[self._person(index)] = index
        return found

    def _taken_back(self, index: int, latest: Mapping[str, int], revoked: Mapping[str, int]) -> str | None:
        """Say who took a submission or a broken glass back: the signer by a later negative decision, or security."""
        person = self._person(index)
        later = latest.get(person)
        if person in revoked:
            return f"{self._person(revoked[person])} revoked it"
        if later is None or self._statement(later).decision not in STICKY or self._order(later) <= self._order(index):
            return None
        return f"{person} withdrew it later"

    def _approvals(self, eligible: list[int], latest: Mapping[str, int], excluded: Mapping[str, str]) -> dict[str, int]:
        counted: dict[str, int] = {}
        for index in eligible:
            statement, person = self._statement(index), self._person(index)
            if statement.decision != "approve":
                continue
            if latest[person] != index:
                self._reasons[index] = f"{person} decided again later: {self._statement(latest[person]).decision}"
            elif person in excluded:
                self._reasons[index] = f"{person} {excluded[person]}; somebody else must approve it"
            elif statement.role not in self._situation.policy.groups_of(person):
                self._reasons[index] = f"{person} is not in the group {statement.role or '(none)'} that it is given for"
            elif statement.role not in self._need:
                self._reasons[index] = f"no rule asks for the group {statement.role} that it is given for"
            elif lacking := self._unproven(index):
                self._reasons[index] = lacking
            else:
                counted[person] = index
        return counted

    def _unproven(self, index: int) -> str | None:
        """Say what a matching rule wants an approval signed with, and it is not."""
        asked = proofs(self._rules).get(self._statement(index).role, {})
        lacking = [word for word in asked if word not in self._decisions[index].proven]
        if not lacking:
            return None
        return f"it is signed {WITHOUT[lacking[0]]}: the rule {asked[lacking[0]]} asks for a security key and its {lacking[0]}"

    def _vetoes(self, eligible: list[int], latest: Mapping[str, int]) -> list[int]:
        # Those who could approve an ordinary run keep their veto when the glass is broken: it lowers no refusal.
        policy, groups = self._situation.policy, self._situation.environment.veto or tuple(needs(self._rules))
        allowed = policy.members(groups) if groups else policy.people.keys()
        found = []
        for index in eligible:
            statement, person = self._statement(index), self._person(index)
            if statement.decision == "revoke" and not self._of_another(index):
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

    def _needs(self, roles: Mapping[str, str], excluded: Mapping[str, str]) -> tuple[Need, ...]:
        policy, now, asked = self._situation.policy, self._situation.now, proofs(self._rules)
        free = {name for name, person in policy.people.items() if person.can_sign(now)} - excluded.keys() - roles.keys()
        return tuple(
            Need(
                group=group,
                need=need,
                have=sum(role == group for role in roles.values()),
                candidates=tuple(
                    name
                    for name in policy.groups[group]
                    if name in free and policy.people[name].can_sign(now, touching=bool(asked.get(group)))
                ),
            )
            for group, need in self._need.items()
        )

    def _line(self, index: int, counted: bool) -> BallotLine:
        decision, statement = self._decisions[index], self._decisions[index].statement
        return BallotLine(
            file=decision.file,
            signer=decision.person or "unknown",
            counted=counted,
            issued_at=decision.issued_at,
            decision=statement.decision if statement else "unreadable",
            comment=statement.comment if statement else "",
            reason=self._reasons.get(index) or self._why(index),
        )

    def _why(self, index: int) -> str:
        statement = self._statement(index)
        gone = "" if self._decisions[index].at_tip else "; it was deleted since, which changes nothing"
        match statement.decision:
            case "approve":
                return f"counts for {statement.role}"
            case "submit":
                return "submitted"
            case "break-glass":
                return f"breaks the glass for {statement.incident}"
            case "revoke":
                return f"takes away what {statement.of} signed{gone}"
            case _:
                return f"blocks{gone}"
