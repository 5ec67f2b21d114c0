"""The first policy that ``init`` writes, the lines that enrol a person, and what changed between two policies."""

from __future__ import annotations

import pytest

from okto_change.approval.policy import describe_change, read, template
from okto_change.approval.template import snippet
from tests.unit.approval.helpers import ENVIRONMENTS, GROUPS, NOW, PEOPLE, REPO, RULES, make_policy, people


def test_the_template_is_a_valid_policy() -> None:
    """A sandbox that asks for nothing, a production that asks for a second person."""
    text = template(repo=REPO, person="ana", key=PEOPLE["ana"].line, email="ana@example.org", now=NOW)
    policy = read(text.encode(), ".okto-change/policy/0001.yaml")
    assert set(policy.environments) == {"sandbox", "production"}
    assert policy.people["ana"].emails == ("ana@example.org",)
    assert policy.people["ana"].keys[0].fault(NOW) is None
    assert [dict(rule.require) for rule in policy.rules] == [{}, {"approvers": 1}, {"approvers": 2}]
    assert max(map(len, text.replace(PEOPLE["ana"].line, "").splitlines())) <= 200


def test_the_template_without_a_sandbox_is_valid_too() -> None:
    """Some repositories have no place to play."""
    text = template(repo=REPO, person="ana", key=PEOPLE["ana"].line, sandbox=False, protected_ref="refs/heads/trunk")
    policy = read(text.encode(), "policy.yaml")
    assert set(policy.environments) == {"production"}
    assert policy.protected_ref == "refs/heads/trunk"


def test_enrolling_with_a_bad_key_is_refused() -> None:
    """What a policy could not name is not offered for pasting."""
    with pytest.raises(ValueError, match=r"expected '<type> <base64>"):
        snippet(person="zoe", key="no key")


def test_equal_policies_have_no_differences() -> None:
    """Comments and layout are no change."""
    assert describe_change(make_policy(), make_policy(head="# a comment\n")) == ()


def test_differences_are_told_in_words() -> None:
    """People, groups, environments and rules, each where it changed."""
    new = make_policy(
        who=people(more=", revoked: 2026-11-03T09:00:00Z"),
        groups=GROUPS.replace("[bruno, carla]", "[bruno, davi]").replace("  security: [davi]\n", ""),
        environments=ENVIRONMENTS.replace("submit: [engineers]", "submit: [dba]").replace("pay-prod", "pay-prod-2"),
        rules=RULES.replace("owners: 1", "owners: 2") + "  - {id: more, require: {dba: 1}}\n",
    )
    found = describe_change(make_policy(), new)
    assert "group dba: davi joined" in found
    assert "group dba: carla left" in found
    assert "group security: removed" in found
    assert "environment prod: submit: engineers -> dba" in found
    assert "rule prod: require: dba: 1, owners: 1 -> dba: 1, owners: 2" in found
    assert "rule more: added" in found
    assert any(line.startswith("environment prod: targets: ") and "pay-prod-2" in line for line in found)
    assert sum(line.endswith("revoked: none -> 2026-11-03 09:00:00+00:00") for line in found) == len(PEOPLE)


def test_people_who_come_and_go_are_named() -> None:
    """A new person and one who left."""
    keys = {name: key.line for name, key in PEOPLE.items()}
    old = make_policy(who=people({name: line for name, line in keys.items()}))
    keys["zoe"] = keys.pop("eva")
    new = make_policy(who=people(keys), groups=GROUPS.replace("eva", "zoe"))
    assert set(describe_change(old, new)) >= {"person eva: removed", "person zoe: added", "group owners: zoe joined"}
