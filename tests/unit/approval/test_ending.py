"""What ends soon is told; what was replaced in time is not."""

from __future__ import annotations

from datetime import timedelta

from okto_change.approval.ending import ending
from tests.unit.approval.helpers import NOW, PEOPLE, make_policy, people, security_key


def moment(days: int) -> str:
    """Return a moment so many days from NOW, as a policy writes it."""
    return f"{NOW + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def told(days: int, more: str = "") -> tuple[str, ...]:
    """Return what is told where everybody's keys end in so many days, ana having another key with ``more``."""
    key = f'{{key: "{PEOPLE["ana"].line}", valid_from: 2026-01-01T00:00:00Z, valid_until: {moment(days)}}}'
    other = f'{{key: "{security_key().line}", valid_from: 2026-01-01T00:00:00Z{more}}}'
    who = people(more=f", valid_until: {moment(days)}")
    assert key in who
    return ending(make_policy(who=who.replace(key, f"{key}, {other}") if more else who), NOW)


def test_the_last_key_of_a_person_is_told_thirty_days_before_its_end() -> None:
    assert told(31) == ()
    assert len(told(29)) == len(PEOPLE)
    assert told(29)[0].startswith("the last key of ana ends at ")


def test_a_key_that_goes_on_makes_up_for_one_that_ends() -> None:
    assert not any("ana" in line for line in told(29, f", valid_until: {moment(90)}"))
    assert any("ana" in line for line in told(29, f", valid_until: {moment(10)}"))
    assert any("ana" in line for line in told(29, ", revoked: 2026-02-01T00:00:00Z"))


def test_the_policy_s_end_is_told_before_and_after() -> None:
    for days, word in ((29, "ends"), (-1, "expired")):
        policy = make_policy(rules=f"expires: {moment(days)}\nrules: [{{id: all, require: {{}}}}]\n")
        assert ending(policy, NOW)[0].startswith(f"the policy {word} at ")
    assert ending(make_policy(rules=f"expires: {moment(31)}\nrules: [{{id: all, require: {{}}}}]\n"), NOW) == ()
