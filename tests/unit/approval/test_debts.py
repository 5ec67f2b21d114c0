"""What is owed for a broken glass, and whose review settles it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from okto_change.approval.debts import debts, describe, overdue
from okto_change.approval.decisions import DecisionFile
from okto_change.model import ReviewDebt
from tests.unit.approval.helpers import ENVIRONMENTS, NOW, judge, make_file, make_lock, make_policy, people

GLASS = "    break_glass: {execute: [engineers], review: {require: {dba: 1, owners: 1}, within: 1h}}\n"
POLICY = make_policy(environments=ENVIRONMENTS.replace("  prod:\n", f"  prod:\n{GLASS}"))
BROKEN = make_file("ana", "break-glass", incident="INC-42", comment="payments are down", age=600)
ABOUT = judge([BROKEN])[0].id


def review(who: str, role: str, **fields: Any) -> DecisionFile:
    """Return a review of the broken glass."""
    return make_file(who, "review", role, **({"about": ABOUT, "of": "ana", "comment": "seen"} | fields))


def owed(*files: DecisionFile, policy: Any = POLICY) -> list[ReviewDebt]:
    """Return what these files leave owed."""
    glass = POLICY.environment("prod").break_glass
    assert glass is not None
    return debts(policy, glass, "fix-settlements", "prod", judge([BROKEN, *files], policy))


def test_it_is_owed_until_each_group_has_looked_at_it() -> None:
    """By when, and who can, is told."""
    (debt,) = owed(review("bruno", "dba"))
    assert not debt.settled
    assert debt.due == NOW + timedelta(seconds=3000)
    assert describe(debt, NOW) == (
        "fix-settlements: the review of the glass that ana broke for INC-42 is due by 2026-11-22 17:50Z: "
        "owners: 1 more (carla or davi or eva)"
    )
    assert overdue([debt], debt.due - timedelta(seconds=1)) == ()
    assert "is overdue since" in overdue([debt], debt.due)[0]
    (settled,) = owed(review("bruno", "dba"), review("davi", "owners"))
    assert settled.settled and overdue([settled], debt.due) == ()


@pytest.mark.parametrize(
    "file",
    [
        review("ana", "dba"),
        review("bruno", "owners"),
        review("bruno", "dba", about="ab" * 32),
        review("bruno", "dba", at_tip=False),
        review("bruno", "dba", age=900),
        review("bruno", "dba", lock=make_lock(environment="staging")),
        review("davi", "security"),
    ],
    ids=["own", "another group", "another glass", "deleted", "before it broke", "elsewhere", "not asked"],
)
def test_nothing_else_settles_it(file: DecisionFile) -> None:
    """Not one's own review, nor one for another group, glass or place, nor one that was deleted."""
    assert [need.have for need in owed(file)[0].needs] == [0, 0]


def test_whoever_submitted_it_is_no_reviewer() -> None:
    """Eva is an owner, but it is her change."""
    (debt,) = owed(make_file("eva", "submit"), review("eva", "owners"))
    assert [need.have for need in debt.needs] == [0, 0]
    assert debt.needs[1].candidates == ("carla", "davi")


def test_one_person_reviews_in_one_group_and_may_take_it_back() -> None:
    """Carla is dba and owner; her latest word counts."""
    both = owed(review("carla", "dba", age=50), review("carla", "owners", age=40))
    assert [need.have for need in both[0].needs] == [0, 1]
    assert [
        need.have for need in owed(review("carla", "dba", age=50), make_file("carla", "revoke", age=40))[0].needs
    ] == [0, 0]


def test_a_review_outlives_the_reviewer_s_key_and_a_deletion_of_the_glass_settles_nothing() -> None:
    """What was looked at stays looked at; what was broken stays broken."""
    ended = make_policy(
        environments=ENVIRONMENTS.replace("  prod:\n", f"  prod:\n{GLASS}"),
        who=people(more=", valid_until: 2026-11-22T16:59:30Z"),
    )
    assert owed(review("bruno", "dba"), policy=ended)[0].needs[0].met
    glass = POLICY.environment("prod").break_glass
    assert glass is not None
    gone = make_file("ana", "break-glass", incident="INC-1", comment="x", at_tip=False)
    assert debts(POLICY, glass, "fix-settlements", "prod", judge([gone]))


def test_whoever_may_not_break_the_glass_owes_nothing() -> None:
    """A statement of anybody's would otherwise stop every run."""
    glass = POLICY.environment("prod").break_glass
    assert glass is not None
    stray = make_file("bruno", "break-glass", incident="INC-1", comment="x")
    assert debts(POLICY, glass, "fix-settlements", "prod", judge([stray])) == []
