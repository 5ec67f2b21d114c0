"""Expectations judged over rows as PostgreSQL prints them."""

from __future__ import annotations

import pytest

from okto_change.execution.checks import compare, judge
from okto_change.model import Check, Expectation, ExpectCompare, ExpectEmpty, ExpectRows, Phase, Where


def check(expect: Expectation | None, phase: Phase = Phase.INSIDE) -> Check:
    """Return a check with this expectation."""
    return Check(
        name="c",
        phase=phase,
        target="t",
        source="c.sql",
        sql="SELECT 1",
        expect=expect,
        where=Where(file="changes/x/plan.yaml", line=1),
    )


@pytest.mark.parametrize(
    ("expect", "rows", "passed"),
    [
        (ExpectRows(rows=(("37",),)), [("37",)], True),
        (ExpectRows(rows=(("37",),)), [("37.00",)], True),
        (ExpectRows(rows=(("37",),)), [("36",)], False),
        (ExpectRows(rows=(("007",),)), [("7",)], False),
        (ExpectRows(rows=(("1000",),)), [("1_000",)], False),
        (ExpectRows(rows=(("1000",),)), [("1e+03",)], True),
        (ExpectRows(rows=(("7",),)), [("\u0667",)], False),
        (ExpectRows(rows=(("37",),)), [], False),
        (ExpectRows(rows=(("37",),)), [("37",), ("37",)], False),
        (ExpectRows(rows=(("37",),)), [("37", "x")], False),
        (ExpectRows(rows=((None,),)), [(None,)], True),
        (ExpectRows(rows=(("",),)), [(None,)], False),
        (ExpectRows(rows=(("true",),)), [("t",)], True),
        (ExpectRows(rows=(("NaN",),)), [("NaN",)], True),
        (ExpectRows(rows=(("a", "1"), ("b", "2"))), [("a", "1"), ("b", "2")], True),
        (ExpectRows(rows=(("a", "1"), ("b", "2"))), [("b", "2"), ("a", "1")], False),
        (ExpectEmpty(), [], True),
        (ExpectEmpty(), [(None,)], False),
        (ExpectCompare(tests=(("<", "0.01"),)), [("0.009",)], True),
        (ExpectCompare(tests=(("<", "0.01"),)), [("0.01",)], False),
        (ExpectCompare(tests=((">=", "30"), ("<=", "40"))), [("40",)], True),
        (ExpectCompare(tests=((">=", "30"), ("<=", "40"))), [("41",)], False),
        (ExpectCompare(tests=(("<", "5"),)), [(None,)], False),
        (ExpectCompare(tests=(("<", "5"),)), [("NaN",)], False),
        (ExpectCompare(tests=(("<", "5"),)), [("four",)], False),
        (ExpectCompare(tests=(("<", "5"),)), [], False),
        (ExpectCompare(tests=(("!=", "5"),)), [("4",)], True),
    ],
)
def test_a_result_meets_its_expectation_or_not(
    expect: Expectation, rows: list[tuple[str | None, ...]], passed: bool
) -> None:
    """NULL, NaN, nothing and too much never pass; numbers are compared as numbers, not as text."""
    assert judge(check(expect), rows).passed is passed


def test_an_invariant_ignores_the_order_of_rows() -> None:
    """Without ORDER BY the server may answer in any order; that is no difference."""
    before: list[tuple[str | None, ...]] = [("EUR", "0.00"), (None, "1"), ("BRL", None)]
    assert compare(check(None), before, list(reversed(before))).passed


def test_an_invariant_notices_a_lost_duplicate_and_a_null() -> None:
    """The comparison is of multisets: a row fewer, or NULL for empty text, is a difference."""
    assert not compare(check(None), [("a",), ("a",)], [("a",)]).passed
    assert not compare(check(None), [(None,)], [("",)]).passed


def test_a_long_result_is_shown_in_part() -> None:
    """The words of a verdict stay short."""
    rows = [(str(number), "x") for number in range(8)]
    assert judge(check(ExpectEmpty()), rows).found.endswith("(4, x) and 3 more")


def test_an_invariant_cannot_be_judged() -> None:
    """An invariant has nothing to expect; asking for it is our bug, not a pass."""
    with pytest.raises(ValueError, match="compared"):
        judge(check(None), [])
