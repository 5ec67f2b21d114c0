"""Does a query's result meet its expectation? Pure: results arrive as text, as PostgreSQL prints them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from okto_change.masking import HIDDEN
from okto_change.model import Check, CheckResult, Expectation, ExpectCompare, ExpectEmpty, ExpectRows, Phase

Rows = Sequence[Sequence[str | None]]
Found = tuple[Rows, frozenset[int]]
"""rows, and the places of columns whose values must not be shown"""

COMPARISONS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}
SHOWN_ROWS = 5
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[-+]?[0-9]+)?|-?Infinity|NaN", re.ASCII | re.IGNORECASE)
"""a number as PostgreSQL prints one: ``007`` and ``1_000`` are texts, which Decimal would read"""
BOOLEANS = {"true": "t", "false": "f"}


def judge(check: Check, rows: Rows, hidden: frozenset[int] = frozenset()) -> CheckResult:
    """Return the verdict of ``check`` over the rows that its query returned; ``hidden`` columns are judged, not shown."""
    expect = check.expect
    if expect is None:
        raise ValueError(f"invariant {check.name!r} is compared, not judged")
    return CheckResult(
        name=check.name,
        phase=check.phase,
        passed=_meets(expect, rows),
        expected=describe(expect),
        found=show(rows, hidden),
    )


def compare(check: Check, before: Rows, after: Rows, hidden: frozenset[int] = frozenset()) -> CheckResult:
    """Return the verdict of an invariant: the rows, in any order, must be the same before and after."""
    same = sorted(map(_sortable, before)) == sorted(map(_sortable, after))
    expected, found = show(before, hidden), show(after, hidden)
    return CheckResult(name=check.name, phase=Phase.INVARIANT, passed=same, expected=expected, found=found)


def describe(expect: Expectation) -> str:
    """Say an expectation in a few words."""
    match expect:
        case ExpectEmpty():
            return "no rows"
        case ExpectCompare(tests=tests):
            return " and ".join(f"{sign} {number}" for sign, number in tests)
        case ExpectRows(rows=rows):
            return show(rows)


def show(rows: Rows, hidden: frozenset[int] = frozenset()) -> str:
    """Say a result in a few words: a single value bare, more as tuples, at most five of them; none of ``hidden``."""
    rows = [[HIDDEN if place in hidden and v is not None else v for place, v in enumerate(row)] for row in rows]
    if not rows:
        return "no rows"
    if len(rows) == 1 and len(rows[0]) == 1:
        return _value(rows[0][0])
    shown = ", ".join("(" + ", ".join(map(_value, row)) + ")" for row in rows[:SHOWN_ROWS])
    more = len(rows) - SHOWN_ROWS
    return shown if more <= 0 else f"{shown} and {more} more"


def _meets(expect: Expectation, rows: Rows) -> bool:
    match expect:
        case ExpectEmpty():
            return not rows
        case ExpectCompare(tests=tests):
            return len(rows) == 1 and len(rows[0]) == 1 and _satisfies(rows[0][0], tests)
        case ExpectRows(rows=expected):
            return len(rows) == len(expected) and all(
                len(row) == len(wanted) and all(map(_equal, row, wanted))
                for row, wanted in zip(rows, expected, strict=True)
            )


def _satisfies(value: str | None, tests: Sequence[tuple[str, str]]) -> bool:
    number = _number(value)
    if number is None or number.is_nan():
        return False
    return all(COMPARISONS[sign](number, Decimal(wanted)) for sign, wanted in tests)


def _equal(found: str | None, wanted: str | None) -> bool:
    if found is None or wanted is None or found == wanted:
        return found == wanted
    if wanted in BOOLEANS and found == BOOLEANS[wanted]:
        return True
    first, second = _number(found), _number(wanted)
    return first is not None and second is not None and first == second


def _number(text: str | None) -> Decimal | None:
    return Decimal(text) if text is not None and NUMBER.fullmatch(text) else None


def _sortable(row: Sequence[str | None]) -> tuple[tuple[bool, str], ...]:
    return tuple((value is None, value or "") for value in row)


def _value(value: str | None) -> str:
    return "NULL" if value is None else value
