"""The one function that makes a clearance."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import okto_change
from okto_change.approval import policy as policies
from okto_change.approval.policy import Clearance, clear
from okto_change.approval.rulebook import PersonKey, Policy
from okto_change.errors import NotAuthorised
from okto_change.model import Lock, Risk
from tests.unit.approval.helpers import ENVIRONMENTS, NOW, judge, make_file, make_lock, make_policy

GOOD = [make_file("ana", "submit"), make_file("bruno", "approve", "dba"), make_file("davi", "approve", "owners")]


def grant(policy: Policy | None = None, lock: Lock | None = None, **more: Any) -> Clearance:
    """Clear the usual lock."""
    policy = policy or make_policy()
    values: dict[str, Any] = {"executor": "bruno", "now": NOW} | more
    files = values.pop("files", GOOD)
    return clear(policy, lock or make_lock(), judge(files, policy), **values)


def faults(**values: Any) -> tuple[str, ...]:
    """Return why clearance is refused."""
    with pytest.raises(NotAuthorised) as caught:
        grant(**values)
    return caught.value.faults


def test_a_clearance_tells_who_agreed_to_what() -> None:
    """It carries the lock itself, the policy's digest, and the ids of what counted."""
    clearance = grant(commit="c0ffee")
    assert clearance.counted == {"bruno": "dba", "davi": "owners"}
    assert clearance.submitters == ("ana",)
    assert clearance.statements == tuple(sorted(decision.id for decision in judge(GOOD)))
    assert (clearance.lock.content, clearance.commit, clearance.executor) == (b"{}\n", "c0ffee", "bruno")
    assert clearance.policy_sha256 == make_policy().sha256


def test_nobody_else_can_make_a_clearance() -> None:
    """The constructor refuses without the seal, and only the approval folder takes the seal."""
    granted = grant()
    fields = {name: getattr(granted, name) for name in Clearance.__dataclass_fields__ if name != "seal"}
    with pytest.raises(TypeError, match=r"only approval\.policy\.clear"):
        Clearance(**fields, seal=object())  # type: ignore[arg-type]
    source = Path(next(iter(okto_change.__path__)))
    named = [path for path in source.rglob("*.py") if re.search(r"\bSEAL\b", path.read_text())]
    users = {path.relative_to(source).as_posix() for path in named}
    assert users == {"approval/clearing.py", "model/clearance.py"}


def own_key(policy: Policy, person: str) -> PersonKey:
    """Return somebody's first key."""
    return policy.people[person].keys[0]


def test_every_reason_is_given_with_its_step() -> None:
    """Nobody has to repair one thing to hear of the next."""
    found = faults(files=[make_file("carla", "reject", comment="no")], executor="davi")
    assert found == (
        "step 5 (submission): nobody who may submit has submitted this version, ca3d 163b ab05",
        "step 6 (veto): rejected by carla: no",
        "step 7 (approvals): dba: 1 more (bruno or carla)",
        "step 7 (approvals): owners: 1 more (carla, davi or eva)",
        "step 8 (executor): davi is in none of the groups that may execute here: dba, engineers",
    )


def test_a_lock_of_another_repository_is_refused() -> None:
    """A fork's lock is not ours."""
    lock = make_lock(repo="00000000-0c54-4e0e-9d5e-1b7b9c1d2e3f")
    assert "step 1 (policy): the lock is of another repository" in faults(lock=lock)


def test_an_expired_policy_clears_nothing() -> None:
    """A policy that ran out must be renewed by its owners."""
    policy = make_policy(head="expires: 2026-11-22T16:00:00Z\n")
    assert faults(policy=policy) == ("step 1 (policy): the policy expired at 2026-11-22 16:00Z",)
    early = [
        make_file("ana", "submit", age=7_000),
        make_file("bruno", "approve", "dba", age=7_000, life=8_000),
        make_file("davi", "approve", "owners", age=7_000, life=8_000),
    ]
    before = NOW - timedelta(hours=1, minutes=1)
    assert grant(policy, now=before, files=early).at == before


def test_a_digest_that_is_not_the_lock_s_is_refused() -> None:
    """Approved bytes are the bytes that run."""
    approved = make_lock()
    lock = make_lock(content=b"[]\n", digest=approved.digest)
    assert "step 2 (lock): the plan digest is not that of the lock's bytes" in faults(lock=lock)


