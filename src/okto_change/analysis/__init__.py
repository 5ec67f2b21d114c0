"""ChangePlan (+ Found) -> Analysis. Pure; the only sqlglot, which is imported when the first statement is read."""

from __future__ import annotations

from okto_change.model import Analysis, ChangePlan, Found


def analyse(
    plan: ChangePlan, found: Found | None = None, *, demand_rows: bool = False, demand_touches: bool = False
) -> Analysis:
    """Return statements, findings, risk and objects of a rendered plan; ``found`` adds what the live catalogue knows.

    A lock is compiled from ``analyse(plan)`` without ``found``, so that it depends on the sources alone. Raises
    PlanError for SQL that cannot be split: open quotes, comments and brackets, psql commands, COPY without data.
    """
    from okto_change.analysis.examine import examine

    return examine(plan, found, demand_rows=demand_rows, demand_touches=demand_touches)


def names(plan: ChangePlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return ``(tables, functions)`` that a rendered plan names, to be looked up in the catalogue. Raises PlanError."""
    from okto_change.analysis.examine import look_up

    return look_up(plan)


__all__ = ["analyse", "names"]
