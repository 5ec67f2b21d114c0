"""A folder under ``changes/``, parsed: parameters, steps, checks."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from okto_change.model.base import Where, type_


@type_
class Parameter:
    """A typed value of the plan; ``value`` is text as written, ``None`` for NULL, a tuple for arrays."""

    name: str
    type: str
    value: Any
    where: Where


@type_
class RowBound:
    """How many rows a statement may change, both ends inclusive; ``maximum`` None is unbounded."""

    minimum: int
    maximum: int | None

    def __contains__(self, rows: int) -> bool:
        return self.minimum <= rows and (self.maximum is None or rows <= self.maximum)

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            return str(self.minimum)
        return f"{self.minimum} to {'any number' if self.maximum is None else self.maximum}"


@type_
class AutoUndo:
    """Put the captured images back (SQL), or set the keys back (edit)."""


@type_
class ScriptUndo:
    """Run the author's own script; ``sql`` is template text until rendered."""

    source: str
    sql: str


@type_
class Irreversible:
    """The author says that this step cannot be undone, and why; the approver signs that line."""

    reason: str


Undo = AutoUndo | ScriptUndo | Irreversible


@type_
class Timeouts:
    """Limits of a step's transaction, in milliseconds (``lock_timeout``, ``statement_timeout``)."""

    lock: int = 2_000
    statement: int = 30_000


@type_
class Batch:
    """A large fix in chunks by ranges of a key; ``max_lag`` and ``pause`` in milliseconds.

    ``type`` is the key's type as SQL names it; a chunk has ``size`` rows of ``table``, whatever the statements pick of them.
    """

    table: str
    key: str
    size: int
    type: str = "bigint"
    max_lag: int | None = None
    pause: int = 0


@type_
class SqlStep:
    """One SQL file or inline statement against one target. ``sql`` is template text until the plan is rendered."""

    name: str
    target: str
    source: str
    sql: str
    rows: tuple[RowBound, ...] | None
    touches: tuple[str, ...] | None
    undo: Undo
    batch: Batch | None
    timeouts: Timeouts
    where: Where


@type_
class EditStep:
    """Keys set and removed by path in one config file. A path is a tuple of keys; values are JSON values."""

    name: str
    target: str
    file: str
    set: tuple[tuple[tuple[str, ...], Any], ...]
    remove: tuple[tuple[str, ...], ...]
    validate: str | None
    undo: Undo
    where: Where


Step = SqlStep | EditStep


class Phase(StrEnum):
    """When a check runs, relative to the transaction of the change."""

    BEFORE = "before"
    INSIDE = "inside"
    INVARIANT = "invariant"
    AFTER = "after"


@type_
class ExpectRows:
    """The result must be exactly these rows, in order; values are text as PostgreSQL prints them, None is NULL."""

    rows: tuple[tuple[str | None, ...], ...]


@type_
class ExpectEmpty:
    """The result must have no rows."""


@type_
class ExpectCompare:
    """The single value must satisfy every ``(operator, number)``; operators ``< <= > >= = !=``."""

    tests: tuple[tuple[str, str], ...]


Expectation = ExpectRows | ExpectEmpty | ExpectCompare


@type_
class Check:
    """A query with its expected result. An invariant has no ``expect``: its result must be the same before and after.

    ``each_chunk`` invariants are compared around every chunk of a batch instead of around the whole.
    """

    name: str
    phase: Phase
    target: str
    source: str
    sql: str
    expect: Expectation | None
    where: Where
    each_chunk: bool = False


class Risk(StrEnum):
    """Risk of a change. A plan may raise what analysis computes, never lower it."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """0 for low, 1 for medium, 2 for high."""
        return ("low", "medium", "high").index(self.value)


@type_
class ChangePlan:
    """A folder under ``changes/``, parsed. ``environment`` is None until it was rendered for one."""

    change: str
    title: str
    reason: str
    incident: str | None
    author: str
    risk: Risk | None
    parameters: tuple[Parameter, ...]
    per_environment: Mapping[str, tuple[Parameter, ...]]
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    environment: str | None = None
