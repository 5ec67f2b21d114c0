"""How decisions are counted. Each test names a rule of the count, or an attack on it, and its innocent twin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from okto_change.approval.decisions import DecisionFile
from okto_change.approval.policy import ballot
from okto_change.approval.rulebook import Policy
from okto_change.model import Ballot, Lock
from tests.unit.approval.helpers import (
    ENVIRONMENTS,
    MALLORY,
    NOW,
    PEOPLE,
    RULES,
    SoftKey,
    judge,
    make_file,
    make_lock,
    make_policy,
    people,
    security_key,
)

SUBMIT = make_file("ana", "submit", age=600)
OWNER = make_file("davi", "approve", "owners")
DBA = make_file("bruno", "approve", "dba")
GOOD = [SUBMIT, DBA, OWNER]


def take(files: list[DecisionFile], *, policy: Policy | None = None, lock: Lock | None = None, **more: Any) -> Ballot:
    """Return the ballot on the usual lock."""
    policy = policy or make_policy()
    return ballot(policy, lock or make_lock(), judge(files, policy), more.pop("now", NOW), **more)


def reason(taken: Ballot, index: int = -1) -> str:
    """Return why a decision counts, or not."""
    return taken.decisions[index].reason


def need(taken: Ballot, group: str) -> tuple[int, int, tuple[str, ...]]:
    """Return what a group has, needs, and who can still give it."""
    found = next(need for need in taken.needs if need.group == group)
    return found.have, found.need, found.candidates


def test_a_submission_and_one_person_of_each_group_clear() -> None:
    """The innocent twin of everything below."""
    taken = take(GOOD)
    assert taken.cleared
    assert not taken.blocks
    assert [line.reason for line in taken.decisions] == ["submitted", "counts for dba", "counts for owners"]
    assert need(taken, "dba") == (1, 1, ("carla",))


def test_what_is_missing_is_told_with_who_can_give_it() -> None:
    """Neither the author nor somebody who counts already is asked."""
    taken = take([make_file("eva", "submit"), make_file("carla", "approve", "dba")])
    assert need(taken, "owners") == (0, 1, ("davi",))
    assert taken.blocks == ("step 7 (approvals): owners: 1 more (davi)",)


def test_one_person_in_two_groups_counts_once() -> None:
    """Carla is dba and owner; her latest decision says as which she counts."""
    both = [make_file("carla", "approve", "dba", age=90), make_file("carla", "approve", "owners", age=60)]
    taken = take([SUBMIT, *both])
    assert [line.counted for line in taken.decisions] == [True, False, True]
    assert need(taken, "dba")[0] == 0
    assert reason(taken, 1) == "carla decided again later: approve"


def test_two_keys_of_one_person_are_one_person() -> None:
    """A second key makes nobody two people."""
    second = security_key()
    first = f'{{key: "{PEOPLE["eva"].line}", valid_from: 2026-01-01T00:00:00Z}}'
    who = people().replace(first, f"{first}, {first.replace(PEOPLE['eva'].line, second.line)}")
    policy = make_policy(who=who, rules="rules: [{id: two, require: {owners: 2}}]\n")
    twice = [make_file("eva", "approve", "owners", age=90), make_file("eva", "approve", "owners", key=second)]
    assert need(take([SUBMIT, *twice], policy=policy), "owners")[0] == 1
    assert need(take([SUBMIT, *twice, OWNER], policy=policy), "owners")[0] == 2


def test_the_submitter_cannot_approve() -> None:
    """Four eyes: eva is an owner, but she submitted this change."""
    taken = take([make_file("eva", "submit"), DBA, make_file("eva", "approve", "owners")])
    assert not taken.cleared
    assert "somebody else must approve it" in reason(taken)


def test_a_deleted_submission_still_excludes_its_author() -> None:
    """Deleting one's own submission and letting another person submit gains nothing."""
    gone = make_file("eva", "submit", at_tip=False)
    taken = take([SUBMIT, DBA, make_file("eva", "approve", "owners"), gone])
    assert "somebody else must approve it" in reason(taken, 2)


def test_the_author_in_the_plan_cannot_approve() -> None:
    """Letting somebody else submit does not make the author a second pair of eyes."""
    lock = make_lock(author="carla")
    files = [make_file("ana", "submit", lock=lock), make_file("carla", "approve", "dba", lock=lock)]
    assert "somebody else must approve it" in reason(take(files, lock=lock))


def test_without_a_submission_nothing_is_cleared() -> None:
    """Else nobody would have to own up to being the author."""
    taken = take([DBA, OWNER])
    assert [block.split(":")[0] for block in taken.blocks] == ["step 5 (submission)"]


