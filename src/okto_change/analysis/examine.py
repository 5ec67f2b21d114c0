"""A rendered plan -> its Analysis: split, read, judge by every rule, weigh the risk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from okto_change.analysis.definitions import instead
from okto_change.analysis.reading import read
from okto_change.analysis.risk import assess
from okto_change.analysis.rules import RULES, Scope
from okto_change.analysis.split import split
from okto_change.analysis.subject import Context, Reading, Subject
from okto_change.analysis.temporary import marked
from okto_change.errors import PlanError
from okto_change.model import (
    ANYTHING,
    Analysis,
    AutoUndo,
    ChangePlan,
    Check,
    Finding,
    Found,
    ScriptUndo,
    Severity,
    SqlStep,
    Statement,
    StatementKind,
    Where,
)

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


def examine(plan: ChangePlan, found: Found | None, *, demand_rows: bool, demand_touches: bool) -> Analysis:
    """Return statements, findings and risk of a rendered plan. Raises PlanError when a file cannot be split."""
    parts = _Parts(plan, found)
    context = Context(
        plan=plan,
        found=found,
        demand_rows=demand_rows,
        demand_touches=demand_touches,
        readings=tuple(parts.all()),
    )
    findings = tuple(sorted(_judge(context, parts), key=lambda finding: _ORDER.index(finding.severity)))
    risk, reasons = assess(plan, context.readings, findings)
    forward = [reading for reading in context.readings if not reading.script]
    return Analysis(
        statements=tuple(reading.statement for reading in forward),
        findings=findings,
        risk=risk,
        risk_reasons=reasons,
        objects=tuple(sorted({name for reading in context.readings for name in _objects(reading)})),
    )


def look_up(plan: ChangePlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of tables and functions that the catalogue should be asked for. Raises PlanError."""
    parts = _Parts(plan, None)
    readings = [*parts.all(), *chain.from_iterable(parts.checks)]
    tables = {name for reading in readings for name in (*reading.statement.reads, *reading.statement.writes)}
    tables.update(name for step in parts.steps for name in step.touches or ())
    tables.update(step.batch.table for step in parts.steps if step.batch)
    functions = {name for reading in readings for name in reading.functions}
    return tuple(sorted(tables)), tuple(sorted(functions))


class _Parts:
    """The statements of a plan by where they belong; every file is split first, so that all faults come at once."""

    def __init__(self, plan: ChangePlan, found: Found | None) -> None:
        self.steps = tuple(step for step in plan.steps if isinstance(step, SqlStep))
        self._faults: list[PlanError] = []
        self._plan = plan
        forward = {step.name: self._split(step.sql, step.source, step.where, step.name) for step in self.steps}
        scripts = {
            step.name: self._split(step.undo.sql, step.undo.source, step.where, step.name)
            for step in self.steps
            if isinstance(step.undo, ScriptUndo)
        }
        checks = [self._split(check.sql, check.source, check.where, check.name) for check in plan.checks]
        self._demand_no_faults()
        made: dict[str, set[str]] = {step.target: set() for step in self.steps}
        read_ahead = {step.name: (read(s, found) for s in forward[step.name]) for step in self.steps}
        self.forward = {
            step.name: tuple(_put_aside(step, r) for r in marked(read_ahead[step.name], made[step.target]))
            for step in self.steps
        }
        self.scripts = {name: tuple(read(s, None, script=True) for s in pieces) for name, pieces in scripts.items()}
        self.checks = [tuple(read(s, None) for s in pieces) for pieces in checks]

    def all(self) -> Iterator[Reading]:
        """Every statement of every step in order, each step's undo script behind it; checks are apart."""
        for step in self.steps:
            yield from self.forward[step.name]
            yield from self.scripts.get(step.name, ())

    def _split(self, text: str, source: str, where: Where, name: str) -> tuple[Statement, ...]:
        at = place(self._plan, source, where)
        try:
            return split(text, at.file, name, at.line or 1)
        except PlanError as error:
            self._faults.append(error)
            return ()

    def _demand_no_faults(self) -> None:
        if len(self._faults) == 1:
            raise self._faults[0]
        if self._faults:
            lines = [line for e in self._faults for line in (e.faults or (f"{e.where}: {e.message}",))]
            first = self._faults[0]
            raise PlanError(
                f"{len(lines)} faults in SQL files", where=first.where, hint=first.hint, faults=tuple(lines)
            )


def _put_aside(step: SqlStep, reading: Reading) -> Reading:
    """Say what is done instead of dropping rows that an automatic undo has to bring back."""
    drop = instead(reading) if isinstance(step.undo, AutoUndo) and reading.kind is StatementKind.DDL else None
    return reading if drop is None else replace(reading, statement=replace(reading.statement, instead=drop.value))


def place(plan: ChangePlan, source: str, where: Where) -> Where:
    """Return the file and first line of SQL text: its own file, or for an inline statement the place in the plan."""
    if not source or where.file.endswith(f"/{source}") or where.file == source:
        return where
    return Where(file=f"changes/{plan.change}/{source}", line=1)


def _judge(context: Context, parts: _Parts) -> Iterator[Finding]:
    for step in parts.steps:
        yield from _judge_step(context, step, parts.forward[step.name], script=False)
        if step.name in parts.scripts:
            yield from _judge_step(context, step, parts.scripts[step.name], script=True)
    for index, check in enumerate(context.plan.checks):
        yield from _judge_check(context, check, parts.checks[index])
    whole = Subject(context=context, where=Where(file=f"changes/{context.plan.change}/plan.yaml"))
    for rule in RULES:
        if rule.scope is Scope.PLAN:
            yield from rule.judge(whole)


def _judge_step(context: Context, step: SqlStep, readings: tuple[Reading, ...], *, script: bool) -> Iterator[Finding]:
    rules = [rule for rule in RULES if rule.scripts or not script]
    for reading in readings:
        subject = Subject(context=context, where=reading.statement.where, step=step, reading=reading, script=script)
        for rule in rules:
            if rule.scope is Scope.STATEMENT:
                yield from rule.judge(subject)
    whole = Subject(context=context, where=step.where, step=step, readings=readings, script=script)
    for rule in rules:
        if rule.scope is Scope.STEP:
            yield from rule.judge(whole)


def _judge_check(context: Context, check: Check, readings: tuple[Reading, ...]) -> Iterator[Finding]:
    """A check must be a query and, like a step, must not reach outside the transaction or hide what it says."""
    for reading in readings:
        subject = Subject(context=context, where=reading.statement.where, reading=reading, check=check)
        for rule in RULES:
            if rule.scope is Scope.STATEMENT and (rule.scripts or rule.code == "OC201"):
                yield from rule.judge(subject)
    whole = Subject(context=context, where=check.where, check=check, readings=readings)
    for rule in RULES:
        if rule.scope is Scope.CHECK:
            yield from rule.judge(whole)


def _objects(reading: Reading) -> tuple[str, ...]:
    """Return what a statement names; of an undo script's too, since whoever takes the change back runs it."""
    if reading.script and reading.statement.kind is StatementKind.OTHER:
        return (ANYTHING,)
    created = reading.facts.created if reading.facts else ()
    return (*reading.statement.reads, *reading.statement.writes, *created)
