"""OC7xx: data that a plan must not hold, because plan and lock are kept in git for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from okto_change.analysis.rules.base import Rule, Scope, listed
from okto_change.analysis.subject import Subject
from okto_change.masking import cards, is_brand
from okto_change.model import ChangePlan, EditStep, ExpectRows, ScriptUndo, Severity, Step


def _card_numbers(subject: Subject) -> Iterator[str]:
    for place, text in _texts(subject.context.plan):
        found = list(dict.fromkeys(cards(text)))
        if found:
            yield f"{place} holds {listed(found)}"


def _no_brand(subject: Subject) -> bool:
    """Whether no brand has cards like any of the numbers: then they may be ids whose check digit fits by chance."""
    every = (card for _, text in _texts(subject.context.plan) for card in cards(text))
    return not any(is_brand(card.replace("*", "0")) for card in every)


def _texts(plan: ChangePlan) -> Iterator[tuple[str, str]]:
    """Yield every part of a plan that gets into the lock, with its name."""
    yield "the plan's title, reason or incident", f"{plan.title}\n{plan.reason}\n{plan.incident or ''}"
    for parameter in plan.parameters:
        yield f"parameter {parameter.name}", _joined(parameter.value)
    for step in plan.steps:
        yield from _texts_of(step)
    for check in plan.checks:
        expected = _joined(check.expect.rows) if isinstance(check.expect, ExpectRows) else ""
        yield f"check {check.name!r}", f"{check.name}\n{check.sql}\n{expected}"


def _texts_of(step: Step) -> Iterator[tuple[str, str]]:
    if isinstance(step, EditStep):
        values = (_joined((path, value)) for path, value in step.set)
        yield f"step {step.name!r}", "\n".join([step.name, *values])
        return
    yield f"step {step.name!r}", f"{step.name}\n{step.sql}"
    if isinstance(step.undo, ScriptUndo):
        yield f"the undo script of step {step.name!r}", step.undo.sql


def _joined(value: Any) -> str:
    """Return a value of any depth as lines."""
    match value:
        case tuple() | list():
            return "\n".join(map(_joined, value))
        case dict():
            return "\n".join(map(_joined, value.items()))
        case _:
            return str(value)


RULES = (
    Rule(
        code="OC701",
        title="card number in the plan",
        severity=Severity.ERROR,
        predicate=_card_numbers,
        scope=Scope.PLAN,
        softened=_no_brand,
        condition="SQL, a parameter, an edit, an expectation or a text of the plan holds 13 to 19 digits whose check digit "
        "fits, as on a payment card; a warning where no card brand has such numbers",
        effect="the lock would keep the number in git, which never forgets, and show it to everybody who may read it",
        remedy="name the rows by an id or a token, or by a subquery that finds them",
    ),
)
