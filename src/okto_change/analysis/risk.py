"""Findings and statements -> the risk of a change, with its reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from okto_change.analysis.subject import Reading
from okto_change.model import ChangePlan, EditStep, Finding, Irreversible, Risk, ScriptUndo, Severity, StatementKind

MANY_ROWS = 10_000
"""From this declared number of rows on, a change is of medium risk at least"""

_HIGH = {
    "OC101": "a statement changes every row of its table",
    "OC102": "a WHERE holds for every row",
    "OC111": "a table is truncated",
    "OC405": "foreign keys and triggers are switched off",
    "OC209": "a foreign table is written",
    "OC302": "large objects are changed",
    "OC308": "a system catalogue is written",
}
_MEDIUM = {
    "OC104": "a key is changed",
    "OC106": "which rows change differs from run to run",
    "OC108": "a row may match twice",
    "OC109": "which rows change differs from run to run",
    "OC203": "a table without a key is written",
    "OC206": "row security hides rows",
    "OC310": "listeners are notified",
    "OC406": "a procedure is called",
    "OC501": "a statement is not analysed",
    "OC502": "a statement is not analysed",
    "OC505": "a function may write",
    "OC601": "DDL and data in one step",
}


def assess(plan: ChangePlan, readings: Sequence[Reading], findings: Sequence[Finding]) -> tuple[Risk, tuple[str, ...]]:
    """Return the risk and why. The plan's own ``risk`` may raise it, never lower it."""
    reasons = [*_of_steps(plan), *_of_statements(readings), *_of_findings(findings)]
    if plan.risk is not None:
        reasons.append((plan.risk, f"the plan says {plan.risk.value}"))
    risk = max((risk for risk, _ in reasons), key=lambda risk: risk.rank, default=Risk.LOW)
    ordered = sorted(reasons, key=lambda reason: -reason[0].rank)
    return risk, tuple(dict.fromkeys(f"{risk.value}: {reason}" for risk, reason in ordered))


def _of_steps(plan: ChangePlan) -> Iterator[tuple[Risk, str]]:
    for step in plan.steps:
        if isinstance(step.undo, Irreversible):
            yield Risk.HIGH, f"step {step.name} cannot be undone"
        if isinstance(step.undo, ScriptUndo):
            yield Risk.MEDIUM, f"step {step.name} is undone by a hand-written script"
        bounds = () if isinstance(step, EditStep) else step.rows or ()
        if any(bound.maximum is None or bound.maximum >= MANY_ROWS for bound in bounds):
            yield Risk.MEDIUM, f"step {step.name} may change {MANY_ROWS} rows or more"
    if len({step.target for step in plan.steps}) > 1:
        yield Risk.MEDIUM, "several targets are changed, one after the other"


def _of_statements(readings: Sequence[Reading]) -> Iterator[tuple[Risk, str]]:
    kinds = {reading.kind for reading in readings if not reading.script and not reading.temporary}
    if StatementKind.DDL in kinds:
        yield Risk.MEDIUM, "definitions are changed"
    if StatementKind.REFRESH in kinds:
        yield Risk.MEDIUM, "a materialized view is computed anew"
    if StatementKind.DELETE in kinds:
        yield Risk.MEDIUM, "rows are deleted"
    permanent = [reading for reading in readings if reading.kind is not StatementKind.TEMPORARY]
    dropped = [reading for reading in permanent if not reading.script and reading.words[:1] == ("DROP",)]
    if dropped:
        yield Risk.HIGH, "something is dropped"


def _of_findings(findings: Sequence[Finding]) -> Iterator[tuple[Risk, str]]:
    for finding in findings:
        if finding.code in _HIGH:
            yield Risk.HIGH, f"{_HIGH[finding.code]} ({finding.where})"
        elif finding.code in _MEDIUM:
            yield Risk.MEDIUM, f"{_MEDIUM[finding.code]} ({finding.where})"
        elif finding.severity is Severity.ERROR:
            yield Risk.HIGH, f"{finding.title} ({finding.where})"
