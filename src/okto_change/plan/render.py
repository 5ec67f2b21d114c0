"""A ChangePlan as written to one for an environment: its parameters chosen, every SQL text rendered. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from okto_change.errors import PlanError
from okto_change.model import Batch, ChangePlan, Check, Parameter, ScriptUndo, SqlStep, Step, Where
from okto_change.plan import types
from okto_change.plan.literals import literal
from okto_change.plan.names import ENVIRONMENT
from okto_change.plan.steps import INLINE
from okto_change.plan.types import SqlType
from okto_change.plan.window import Window
from okto_change.strictyaml import Faults

MOST_RENDERED = 8 * 1024 * 1024
"""bytes of all rendered texts of a plan together"""

_TEMPLATE = re.compile(r"\{[{%#]")
_Values = Mapping[str, tuple[SqlType, Any]]


def render(plan: ChangePlan, environment: str) -> ChangePlan:
    """Return ``plan`` for ``environment``: its parameters only, and SQL where templates were.

    Raises PlanError with every fault of every template, its file and line.
    """
    if not re.fullmatch(ENVIRONMENT, environment):
        raise PlanError(f"{environment!a} is no name of an environment", where=f"changes/{plan.change}")
    faults = Faults()
    parameters = chosen(plan, environment)
    renderer = _Renderer(plan.change, _values(parameters, environment), _batches(plan), faults)
    rendered = replace(
        plan,
        environment=environment,
        parameters=parameters,
        per_environment={},
        steps=tuple(renderer.step(step) for step in plan.steps),
        checks=tuple(renderer.check(check) for check in plan.checks),
    )
    faults.stop(f"the plan of '{plan.change}' for {environment}", "correct the lines named, then run the command again")
    renderer.limit()
    return rendered


def chosen(plan: ChangePlan, environment: str) -> tuple[Parameter, ...]:
    """Return the parameters with the values that ``environment`` gives them."""
    overrides = {parameter.name: parameter for parameter in plan.per_environment.get(environment, ())}
    return tuple(overrides.get(parameter.name, parameter) for parameter in plan.parameters)


def _batches(plan: ChangePlan) -> dict[str, list[Batch]]:
    """Return the batches of a plan by target."""
    found: dict[str, list[Batch]] = {}
    for step in plan.steps:
        if isinstance(step, SqlStep) and step.batch is not None:
            found.setdefault(step.target, []).append(step.batch)
    return found


def shown(parameter: Parameter) -> str:
    """Return a parameter as the literal that a template puts out."""
    return literal(types.parse(parameter.type), parameter.value)


def _values(parameters: tuple[Parameter, ...], environment: str) -> _Values:
    known = {parameter.name: (types.parse(parameter.type), parameter.value) for parameter in parameters}
    return known | {"environment": (types.TEXT, environment)}


class _Renderer:
    """Renders the texts of one plan with the same values, and collects their faults."""

    def __init__(self, change: str, values: _Values, batches: Mapping[str, list[Batch]], faults: Faults) -> None:
        self._change = change
        self._values = values
        self._batches = batches
        self._faults = faults
        self._size = 0

    def step(self, step: Step) -> Step:
        """Return the step with its SQL and its undo script rendered."""
        if not isinstance(step, SqlStep):
            return step
        undo = step.undo
        if isinstance(undo, ScriptUndo):
            undo = replace(undo, sql=self._text(undo.sql, undo.source, step.where))
        return replace(step, sql=self._text(step.sql, step.source, step.where, step.batch), undo=undo)

    def check(self, check: Check) -> Check:
        """Return the check with its query rendered."""
        batches = self._batches.get(check.target, []) if check.each_chunk else []
        if check.each_chunk and len(batches) != 1:
            found = f"{len(batches)} such steps" if batches else "none"
            self._faults.add(
                check.where, f"'each: chunk' needs one step with `batch:` on {check.target}, found {found}"
            )
        batch = batches[0] if len(batches) == 1 else None
        return replace(check, sql=self._text(check.sql, check.source, check.where, batch))

    def limit(self) -> None:
        """Raise PlanError when all texts together are too large."""
        if self._size > MOST_RENDERED:
            raise PlanError(
                f"the rendered plan has {self._size} bytes, at most {MOST_RENDERED} are possible",
                where=f"changes/{self._change}",
                hint="keep bulk data in a table and refer to it",
            )

    def _text(self, text: str, source: str, where: Where, batch: Batch | None = None) -> str:
        if _TEMPLATE.search(text):
            text = self._template(text, source, where, batch)
        self._size += len(text.encode("utf-8"))
        return text

    def _template(self, text: str, source: str, where: Where, batch: Batch | None) -> str:
        from okto_change.plan import template  # Jinja2 is loaded only where a text is a template

        rendered, problems = template.render(text, self._values, None if batch is None else Window(batch))
        for line, problem in problems:
            if source != INLINE:
                self._faults.add(Where(file=f"changes/{self._change}/{source}", line=line), problem)
            else:
                self._faults.add(where, problem if line is None else f"{problem} (line {line} of the statement)")
        return rendered
