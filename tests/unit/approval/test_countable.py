"""Before anybody signs: whether it would count, and with which key it would."""

from __future__ import annotations

from datetime import timedelta

import pytest

from okto_change.approval import policy as policies
from okto_change.approval.countable import ends_early
from okto_change.errors import NotAuthorised
from tests.unit.approval.helpers import NOW, PEOPLE, judge, make_lock, make_policy, people, security_key
from tests.unit.approval.test_clearing import GOOD, own_key

TOKEN = security_key()
TOUCHED = "rules: [{id: prod, require: {dba: 1}, signed_with: [touch, pin]}]\n"
PLAIN = make_policy(rules=TOUCHED)
ORDINARY = PEOPLE["bruno"].line
BOTH = make_policy(
    rules=TOUCHED,
    who=people().replace(
        f'{{key: "{ORDINARY}"',
        f'{{key: "{ORDINARY}"}}, {{key: "{TOKEN.line}"'.replace('"}', '", valid_from: 2026-01-01T00:00:00Z}'),
    ),
)


def test_an_ordinary_key_is_refused_where_a_rule_asks_for_a_touched_one() -> None:
    """It would be signed for nothing; the hint names the key that counts, or how to make one."""
    for policy, hint in ((PLAIN, "have it enrolled"), (BOTH, "bruno has one that would: SHA256:")):
        taken = policies.ballot(policy, make_lock(), judge(GOOD[:1], policy), NOW)
        with pytest.raises(NotAuthorised, match="the rule prod asks for a security key") as caught:
            policies.role(policy, taken, "bruno", own_key(policy, "bruno"), NOW)
        assert hint in str(caught.value.hint)


def test_a_security_key_is_taken_and_its_flags_are_looked_at() -> None:
    """Touched without its PIN is not enough where a rule asks for both."""
    taken = policies.ballot(BOTH, make_lock(), judge(GOOD[:1], BOTH), NOW)
    key = BOTH.people["bruno"].keys[1]
    assert policies.role(BOTH, taken, "bruno", key, NOW) == "dba"
    assert policies.unproven(BOTH, taken, "dba", key, ("touch", "pin")) is None
    assert policies.unproven(BOTH, taken, "dba", key, ("touch",)) == "without its PIN, which the rule prod asks for"
    assert policies.unproven(BOTH, taken, "", key, ()) == "without being touched"
    assert policies.unproven(BOTH, taken, "", key, ("touch",)) is None


def test_only_who_may_submit_does() -> None:
    """Others are told who may."""
    policy = make_policy()
    policies.demand_submitter(policy, policy.environment("prod"), "ana")
    policies.demand_submitter(policy, policy.environment("staging"), "bruno")
    with pytest.raises(NotAuthorised, match="bruno is in none of engineers") as caught:
        policies.demand_submitter(policy, policy.environment("prod"), "bruno")
    assert caught.value.hint == "who may: ana, eva"


def test_a_key_that_ends_before_the_approval_is_told() -> None:
    """What it signed falls away with it."""
    key = own_key(make_policy(who=people(more=", valid_until: 2026-11-23T17:00:00Z")), "bruno")
    assert "ends at 2026-11-23 17:00Z" in str(ends_early(key, NOW + timedelta(days=3)))
    assert ends_early(key, NOW + timedelta(hours=3)) is None


def test_submitting_takes_its_own_block_away() -> None:
    """Whoever submits is not told that nobody has; other blocks stay."""
    policy = make_policy()
    taken = policies.ballot(policy, make_lock(), (), NOW)
    assert any("nobody who may submit" in line for line in taken.blocks)
    after = policies.settled_by_submitting(taken)
    assert after.blocks == tuple(line for line in taken.blocks if "submit" not in line)
    assert after.blocks