def test_only_named_groups_may_submit() -> None:
    """Bruno is no engineer."""
    taken = take([make_file("bruno", "submit"), make_file("carla", "approve", "dba"), OWNER])
    assert reason(taken, 0) == "bruno is in no group that may submit (engineers)"
    assert not taken.cleared


def test_a_withdrawn_submission_does_not_count() -> None:
    """The author may take a change back."""
    taken = take([*GOOD, make_file("ana", "revoke", age=10)])
    assert reason(taken, 0) == "ana withdrew it later"
    assert not taken.cleared


def test_an_approval_for_a_group_of_others_does_not_count() -> None:
    """Bruno is dba, not owner; naming the role is not being in it."""
    taken = take([SUBMIT, DBA, make_file("bruno", "approve", "owners", age=10)])
    assert "not in the group owners" in reason(taken)


def test_an_approval_that_no_rule_asks_for_does_not_count() -> None:
    """Davi is in security, which nobody asked."""
    assert "no rule asks for the group security" in reason(take([SUBMIT, make_file("davi", "approve", "security")]))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"environment": "staging"}, "another environment, staging"),
        ({"change": "fix-other"}, "another change, fix-other"),
        ({"repo": "00000000-0c54-4e0e-9d5e-1b7b9c1d2e3f"}, "another repository"),
        ({"plan_digest": "ab" * 32}, "another version of the plan, abab abab abab"),
        ({"signer": "carla"}, "names carla, bruno signed"),
        ({"age": -121}, "from the future"),
        ({"age": 7200}, "expired at 2026-11-22 16:00Z"),
        ({"age": 260_000, "life": 900_000}, "expired at"),
        ({"at_tip": False}, "it was deleted from the branch"),
        ({"namespace": "git"}, "was made for 'git'"),
        ({"key": MALLORY}, "signed with the unknown key SHA256:"),
    ],
)
def test_a_copied_or_worn_out_approval_does_not_count(fields: dict[str, Any], words: str) -> None:
    """Replays to another environment, change, repository or digest; expired, from the future, deleted, foreign."""
    taken = take([SUBMIT, make_file("bruno", "approve", "dba", **fields), OWNER])
    assert words in reason(taken, 1)
    assert not taken.decisions[1].counted
    assert not taken.cleared


def test_a_clock_that_is_a_little_ahead_is_accepted() -> None:
    """Two minutes are allowed."""
    assert take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", age=-119)]).cleared


def test_an_edited_statement_does_not_count() -> None:
    """One letter of the comment breaks the signature."""
    content = make_file("bruno", "approve", "dba", comment="fine").content or b""
    edited = DecisionFile(file="edited", content=content.replace(b"fine", b"fine!"))
    assert "does not fit the statement" in reason(take([SUBMIT, OWNER, edited]))


def test_garbage_is_listed_and_blocks_nothing() -> None:
    """Nobody can stop a change by filling the folder."""
    contents = [b"", b"\0" * 99, b"{}\n", (DBA.content or b"")[:-9]]
    garbage = [DecisionFile(file=str(number), content=content) for number, content in enumerate(contents)]
    unread = DecisionFile(file="link", content=None, problem="it is a symbolic link")
    taken = take([*garbage, unread, *GOOD])
    assert taken.cleared
    assert [line.decision for line in taken.decisions[:5]] == ["unreadable"] * 5
    assert taken.decisions[4].reason == "it is a symbolic link"
    assert all(line.reason for line in taken.decisions)


def test_the_same_statement_twice_is_one() -> None:
    """A copy under another name adds nobody, and is not held against anybody."""
    taken = take([*GOOD, DecisionFile(file="copy", content=DBA.content)])
    assert reason(taken) == f"the same statement as {DBA.file}"
    assert taken.cleared


def test_what_a_known_person_signed_but_nobody_understands_blocks() -> None:
    """It may be a newer kind of rejection. The same bytes signed by a stranger block nothing."""
    content = b'{\n  "veto": true\n}\n'
    for key, cleared in ((PEOPLE["davi"], False), (MALLORY, True)):
        taken = take([*GOOD, DecisionFile(file="veto.signed", content=content + key.sign(content))])
        assert taken.cleared is cleared
    assert take([*GOOD]).cleared


def test_a_rejection_blocks() -> None:
    """One no from somebody who may approve is enough, and its reason is shown."""
    taken = take([*GOOD, make_file("carla", "reject", comment="wrong acquirer")])
    assert taken.blocks == ("step 6 (veto): rejected by carla: wrong acquirer",)
    assert reason(taken) == "blocks"


