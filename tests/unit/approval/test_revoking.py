"""Taking back: what one signed oneself, and what security takes from others; and what neither can do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import ballot, refusals, role
from okto_change.approval.rulebook import Policy
from okto_change.errors import NotAuthorised
from okto_change.model import Ballot, Risk
from tests.unit.approval.helpers import ENVIRONMENTS, NOW, judge, make_file, make_lock, make_policy
from tests.unit.approval.test_clearing import own_key

SUBMIT = make_file("ana", "submit", age=600)
DBA = make_file("bruno", "approve", "dba")
OWNER = make_file("eva", "approve", "owners")
GOOD = [SUBMIT, DBA, OWNER]


def take(*files: DecisionFile, policy: Policy | None = None) -> Ballot:
    """Return the ballot on the usual lock."""
    policy = policy or make_policy()
    return ballot(policy, make_lock(), judge(list(files), policy), NOW)


def test_an_approver_takes_an_approval_back() -> None:
    """From then on it does not count, until the same person approves again."""
    revoked = take(*GOOD, make_file("bruno", "revoke", age=30))
    assert not revoked.cleared
    assert revoked.decisions[1].reason == "bruno decided again later: revoke"
    assert revoked.decisions[-1].reason == "bruno withdrew what was signed before"
    again = take(*GOOD, make_file("bruno", "revoke", age=30), make_file("bruno", "approve", "dba", age=10))
    assert again.cleared


def test_an_author_takes_a_submission_back() -> None:
    """Without a submission nothing runs."""
    taken = take(*GOOD, make_file("ana", "revoke", age=30))
    assert taken.decisions[0].reason == "ana withdrew it later"
    assert "step 5 (submission)" in taken.blocks[0]


def test_taking_a_rejection_back_unblocks() -> None:
    """Whoever rejected may say so."""
    reject = make_file("carla", "reject", age=50, comment="too wide")
    assert not take(*GOOD, reject).cleared
    assert take(*GOOD, reject, make_file("carla", "revoke", age=40)).cleared


@pytest.mark.parametrize("who", ["ana", "eva"])
def test_security_takes_away_what_anybody_signed(who: str) -> None:
    """A submission or an approval, also one that is signed afterwards; the reason is told."""
    later = make_file("eva", "approve", "owners", age=1)
    taken = take(*GOOD, later, make_file("davi", "revoke", age=30, of=who, comment="laptop stolen"))
    assert not taken.cleared
    assert "laptop stolen" in taken.excluded[who]
    assert taken.decisions[-1].counted and taken.decisions[-1].reason == f"takes away what {who} signed"
    with pytest.raises(NotAuthorised, match="is revoked by davi"):
        role(make_policy(), taken, who, own_key(make_policy(), who), NOW)


def test_a_revocation_by_security_survives_its_deletion() -> None:
    """Deleting the file brings nothing back."""
    gone = make_file("davi", "revoke", of="eva", at_tip=False)
    taken = take(*GOOD, gone)
    assert not taken.cleared
    assert taken.decisions[-1].reason.endswith("it was deleted since, which changes nothing")


def test_nobody_else_takes_away_what_others_signed() -> None:
    """Ana is in no group for that; Davi would not be either, did the policy name another one."""
    taken = take(*GOOD, make_file("ana", "revoke", age=30, of="bruno"))
    assert taken.cleared
    assert taken.decisions[-1].reason == "ana is in no group that may revoke what others signed"
    policy = make_policy(
        environments=ENVIRONMENTS.replace("submit: [engineers]", "submit: [engineers]\n    revoke: [dba]")
    )
    assert take(*GOOD, make_file("davi", "revoke", of="eva"), policy=policy).cleared
    assert not take(*GOOD, make_file("bruno", "revoke", of="eva"), policy=policy).cleared


def test_security_takes_no_rejection_away() -> None:
    """A revocation never lets anything run that did not run before."""
    reject = make_file("carla", "reject", age=50, comment="too wide")
    taken = take(*GOOD, reject, make_file("davi", "revoke", age=10, of="carla"))
    assert not taken.cleared
    assert taken.blocks == ("step 6 (veto): rejected by carla: too wide",)


def test_naming_oneself_is_taking_back_what_one_signed() -> None:
    """Security's own approvals are theirs to give again."""
    files = [SUBMIT, DBA, make_file("davi", "approve", "owners"), make_file("davi", "revoke", age=30, of="davi")]
    assert not take(*files).cleared
    assert take(*files, make_file("davi", "approve", "owners", age=10)).cleared


def no_to(
    *files: DecisionFile, going_by: tuple[DecisionFile, ...] = tuple(GOOD), now: datetime = NOW
) -> tuple[str, ...]:
    """Return who has said no to a run that goes by ``going_by``."""
    policy, ids = make_policy(), frozenset(decision.id for decision in judge(list(going_by)))
    decisions = judge([*going_by, *files], policy)
    return refusals(policy, make_lock(), decisions, ids, now=now, risk=Risk.LOW, emergency=False)


def test_a_run_under_way_hears_every_no() -> None:
    """Of security, of whose approval it goes by, of who may veto; each with its reason."""
    by_security = make_file("davi", "revoke", age=0, of="bruno", comment="stolen")
    assert no_to(by_security) == ("davi revoked what bruno signed: stolen",)
    assert no_to(make_file("bruno", "revoke", age=0)) == ("bruno withdrew what was signed before: no reason given",)
    assert no_to(make_file("ana", "revoke", age=0, comment="oops")) == ("ana withdrew what was signed before: oops",)
    vetoed = no_to(make_file("carla", "reject", age=0, comment="wrong"))
    assert vetoed == ("rejected by carla: wrong",)
    assert no_to(make_file("davi", "reject", age=0, comment="wrong")) == ("rejected by davi: wrong",)


def test_a_run_under_way_goes_on_otherwise() -> None:
    """Approvals that expire or are deleted stop nothing that runs, nor does who may not, nor a no to somebody else."""
    assert no_to() == ()
    assert no_to(now=NOW + timedelta(days=30)) == ()
    gone = tuple(replace(file, at_tip=False) for file in GOOD)
    assert no_to(going_by=gone) == ()
    assert no_to(make_file("bruno", "revoke", age=0, of="davi")) == ()
    assert no_to(make_file("davi", "revoke", age=0, of="carla")) == ()
    again = (make_file("bruno", "revoke", age=90), *GOOD)
    assert no_to(going_by=again) == ()
