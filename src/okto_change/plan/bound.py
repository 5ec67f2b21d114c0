"""What a template sees of a parameter: a value to put out, compare and go through, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from jinja2 import TemplateError

from okto_change.plan.literals import literal
from okto_change.plan.types import SqlType

MOST_TURNS = 200_000
"""turns that all loops of one template may take together"""

_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric"})


class Refused(TemplateError):
    """The template does what no template may; the message says what to do instead."""


class Budget:
    """Counts the turns of loops of one rendering."""

    def __init__(self) -> None:
        self._left = MOST_TURNS

    def turn(self) -> None:
        """Take one turn; raises Refused when there are none left."""
        self._left -= 1
        if self._left < 0:
            raise Refused(f"the loops take more than {MOST_TURNS} turns")


class Value:
    """A parameter inside a template: can be put out, compared, and gone through if it is an array. Nothing else."""

    __slots__ = ("_budget", "_sql", "kind", "value")

    def __init__(self, kind: SqlType, value: Any, budget: Budget) -> None:
        self.kind = kind
        self.value = value
        self._budget = budget
        self._sql: str | None = None

    def sql(self) -> str:
        """Return the value as a literal; raises ValueError when it is none of its type."""
        if self._sql is None:
            self._sql = literal(self.kind, self.value)
        return self._sql

    def __iter__(self) -> Iterator[Value]:
        for item in self._items():
            self._budget.turn()
            yield self._item(item)

    def __len__(self) -> int:
        return len(self._items())

    def __getitem__(self, index: object) -> Value:
        if not isinstance(index, int) or not -len(self) <= index < len(self):
            raise Refused(f"the list has no item {index!r}")
        return self._item(self._items()[index])

    def __bool__(self) -> bool:
        if self.value is None or self.kind.array:
            return bool(self.value)
        if self.kind.family != "boolean":
            raise Refused("only a boolean or a list is true or false by itself; compare the value with something")
        return bool(self.value == "true")

    def __eq__(self, other: object) -> bool:
        mine, theirs = self._comparable(other)
        return bool(mine == theirs)

    def __lt__(self, other: object) -> bool:
        return self._order(other) < 0

    def __le__(self, other: object) -> bool:
        return self._order(other) <= 0

    def __gt__(self, other: object) -> bool:
        return self._order(other) > 0

    def __ge__(self, other: object) -> bool:
        return self._order(other) >= 0

    def __hash__(self) -> int:
        return hash(self.value)

    def _items(self) -> tuple[Any, ...]:
        if not isinstance(self.value, tuple):
            raise Refused(f"a value of type {self.kind.cast} is no list to go through")
        return self.value

    def _item(self, item: Any) -> Value:
        return Value(self.kind if isinstance(item, tuple) else self.kind.element, item, self._budget)

    def _comparable(self, other: object) -> tuple[Any, Any]:
        theirs = other.value if isinstance(other, Value) else other
        if self.kind.family in _NUMBERS and not self.kind.array:
            return _number(self.value), _number(theirs)
        if isinstance(theirs, bool):
            return self.value, str(theirs).lower()
        if isinstance(theirs, int):
            raise Refused(f"a value of type {self.kind.cast} is compared with the number {theirs}")
        return self.value, theirs

    def _order(self, other: object) -> int:
        mine, theirs = self._comparable(other)
        if not isinstance(mine, Decimal) or not isinstance(theirs, Decimal) or mine.is_nan() or theirs.is_nan():
            raise Refused("only numbers have an order here; compare dates and text in the SQL")
        return (mine > theirs) - (mine < theirs)


def _number(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    try:
        return Decimal(value)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise Refused(f"a number is compared with {value!r}") from error