def test_a_deleted_rejection_still_blocks() -> None:
    """What once stood on the branch is not undone by deleting it."""
    taken = take([*GOOD, make_file("carla", "reject", at_tip=False)])
    assert not taken.cleared
    assert "deleted since, which changes nothing" in reason(taken)


def test_a_rejection_is_lifted_by_the_same_person_only() -> None:
    """Carla may change her mind; bruno cannot change it for her."""
    rejected = make_file("carla", "reject", age=90)
    assert take([*GOOD, rejected, make_file("carla", "approve", "dba", age=30)]).cleared
    assert take([*GOOD, rejected, make_file("carla", "revoke", age=30)]).cleared
    assert not take([*GOOD, rejected, make_file("bruno", "revoke", age=30)]).cleared


def test_a_rejection_after_an_approval_counts() -> None:
    """The latest decision stands; of two in the same second the negative one."""
    for age in (30, 60):
        assert not take([*GOOD, make_file("bruno", "reject", age=age)]).cleared


def test_an_expired_approval_does_not_lift_a_rejection() -> None:
    """What does not count changes nothing."""
    expired = make_file("carla", "approve", "dba", age=8_000)
    assert not take([*GOOD, make_file("carla", "reject", age=9_000), expired]).cleared


def test_only_those_with_a_veto_block() -> None:
    """By default everybody who may approve; else the groups that the environment names."""
    rejected = make_file("eva", "reject")
    rules = "rules: [{id: prod, require: {dba: 1}}]\n"
    assert take([SUBMIT, DBA, rejected], policy=make_policy(rules=rules)).cleared
    environments = ENVIRONMENTS.replace("    submit: [engineers]", "    submit: [engineers]\n    veto: [owners]")
    assert not take([SUBMIT, DBA, rejected], policy=make_policy(rules=rules, environments=environments)).cleared


def test_a_person_may_withdraw_an_approval() -> None:
    """Also by a withdrawal that somebody deleted."""
    for at_tip in (True, False):
        taken = take([*GOOD, make_file("bruno", "revoke", age=10, at_tip=at_tip)])
        assert reason(taken, 1) == "bruno decided again later: revoke"
        assert not taken.cleared


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (", valid_until: 2026-11-22T16:59:30Z", "the key ended at 2026-11-22 16:59Z"),
        (", revoked: 2026-12-01T00:00:00Z", "the key was revoked on 2026-12-01"),
    ],
)
def test_a_key_must_count_now(more: str, words: str) -> None:
    """Ended and revoked keys count for nothing, whatever date the statement bears."""
    policy = make_policy(who=people(more=more))
    taken = take([make_file("bruno", "approve", "dba", age=86_400, life=200_000)], policy=policy)
    assert words in reason(taken)


def test_a_key_must_have_counted_when_it_signed() -> None:
    """A statement dated before the key began was not made in good order."""
    policy = make_policy(who=people(since="2026-11-22T16:00:00Z"))
    taken = take([make_file("bruno", "approve", "dba", age=7_200, life=90_000)], policy=policy)
    assert reason(taken) == "when it was signed, the key is valid only from 2026-11-22 16:00Z on"


def test_a_security_key_must_be_touched() -> None:
    """Malware can make a plugged-in key sign; only touch shows a person."""
    key: SoftKey = security_key()
    keys = {name: other.line for name, other in PEOPLE.items()} | {"bruno": key.line}
    policy = make_policy(who=people(keys))
    assert take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", key=key)], policy=policy).cleared
    taken = take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", key=key, flags=0)], policy=policy)
    assert "without being touched" in reason(taken)


def test_a_key_can_owe_its_pin() -> None:
    """Whoever finds a plugged-in key and touches it does not know its PIN."""
    key = security_key()
    keys = {name: other.line for name, other in PEOPLE.items()} | {"bruno": key.line}
    who = people(keys).replace(f'"{key.line}"', f'"{key.line}", require: [touch, pin]')
    policy = make_policy(who=who)
    assert take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", key=key, flags=5)], policy=policy).cleared
    for flags, lacking in ((1, "without its PIN"), (4, "without being touched"), (0, "without being touched")):
        taken = take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", key=key, flags=flags)], policy=policy)
        assert lacking in reason(taken)
        assert not taken.cleared