def test_the_author_runs_it_only_where_policy_allows() -> None:
    """By default whoever wrote a change does not run it."""
    assert faults(executor="ana") == ("step 8 (executor): ana wrote or submitted this change, and may not run it here",)
    allowed = ENVIRONMENTS.replace("groups: [dba, engineers]", "groups: [dba, engineers], may_be_author: true")
    assert grant(make_policy(environments=allowed), executor="ana").executor == "ana"


def test_an_approver_runs_it_unless_policy_forbids() -> None:
    """The person on call may approve and run."""
    forbidden = ENVIRONMENTS.replace("groups: [dba, engineers]", "groups: [dba, engineers], may_be_approver: false")
    assert "approved this change" in faults(policy=make_policy(environments=forbidden))[0]


def test_somebody_unknown_runs_nothing_but_a_sandbox() -> None:
    """Where rules ask for nobody, anybody may run it."""
    assert "it is not known who runs this" in faults(executor=None)[0]
    assert grant(lock=make_lock(environment="sandbox"), executor=None, files=[]).executor is None


def test_the_role_of_an_approver_is_what_is_short() -> None:
    """Carla is dba and owner: she is asked for what nobody else gave."""
    policy = make_policy()
    lock = make_lock()
    taken = policies.ballot(policy, lock, judge(GOOD[:2]), NOW)
    assert policies.role(policy, taken, "carla", own_key(policy, "carla"), NOW) == "owners"
    assert policies.missing(taken) == ("owners: 1 more (carla, davi or eva)",)


@pytest.mark.parametrize(("person", "words"), [("ana", "ana wrote this change"), ("eva", "eva is in engineers")])
def test_who_cannot_count_is_told_before_signing(person: str, words: str) -> None:
    """Nobody signs for nothing; the hint says whom to ask."""
    policy = make_policy(rules="rules: [{id: prod, require: {dba: 1}}]\n")
    taken = policies.ballot(policy, make_lock(), judge(GOOD[:1]), NOW)
    with pytest.raises(NotAuthorised, match=words) as caught:
        policies.role(policy, taken, person, own_key(policy, person), NOW)
    assert caught.value.hint == "ask bruno or carla"


def test_rules_add_to_who_may_run_it() -> None:
    """Everything that the environment and each matching rule ask; a rule forbids only what it says."""
    rules = (
        "rules:\n  - {id: prod, when: {env: [prod]}, require: {dba: 1, owners: 1}}\n"
        "  - {id: high, when: {risk: [high]}, require: {}, execute: {groups: [dba], may_be_approver: false}}\n"
    )
    policy, high = make_policy(rules=rules), make_lock(risk=Risk.HIGH)
    files = [
        make_file(one, what, role, lock=high)
        for one, what, role in (("ana", "submit", ""), ("bruno", "approve", "dba"), ("davi", "approve", "owners"))
    ]
    assert grant(policy).executor == "bruno"
    assert faults(policy=policy, lock=high, files=files) == (
        "step 8 (executor): bruno approved this change, and may not run it here",
    )
    assert faults(policy=policy, lock=high, files=files, executor="eva") == (
        "step 8 (executor): eva is in none of the groups that may execute here: dba",
    )
    assert grant(policy, lock=high, files=files, executor="carla").executor == "carla"


def test_a_risk_found_live_counts_like_the_lock_s() -> None:
    """It may raise what the lock says, never lower it."""
    rules = "rules: [{id: all, require: {dba: 1}}, {id: high, when: {risk: [high]}, require: {security: 1}}]\n"
    policy = make_policy(rules=rules)
    files = judge([make_file("ana", "submit"), make_file("bruno", "approve", "dba")], policy)
    assert policies.ballot(policy, make_lock(), files, NOW).cleared
    raised = policies.ballot(policy, make_lock(), files, NOW, risk=Risk.HIGH)
    assert not raised.cleared and raised.rules == ("all", "high")
    lowered = policies.ballot(policy, make_lock(risk=Risk.HIGH), judge([], policy), NOW, risk=Risk.LOW)
    assert lowered.risk is Risk.HIGH
