"""The one function that makes a Clearance, and the ballot that says how far a change is from one. Pure.

Clearance has numbered steps, and every step that refuses says why:

 1. policy      the lock is this repository's, and the policy has not expired
 2. lock        the digest is that of the lock's bytes
 3. decisions   everything that a known person signed here can be understood
 4. rules       at least one rule matches
 5. submission  somebody who may has submitted exactly this lock (unless the rules ask for nothing)
 6. veto        nobody with a veto rejects it
 7. approvals   every group has its people
 8. executor    whoever runs it may
 9. reviews     no review of a broken glass is overdue in the environment
10. window      the environment may be changed now

Breaking the glass leaves out 5, 9 and 10 and the end of the policy, asks in 7 for what ``break_glass:`` asks, and in 8 for a
statement that whoever runs it signed. Everything else stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import TypedDict, Unpack

from okto_change import digest
from okto_change.approval import counting
from okto_change.approval.countable import choose
from okto_change.approval.counting import Count, ballot, count
from okto_change.approval.decisions import Decision
from okto_change.approval.ending import ending
from okto_change.approval.matching import executors
from okto_change.approval.rulebook import PersonKey, Policy
from okto_change.approval.standing import Situation, short
from okto_change.approval.vouching import Voucher, objection
from okto_change.approval.windows import closed
from okto_change.errors import NotAuthorised
from okto_change.model import Ballot, BallotLine, Lock, Need, Risk
from okto_change.model.clearance import SEAL, Clearance

STEPS = (
    "policy",
    "lock",
    "decisions",
    "rules",
    "submission",
    "veto",
    "approvals",
    "executor",
    "reviews",
    "window",
    "dry run",
)


class Seen(TypedDict, total=False):
    """What is known of target, people and past runs beside the decisions.

    ``facts_sha256`` and ``report_sha256`` are those of the target and of the stored dry run now, None where there are
    none; ``consumed`` are the statement ids of earlier runs; ``contributors`` maps people to the commit that names them;
    ``risk`` is the highest that anybody computed (default: the lock's); ``overdue`` are reviews that nobody gave in time;
    ``voucher`` is who signed the stored dry run, None where there is none.
    """

    facts_sha256: str | None
    report_sha256: str | None
    consumed: AbstractSet[str]
    contributors: Mapping[str, str]
    risk: Risk
    overdue: Sequence[str]
    voucher: Voucher | None


def clear(
    policy: Policy,
    lock: Lock,
    decisions: Sequence[Decision],
    *,
    executor: str | None,
    now: datetime,
    commit: str = "",
    emergency: bool = False,
    **seen: Unpack[Seen],
) -> Clearance:
    """Return the clearance of ``lock``, or raise NotAuthorised whose ``faults`` give every reason with its step.

    ``executor`` is the person who will run it (None: nobody known), ``emergency`` breaks the glass.
    """
    situation = _situation(policy, lock, now, emergency, seen)
    counted = count(situation, decisions)
    faults = (
        _faults(situation, counted) + _executor(situation, counted, executor) + _broken(situation, counted, executor)
    )
    if not emergency:
        faults += _timely(situation, seen)
    if faults:
        faults += _uncounted(situation, counted, decisions)
        raise NotAuthorised(
            f"{lock.change} is not cleared for {lock.environment}",
            faults=faults,
            hint=f"see who is missing: okto-change approvals {lock.change} --env {lock.environment}",
        )
    return Clearance(
        lock=lock,
        policy_sha256=policy.sha256,
        policy_version=policy.version,
        commit=commit,
        statements=counted.used,
        spent=counted.spent,
        counted=counted.counted,
        submitters=counted.submitters,
        executor=executor,
        at=now,
        broken=counted.broken.get(executor or "") if emergency else None,
        seal=SEAL,
    )


def take_ballot(
    policy: Policy, lock: Lock, decisions: Sequence[Decision], now: datetime, **seen: Unpack[Seen]
) -> Ballot:
    """Return the ballot on ``lock``: every decision, every need, and what blocks (all but the executor and the window)."""
    situation = _situation(policy, lock, now, False, seen)
    counted = count(situation, decisions)
    shut = closed(situation.environment, now)
    blocks = (*_faults(situation, counted), *(_fault("reviews", line) for line in seen.get("overdue", ())))
    return replace(ballot(situation, counted, blocks, (shut,) if shut else ()), ending=ending(policy, now))


def refusals(
    policy: Policy,
    lock: Lock,
    decisions: Sequence[Decision],
    going_by: AbstractSet[str],
    *,
    now: datetime,
    risk: Risk,
    emergency: bool,
) -> tuple[str, ...]:
    """Say who has said no to a run of ``lock`` that goes by the statements ``going_by``; () if nobody has."""
    return counting.refusals(_situation(policy, lock, now, emergency, {"risk": risk}), decisions, going_by)


def role(policy: Policy, taken: Ballot, person: str, key: PersonKey, now: datetime) -> str:
    """Return the group that ``person`` would count for best with ``key``.

    Raises NotAuthorised where an approval by this person, or with this key, could not count.
    """
    if person in taken.excluded:
        raise NotAuthorised(f"{person} {taken.excluded[person]}; somebody else must approve it", hint=_ask(taken.needs))
    mine = [need for need in taken.needs if person in policy.groups[need.group]]
    if not mine:
        groups = ", ".join(policy.groups_of(person)) or "no group"
        raise NotAuthorised(f"an approval by {person} would not count: {person} is in {groups}", hint=_ask(taken.needs))
    return choose(policy, taken, mine, person, key, now).group


def demand_executor(
    policy: Policy,
    lock: Lock,
    decisions: Sequence[Decision],
    executor: str | None,
    approvers: Mapping[str, str],
    *,
    now: datetime,
    risk: Risk,
) -> None:
    """Raise NotAuthorised unless ``executor`` may go on with a run that the people in ``approvers`` cleared."""
    situation = _situation(policy, lock, now, False, {"risk": risk})
    faults = _executor(situation, replace(count(situation, decisions), counted=approvers), executor)
    if faults:
        raise NotAuthorised(
            f"{executor or 'whoever this is'} may not go on with a run of {lock.change} in {lock.environment}",
            where=policy.file,
            faults=faults,
            hint="somebody who may run it can; `okto-change rollback` takes back what stands",
        )


def demand_cleared(
    policy: Policy,
    lock: Lock,
    decisions: Sequence[Decision],
    going_by: AbstractSet[str],
    *,
    started: datetime,
    starter: str,
    now: datetime,
    emergency: bool,
    **seen: Unpack[Seen],
) -> None:
    """Raise NotAuthorised unless the statements ``going_by`` cleared ``lock`` when a run of it was ``started``.

    What expired or was deleted since cleared it all the same, and so did approvals under the policy of then; a revoked
    key never did. What is standing now may clear it as well, under rules that are stricter by now.
    """
    then = _situation(policy, lock, started, emergency, seen)
    then = replace(then, environment=replace(then.environment, policy_change="keep"))
    named = [replace(one, at_tip=True) for one in decisions if one.id in going_by]
    counted = count(then, named)
    if not _faults(then, counted) + _broken(then, counted, starter):
        return
    today = _situation(policy, lock, now, False, seen)
    faults = _faults(today, count(today, decisions))
    if faults:
        raise NotAuthorised(
            f"the decisions that this run of {lock.change} was started by do not clear it for {lock.environment}",
            faults=faults,
            hint=f"have it approved, or take back what stands: okto-change rollback {lock.change} --env {lock.environment}",
        )


def settled_by_submitting(taken: Ballot) -> Ballot:
    """Return a ballot without the block that a submission takes away."""
    submission = _fault("submission", "")
    return replace(taken, blocks=tuple(line for line in taken.blocks if not line.startswith(submission)))


def missing(taken: Ballot) -> tuple[str, ...]:
    """Return what is still needed, a line for each group that is short: ``dba: 1 more (dave or erin)``."""
    return tuple(_lack(need) for need in taken.needs if not need.met)


def _situation(policy: Policy, lock: Lock, now: datetime, emergency: bool, seen: Seen) -> Situation:
    environment = policy.environment(lock.environment)
    if emergency and environment.break_glass is None:
        raise NotAuthorised(
            f"the policy has no break_glass for {lock.environment}: there is no way round its rules",
            where=policy.file,
            hint=f"see who is missing: okto-change approvals {lock.change} --env {lock.environment}",
        )
    return Situation(
        policy=policy,
        environment=environment,
        lock=lock,
        now=now,
        emergency=emergency,
        facts_sha256=seen.get("facts_sha256"),
        report_sha256=seen.get("report_sha256"),
        consumed=seen.get("consumed", frozenset()),
        contributors=seen.get("contributors", {}),
        voucher=seen.get("voucher"),
        risk=max(seen.get("risk", lock.risk), lock.risk, key=lambda risk: risk.rank),
    )


def _faults(situation: Situation, counted: Count) -> tuple[str, ...]:
    """Return the reasons of steps 1 to 7, and of step 11."""
    policy, lock, calm = situation.policy, situation.lock, not situation.emergency
    found = []
    if lock.repo != policy.repo:
        found.append(_fault("policy", "the lock is of another repository"))
    if calm and policy.expires is not None and situation.now >= policy.expires:
        found.append(_fault("policy", f"the policy expired at {policy.expires:%Y-%m-%d %H:%MZ}"))
    if digest.sha256(lock.content) != lock.digest:
        found.append(_fault("lock", "the plan digest is not that of the lock's bytes"))
    found += [_fault("decisions", reason) for reason in counted.not_understood]
    if not counted.rules:
        found.append(_fault("rules", "no rule of the policy matches, and without a rule nothing runs"))
    if calm and not counted.submitters and not counted.asks_nothing:
        found.append(_fault("submission", f"nobody who may submit has submitted this version, {short(lock.digest)}"))
    found += [_fault("veto", f"rejected by {reason}") for reason in counted.vetoes]
    found += [_fault("approvals", _lack(need)) for need in counted.needs if not need.met]
    if unvouched := objection(policy, situation.environment, situation.voucher, counted.writers):
        found.append(_fault("dry run", unvouched))
    return tuple(found)


def _timely(situation: Situation, seen: Seen) -> tuple[str, ...]:
    """Return the reasons of steps 9 and 10."""
    shut = closed(situation.environment, situation.now)
    overdue = tuple(_fault("reviews", line) for line in seen.get("overdue", ()))
    return overdue + ((_fault("window", shut),) if shut else ())


def _broken(situation: Situation, counted: Count, executor: str | None) -> tuple[str, ...]:
    """Say what is wrong with a broken glass: whoever runs it must have signed that, and must be one of those who may."""
    glass = situation.environment.break_glass
    if not situation.emergency or glass is None:
        return ()
    if executor is None or executor not in situation.policy.members(glass.execute):
        who = executor or "whoever runs this"
        return (
            _fault("executor", f"{who} is in none of the groups that may break the glass: {', '.join(glass.execute)}"),
        )
    if executor not in counted.broken:
        return (_fault("executor", f"there is no statement of {executor} that breaks the glass for this version"),)
    return ()


def _uncounted(situation: Situation, counted: Count, decisions: Sequence[Decision]) -> tuple[str, ...]:
    """Say why each person's latest approval of exactly this lock does not count."""
    latest: dict[str, tuple[datetime, BallotLine]] = {}
    for decision, line in zip(decisions, counted.lines, strict=True):
        said = decision.statement
        if said and decision.person and said.decision == "approve" and said.digest == situation.lock.digest:
            latest[decision.person] = max(
                latest.get(decision.person, (said.issued_at, line)), (said.issued_at, line), key=itemgetter(0)
            )
    return tuple(
        f"the approval by {line.signer} does not count: {line.reason}"
        for _, line in latest.values()
        if not line.counted
    )


def _executor(situation: Situation, counted: Count, executor: str | None) -> tuple[str, ...]:
    asked, policy = executors(counted.rules, situation.environment), situation.policy
    if situation.emergency:
        return ()  # who may break the glass stands in `break_glass:` alone
    if executor is None:
        asks = any(rules.groups for rules in asked) or not counted.asks_nothing
        return (_fault("executor", "it is not known who runs this; name a key with --key"),) if asks else ()
    found: dict[str, None] = {}
    for rules in asked:
        if rules.groups and executor not in policy.members(rules.groups):
            found[f"{executor} is in none of the groups that may execute here: {', '.join(rules.groups)}"] = None
        if executor in counted.writers and not rules.may_be_author and not counted.asks_nothing:
            found[f"{executor} wrote or submitted this change, and may not run it here"] = None
        if executor in counted.counted and not rules.may_be_approver:
            found[f"{executor} approved this change, and may not run it here"] = None
    return tuple(_fault("executor", reason) for reason in found)


def _fault(step: str, reason: str) -> str:
    return f"step {STEPS.index(step) + 1} ({step}): {reason}"


def _lack(need: Need) -> str:
    people = _or(need.candidates) or "nobody left in the group can give it"
    return f"{need.group}: {need.need - need.have} more ({people})"


def _ask(needs: Sequence[Need]) -> str:
    lacking = [need for need in needs if not need.met]
    people = dict.fromkeys(person for need in lacking for person in need.candidates)
    if people:
        return f"ask {_or(tuple(people))}"
    groups = ", ".join(need.group for need in lacking)
    return (
        f"nobody left in {groups} can give it; the policy decides who is" if lacking else "no other approval is missing"
    )


def _or(people: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(people[:-1]), *people[-1:])))
