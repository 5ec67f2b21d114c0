"""A lock as the units that run: consecutive SQL steps on one target are one transaction, an edit is one file swap. Pure.

Steps with an undo script, steps with images and steps whose definitions are taken back do not share a unit: each unit
has one way back. A step with ``batch:`` is a unit of its own, and a transaction for each of its chunks.

Preview, rehearsal, apply and undo walk the same tuple. ``before`` checks belong to the first unit of their target,
``inside`` checks to the last, invariants to every unit of their target.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from okto_change.model import (
    AutoUndo,
    Batch,
    Check,
    EditStep,
    Irreversible,
    Lock,
    Phase,
    RowBound,
    ScriptUndo,
    SqlStep,
    Statement,
    StatementKind,
    Step,
    Timeouts,
)
from okto_change.model.base import type_


@type_
class SqlUnit:
    """Steps that commit together on ``target``. ``number`` counts from 1 over the whole plan."""

    number: int
    target: str
    steps: tuple[SqlStep, ...]
    statements: tuple[Statement, ...]
    before: tuple[Check, ...]
    inside: tuple[Check, ...]
    invariants: tuple[Check, ...]
    each_chunk: tuple[Check, ...] = ()
    """invariants of a batch that are compared around each of its chunks"""
    chunk: int | None = None
    """the chunk of a batch that this is, counted from 1; None for a whole unit"""

    @property
    def key(self) -> str:
        """What its images are kept under."""
        return str(self.number) if self.chunk is None else f"{self.number}/{self.chunk}"

    @property
    def batch(self) -> Batch | None:
        """How the unit is run in chunks, None if it is one transaction."""
        return self.steps[0].batch

    @property
    def name(self) -> str:
        """The steps' names, for messages."""
        return ", ".join(step.name for step in self.steps)

    @property
    def irreversible(self) -> str | None:
        """The declared reason why this unit cannot be undone, None if it can."""
        reasons = [step.undo.reason for step in self.steps if isinstance(step.undo, Irreversible)]
        return "; ".join(reasons) or None

    @property
    def touches(self) -> frozenset[str] | None:
        """Every declared table of the steps, None as soon as one step declares nothing."""
        declared = [step.touches for step in self.steps]
        return None if None in declared else frozenset(name for names in declared for name in names or ())

    @property
    def scripts(self) -> tuple[ScriptUndo, ...]:
        """The undo scripts in the order in which they run, last step first; () when images are put back."""
        return tuple(step.undo for step in reversed(self.steps) if isinstance(step.undo, ScriptUndo))

    @property
    def definitions(self) -> bool:
        """Whether the way back is an inverse of its DDL, found when it runs."""
        return any(isinstance(step.undo, AutoUndo) and _has_ddl(self.of(step)) for step in self.steps)

    @property
    def temporary(self) -> bool:
        """Whether statements make or drop temporary objects, which write the catalogue like any other."""
        return any(statement.kind is StatementKind.TEMPORARY for statement in self.statements)

    def timeouts(self) -> Timeouts:
        """The limits that the transaction starts with: the largest of its steps'."""
        return Timeouts(
            lock=max(step.timeouts.lock for step in self.steps),
            statement=max(step.timeouts.statement for step in self.steps),
        )

    def of(self, step: SqlStep) -> tuple[Statement, ...]:
        """The statements of one step, in order."""
        return tuple(statement for statement in self.statements if statement.step == step.name)


@type_
class EditUnit:
    """One config edit."""

    number: int
    target: str
    step: EditStep

    @property
    def name(self) -> str:
        """The step's name."""
        return self.step.name

    @property
    def irreversible(self) -> str | None:
        """The declared reason why this edit cannot be undone, None if it can."""
        return self.step.undo.reason if isinstance(self.step.undo, Irreversible) else None


Unit = SqlUnit | EditUnit


def chunk(unit: SqlUnit, number: int) -> SqlUnit:
    """Return one chunk of a batch as a unit of its own; bounds and checks of the whole are not its business."""
    steps = tuple(replace(step, rows=None) for step in unit.steps)
    return replace(unit, steps=steps, before=(), inside=(), invariants=unit.each_chunk, each_chunk=(), chunk=number)


def build(lock: Lock) -> tuple[Unit, ...]:
    """Return the units of ``lock`` in written order."""
    groups = [tuple(group) for _, group in groupby(lock.steps, key=lambda step: _transaction(lock, step))]
    targets = [steps[0].target for steps in groups]
    units: list[Unit] = []
    for number, steps in enumerate(groups, 1):
        first = steps[0]
        if isinstance(first, EditStep):
            units.append(EditUnit(number=number, target=first.target, step=first))
        else:
            earlier, later = first.target in targets[: number - 1], first.target in targets[number:]
            units.append(_sql_unit(lock, number, steps, opens=not earlier, closes=not later))
    return tuple(units)


def _transaction(lock: Lock, step: Step) -> tuple[str, str, str]:
    """What steps must have in common to run in one transaction: the place, and the way back."""
    if isinstance(step, EditStep):
        return "edit", step.name, ""
    if step.batch is not None:
        return "batch", step.name, ""
    if isinstance(step.undo, ScriptUndo):
        return "sql", step.target, "script"
    ddl = isinstance(step.undo, AutoUndo) and _has_ddl(s for s in lock.statements if s.step == step.name)
    return "sql", step.target, "inverse" if ddl else "images"


def _has_ddl(statements: Iterable[Statement]) -> bool:
    return any(statement.kind is StatementKind.DDL for statement in statements)


def _sql_unit(lock: Lock, number: int, steps: tuple[Step, ...], *, opens: bool, closes: bool) -> SqlUnit:
    names = {step.name for step in steps}
    target = steps[0].target
    checks = {phase: _checks(lock, phase, target) for phase in Phase}
    return SqlUnit(
        number=number,
        target=target,
        steps=tuple(step for step in steps if isinstance(step, SqlStep)),
        statements=tuple(statement for statement in lock.statements if statement.step in names),
        before=checks[Phase.BEFORE] if opens else (),
        inside=checks[Phase.INSIDE] if closes else (),
        invariants=tuple(check for check in checks[Phase.INVARIANT] if not check.each_chunk),
        each_chunk=tuple(check for check in checks[Phase.INVARIANT] if check.each_chunk),
    )


def _checks(lock: Lock, phase: Phase, target: str) -> tuple[Check, ...]:
    return tuple(check for check in lock.checks if check.phase is phase and check.target == target)


def bounds(step: SqlStep, statements: tuple[Statement, ...]) -> tuple[RowBound | None, ...]:
    """Pair every statement with its row bound: one bound for each row-writing statement, in order; None without one."""
    writing = [statement for statement in statements if statement.kind.writes_rows]
    if step.rows is None or len(step.rows) != len(writing):
        return (None,) * len(statements)
    pending = iter(step.rows)
    return tuple(next(pending) if statement.kind.writes_rows else None for statement in statements)
