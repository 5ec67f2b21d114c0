"""What a change of the policy means for people, and its keys for ssh-keygen."""

from __future__ import annotations

from okto_change.approval import effects, signers
from tests.unit.approval.helpers import GROUPS, PEOPLE, RULES, make_policy, people


def test_the_same_policy_has_no_effect() -> None:
    """And what only looks different has none either."""
    policy = make_policy()
    assert effects.describe_effect(policy, make_policy(rules=RULES.replace("id: staging", "id: other"))) == ()


def test_who_could_approve_what_is_told_before_and_after() -> None:
    """Only where it differs, with the people's names."""
    new = make_policy(groups=GROUPS.replace("[bruno, carla]", "[bruno, carla, eva]"))
    lines = effects.describe_effect(make_policy(), new)
    assert "staging, low risk: 1 of dba (bruno, carla) -> 1 of dba (bruno, carla, eva)" in lines
    assert not any(line.startswith("sandbox") for line in lines)
    assert "prod, run by: ana, bruno, carla, eva -> ana, bruno, carla, eva" not in lines


def test_a_rule_that_goes_is_told() -> None:
    """What needs nobody from now on stands out."""
    free = RULES.replace("require: {dba: 1}", "require: {}")
    lines = effects.describe_effect(make_policy(), make_policy(rules=free))
    assert "staging, high risk: 1 of dba (bruno, carla) -> needs nobody" in lines
    gone = RULES.replace("  - {id: staging, when: {env: [staging]}, require: {dba: 1}}\n", "")
    lines = effects.describe_effect(make_policy(), make_policy(rules=gone))
    assert "staging, high risk: 1 of dba (bruno, carla) -> cannot run: no rule matches" in lines


def test_rules_for_something_special_are_told_apart() -> None:
    """By risk and by what they are for."""
    more = RULES + '  - {id: money, when: {objects: ["ledger.*"], risk: [high]}, require: {security: 1}}\n'
    lines = effects.describe_effect(make_policy(), make_policy(rules=more))
    assert "staging, high risk, ledger.*: 1 of dba (bruno, carla) and 1 of security (davi)" in lines


def test_a_first_policy_is_told_whole() -> None:
    """There is nothing to compare it with."""
    assert "sandbox, low risk: needs nobody" in effects.describe_effect(None, make_policy())


def test_dead_ends_are_found() -> None:
    """Too few people at all, too few besides the author, and one person who would have to fill two seats."""
    assert effects.dead_ends(make_policy()) == ()
    many = effects.dead_ends(make_policy(rules=RULES.replace("dba: 1", "dba: 3")))
    assert "staging, low risk: nobody can approve it, there are too few people in dba" in many
    single = make_policy(groups=GROUPS.replace("[bruno, carla]", "[eva]").replace("[carla, davi, eva]", "[eva]"))
    assert any(line.startswith("prod, low risk: nobody can approve it") for line in effects.dead_ends(single))
    author = make_policy(groups=GROUPS.replace("[bruno, carla]", "[ana]"))
    assert "prod, low risk: what ana wrote cannot be approved, too few others are in dba, owners" in effects.dead_ends(
        author
    )


def test_allowed_signers_has_one_line_a_key_in_utc() -> None:
    """A revoked key is named, not listed."""
    until = ", valid_until: 2027-01-01T00:00:00Z"
    text = signers.allowed_signers(make_policy(who=people(more=until)))
    line = PEOPLE["ana"].line.rsplit(" ", 1)[0]
    spaces = 'namespaces="decision@okto-change,policy@okto-change,dry-run@okto-change"'
    options = f'{spaces},valid-after="20260101000000Z",valid-before="20270101000000Z"'
    assert f"\nana {options} {line}\n" in text
    revoked = signers.allowed_signers(make_policy(who=people(more=", revoked: 2026-11-03T09:00:00Z")))
    assert "was revoked on 2026-11-03" in revoked
    assert not any(line and not line.startswith("#") for line in revoked.splitlines())
