"""What is owed for a broken glass: the review of somebody else, in time. Finding them is git's, judging is pure.

Whoever breaks the glass owes a review, whatever came of the run. A statement that breaks it counts if it ever stood on
the branch; a review counts while it stands there, if its key was good when it was signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from okto_change.approval.decisions import Decision, examine
from okto_change.approval.rulebook import BreakGlass, Environment, Policy
from okto_change.approval.standing import STICKY
from okto_change.approval.statement import Statement
from okto_change.approval.trust import Mirror
from okto_change.model import Need, ReviewDebt


def owed(
    mirror: Mirror, policy: Policy, environment: Environment, changes: Iterable[str] = ()
) -> tuple[ReviewDebt, ...]:
    """Return every broken glass of an environment, reviewed or not, oldest first.

    Looks at the changes whose statements stand at the branch's tip, and at ``changes``, which somebody knows of.
    """
    if environment.break_glass is None:
        return ()
    found = []
    for change in sorted({*mirror.decided(environment.name, "break-glass"), *changes}):
        decisions = examine(policy, mirror.decision_files(change, environment.name))
        found += debts(policy, environment.break_glass, change, environment.name, decisions)
    return tuple(sorted(found, key=lambda debt: debt.due))


def debts(
    policy: Policy, glass: BreakGlass, change: str, environment: str, decisions: Sequence[Decision]
) -> list[ReviewDebt]:
    """Return what ``decisions`` on a change say of broken glass and of its reviews."""
    mine = [decision for decision in decisions if _about(policy, change, environment, decision)]
    broken = {
        decision.id: decision
        for decision in mine
        if decision.statement
        and decision.statement.decision == "break-glass"
        and decision.person in policy.members(glass.execute)
    }
    return [_debt(policy, glass, decision, mine) for decision in broken.values()]


def overdue(owed: Iterable[ReviewDebt], now: datetime) -> tuple[str, ...]:
    """Return a line for each review that is not complete although its time is over."""
    return tuple(describe(debt, now) for debt in owed if not debt.settled and now >= debt.due)


def describe(debt: ReviewDebt, now: datetime) -> str:
    """Say in a line what is owed and by when."""
    lacking = "; ".join(
        f"{need.group}: {need.need - need.have} more ({' or '.join(need.candidates) or 'nobody left can give it'})"
        for need in debt.needs
        if not need.met
    )
    late = "is overdue since" if now >= debt.due else "is due by"
    return (
        f"{debt.change}: the review of the glass that {debt.signer} broke for {debt.incident} {late} "
        f"{debt.due:%Y-%m-%d %H:%MZ}: {lacking}"
    )


def _about(policy: Policy, change: str, environment: str, decision: Decision) -> bool:
    said = decision.statement
    return (
        said is not None
        and said.signer == decision.person
        and (said.repo, said.change, said.environment) == (policy.repo, change, environment)
    )


def _debt(policy: Policy, glass: BreakGlass, broken: Decision, decisions: Sequence[Decision]) -> ReviewDebt:
    said = broken.statement
    assert said is not None and broken.person is not None
    barred = {broken.person} | {
        d.person
        for d in decisions
        if d.statement and d.person and d.statement.decision == "submit" and d.statement.digest == said.digest
    }
    roles = _reviewers(policy, glass, broken.id, said, barred, decisions)
    free = {name for name, who in policy.people.items() if who.can_sign(said.issued_at)} - barred - roles.keys()
    needs = tuple(
        Need(
            group=group,
            need=need,
            have=sum(role == group for role in roles.values()),
            candidates=tuple(name for name in policy.groups[group] if name in free),
        )
        for group, need in glass.review.items()
    )
    return ReviewDebt(
        change=said.change,
        environment=said.environment,
        statement=broken.id,
        digest=said.digest,
        signer=broken.person,
        incident=said.incident,
        reason=said.comment,
        at=said.issued_at,
        due=said.issued_at + timedelta(seconds=glass.within),
        needs=needs,
    )


def _reviewers(
    policy: Policy,
    glass: BreakGlass,
    statement: str,
    broken: Statement,
    barred: set[str],
    decisions: Sequence[Decision],
) -> dict[str, str]:
    """Return who reviewed it, each in the group of the latest review; a later revocation of one's own takes it back."""
    latest: dict[str, Statement] = {}
    for decision in decisions:
        said, person = decision.statement, decision.person
        if said is None or person is None or person in barred or (not decision.at_tip and said.decision not in STICKY):
            continue
        if decision.key is None or decision.key.fault(said.issued_at):
            continue
        given = said.decision == "review" and said.about == statement and said.issued_at >= broken.issued_at
        taken = said.decision == "revoke" and said.of in ("", person)
        if given or taken:
            latest[person] = max(latest.get(person, said), said, key=lambda one: one.issued_at)
    return {
        person: said.role
        for person, said in latest.items()
        if said.decision == "review" and said.role in glass.review and said.role in policy.groups_of(person)
    }