def test_a_rule_can_ask_its_groups_for_security_keys() -> None:
    """An ordinary key, which malware can copy, approves nothing where a rule asks for touch and PIN."""
    key = security_key()
    keys = {name: other.line for name, other in PEOPLE.items()} | {"bruno": key.line}
    rules = "rules: [{id: all, require: {owners: 1}}, {id: hard, require: {dba: 1}, signed_with: [touch, pin]}]\n"
    policy = make_policy(who=people(keys), rules=rules)
    assert take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", key=key, flags=5)], policy=policy).cleared
    without = take([SUBMIT, OWNER, make_file("bruno", "approve", "dba", key=key)], policy=policy)
    ordinary = take([SUBMIT, OWNER, make_file("carla", "approve", "dba")], policy=policy)
    assert "without its PIN: the rule hard" in reason(without)
    assert "without being touched: the rule hard" in reason(ordinary)
    assert not without.cleared and not ordinary.cleared
    assert need(ordinary, "dba") == (0, 1, ("bruno",))


def test_an_approval_counts_for_one_run() -> None:
    """Statements that an earlier run used do not count again, unless the environment says so."""
    used = {decision.id for decision in judge([DBA])}
    taken = take(GOOD, consumed=used)
    assert "an earlier run used it" in reason(taken, 1)
    assert not taken.cleared
    environments = ENVIRONMENTS.replace("    submit: [engineers]", "    submit: [engineers]\n    single_use: false")
    assert take(GOOD, policy=make_policy(environments=environments), consumed=used).cleared


def test_an_approval_is_bound_to_its_dry_run() -> None:
    """Where a dry run is required an approval names one; where the target moved since, it is stale."""
    required = make_policy(environments=ENVIRONMENTS.replace("dry_run: optional", "dry_run: required"))
    assert "without a dry run" in reason(take(GOOD, policy=required), 1)
    seen: dict[str, Any] = {"dry_run_facts_sha256": "5b" * 32, "dry_run_report_sha256": "e1" * 32}
    bound = [SUBMIT, *(make_file(who, "approve", role, **seen) for who, role in (("bruno", "dba"), ("davi", "owners")))]
    assert take(bound, policy=required, facts_sha256="sha256:" + "5b" * 32, report_sha256="e1" * 32).cleared
    assert "in another state" in reason(take(bound, policy=required, facts_sha256="00" * 32, report_sha256="e1" * 32))
    assert "is not stored any more" in reason(take(bound, policy=required))
    assert "another dry run" in reason(take(bound, policy=required, report_sha256="00" * 32))


def test_a_submission_does_not_expire() -> None:
    """A plan does not become authorless by waiting for its approvers."""
    assert take([make_file("ana", "submit", age=900_000), DBA, OWNER]).cleared


def test_rules_of_today_judge_decisions_of_yesterday() -> None:
    """Tightening the policy applies to what is approved already."""
    stricter = RULES.replace("owners: 1", "owners: 1, security: 1")
    assert need(take(GOOD, policy=make_policy(rules=stricter)), "security") == (0, 1, ())
    assert "nobody left in the group" in take(GOOD, policy=make_policy(rules=stricter)).blocks[0]


def test_where_no_rule_matches_nothing_is_cleared() -> None:
    """Silence is a no."""
    taken = take(GOOD, policy=make_policy(rules="rules: []\n"))
    assert taken.blocks == ("step 4 (rules): no rule of the policy matches, and without a rule nothing runs",)


def test_a_rule_may_ask_for_nobody() -> None:
    """A sandbox needs no decision at all."""
    lock = make_lock(environment="sandbox")
    assert take([], lock=lock).cleared
    assert not take([make_file("bruno", "reject", lock=lock)], lock=lock).cleared


def test_every_approval_counts_for_the_moment_it_is_looked_at() -> None:
    """The same decisions are short an hour later."""
    assert take(GOOD, now=NOW + timedelta(minutes=58)).cleared
    assert not take(GOOD, now=NOW + timedelta(minutes=60)).cleared


def test_an_approval_does_not_outlive_its_policy() -> None:
    """Whoever approved saw who else must agree; under another version they have not, unless the environment keeps approvals."""
    policy = make_policy(policy_change="void")
    seen = [
        SUBMIT,
        make_file("bruno", "approve", "dba", policy_sha256=policy.sha256),
        make_file("davi", "approve", "owners", policy_sha256=policy.sha256),
    ]
    assert take(seen, policy=policy).cleared
    taken = take(GOOD, policy=policy)
    assert not taken.cleared
    assert [line.reason for line in taken.decisions][1:] == ["it was given under another version of the policy"] * 2
    assert take(GOOD, policy=make_policy(policy_change="keep")).cleared
