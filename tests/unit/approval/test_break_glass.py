"""Breaking the glass lowers the quorum to what the policy allows, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import Clearance, ballot, clear
from okto_change.approval.rulebook import Policy
from okto_change.approval.schema import read
from okto_change.errors import NotAuthorised, PlanError
from okto_change.model import Lock
from tests.unit.approval.helpers import ENVIRONMENTS, NOW, judge, make_file, make_lock, make_policy, policy_text

GLASS = "    break_glass: {execute: [engineers], valid: 60m, review: {require: {dba: 1, security: 1}, within: 48h}}\n"
WINDOW = '    windows: [{days: [tue], from: "09:00", until: "10:00", zone: UTC}]\n'


def policy_with(lines: str = GLASS, **parts: Any) -> Policy:
    """Return the policy with more lines for ``prod``."""
    return make_policy(environments=ENVIRONMENTS.replace("  prod:\n", f"  prod:\n{lines}"), **parts)


def broken(who: str = "ana", **fields: Any) -> DecisionFile:
    """Return a statement that breaks the glass."""
    return make_file(who, "break-glass", incident="INC-42", comment="payments are down", **fields)


def grant(
    *files: DecisionFile,
    policy: Policy | None = None,
    executor: str | None = "ana",
    lock: Lock | None = None,
    **seen: Any,
) -> Clearance:
    """Clear with a broken glass."""
    policy = policy or policy_with()
    lock = lock or make_lock()
    return clear(
        policy, lock, judge(list(files), policy), executor=executor, now=seen.pop("now", NOW), emergency=True, **seen
    )


def faults(*files: DecisionFile, **given: Any) -> tuple[str, ...]:
    """Return why it is refused."""
    with pytest.raises(NotAuthorised) as caught:
        grant(*files, **given)
    return caught.value.faults


def test_whoever_may_breaks_the_glass_alone() -> None:
    """Author, executor and signer are one; the statement is used up by the run, and is named in the clearance."""
    file = broken()
    given = grant(file)
    assert given.broken is not None
    assert given.statements == (given.broken,)
    assert given.counted == {}


def test_an_ordinary_run_does_not_count_it() -> None:
    """A statement of the past opens nothing later."""
    policy = policy_with()
    taken = ballot(policy, make_lock(), judge([broken()], policy), NOW)
    assert not taken.cleared
    assert taken.decisions[0].reason == "break-glass has no part in an ordinary run"


def test_the_quorum_is_what_the_policy_asks_even_then() -> None:
    """With ``require`` somebody else must have approved."""
    policy = policy_with(GLASS.replace("{execute", "{require: {dba: 1}, execute"))
    assert faults(broken(), policy=policy) == ("step 7 (approvals): dba: 1 more (bruno or carla)",)
    assert grant(broken(), make_file("bruno", "approve", "dba"), policy=policy).counted == {"bruno": "dba"}


def test_windows_overdue_reviews_and_the_end_of_the_policy_do_not_stop_it() -> None:
    """An emergency does not wait for Tuesday."""
    policy = policy_with(GLASS + WINDOW, head="expires: 2026-11-22T16:00:00Z\n")
    assert grant(broken(), policy=policy, overdue=("release",)).broken
    with pytest.raises(NotAuthorised) as refused:
        clear(policy, make_lock(), (), executor="ana", now=NOW, overdue=("release",))
    assert {"step 9 (reviews): release"} < set(refused.value.faults)
    assert any("step 10 (window)" in fault for fault in refused.value.faults)


@pytest.mark.parametrize(
    ("files", "given", "words"),
    [
        ([], {}, "there is no statement of ana that breaks the glass"),
        ([broken("eva")], {}, "there is no statement of ana that breaks the glass"),
        (
            [broken("bruno")],
            {"executor": "bruno"},
            "bruno is in none of the groups that may break the glass: engineers",
        ),
        ([broken()], {"executor": None}, "whoever runs this is in none of the groups that may break the glass"),
        ([broken(), make_file("carla", "reject", comment="no")], {}, "step 6 (veto): rejected by carla: no"),
        ([broken(), make_file("davi", "revoke", of="ana", age=1)], {}, "no statement of ana"),
        ([broken(), make_file("ana", "revoke", age=1)], {}, "no statement of ana"),
        ([broken()], {"now": NOW + timedelta(hours=1)}, "no statement of ana"),
        ([broken(lock=make_lock(content=b"[]\n"))], {}, "no statement of ana"),
        ([broken(lock=make_lock(environment="staging"))], {}, "no statement of ana"),
        ([broken(at_tip=False)], {}, "no statement of ana"),
        ([broken()], {"policy": policy_with(GLASS, rules="rules: []\n")}, "step 4 (rules)"),
    ],
)
def test_it_lowers_nothing_else(files: list[DecisionFile], given: dict[str, Any], words: str) -> None:
    """Whose statement, for which bytes and how long, rejections, revocations and rules hold as ever."""
    found = faults(*files, **given)
    assert any(words in fault for fault in found), found


def test_the_lock_must_be_the_one_that_was_signed() -> None:
    """Other bytes under the same digest are refused."""
    lock = make_lock(content=b"[]\n", digest=make_lock().digest)
    assert any("step 2 (lock)" in fault for fault in faults(broken(), lock=lock))


def test_a_dry_run_is_required_as_ever() -> None:
    """Where the environment requires one, the glass is broken on the evidence of one."""
    policy = policy_with(GLASS)
    strict = make_policy(
        environments=ENVIRONMENTS.replace(
            "    dry_run: optional\n    submit", f"{GLASS}    dry_run: required\n    submit"
        )
    )
    assert any("no statement of ana" in fault for fault in faults(broken(), policy=strict))
    rehearsed = broken(dry_run_facts_sha256="5b" * 32)
    assert grant(rehearsed, policy=strict, facts_sha256="5b" * 32).broken
    assert faults(rehearsed, policy=strict, facts_sha256="00" * 32)
    assert grant(rehearsed, policy=policy).broken


def test_it_is_used_once() -> None:
    """The second run needs another statement."""
    used = grant(broken(nonce="0" * 32)).statements
    assert faults(broken(nonce="0" * 32), consumed=frozenset(used))


def test_without_a_line_in_the_policy_there_is_no_way_round() -> None:
    """The message says so, and where."""
    with pytest.raises(NotAuthorised, match="no break_glass for prod"):
        grant(broken(), policy=make_policy())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{execute: [], review: {require: {dba: 1}}}", "at least one group"),
        ("{execute: [engineers], review: {require: {}}}", "at least one group"),
        ("{execute: [engineers]}", "expected a line 'review:'"),
        ("{execute: [engineers], review: {require: {nobody: 1}}}", "unknown key 'nobody'"),
        ("{execute: [engineers], valid: soon, review: {require: {dba: 1}}}", "a time such as 30m"),
    ],
)
def test_faults_in_the_policy_are_named(line: str, words: str) -> None:
    """Nobody opens a way round by leaving something out."""
    text = policy_text(environments=ENVIRONMENTS.replace("  prod:\n", f"  prod:\n    break_glass: {line}\n"))
    with pytest.raises(PlanError) as caught:
        read(text.encode(), "policy.yaml")
    assert any(words in fault for fault in caught.value.faults), caught.value.faults
