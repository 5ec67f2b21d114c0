"""Rendered plans around a piece of SQL, and catalogues around a few tables, for the tests of analysis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from okto_change import analysis
from okto_change.model import (
    Analysis,
    AutoUndo,
    Batch,
    ChangePlan,
    Check,
    Column,
    Found,
    Irreversible,
    Phase,
    RowBound,
    ScriptUndo,
    SqlStep,
    Table,
    Timeouts,
    Undo,
    Where,
)

PLAN = Where(file="changes/fix/plan.yaml", line=7)


def step(
    sql: str,
    *,
    name: str = "release",
    undo: Undo | None = None,
    rows: tuple[int, ...] | None = None,
    touches: tuple[str, ...] | None = None,
    batch: Batch | None = None,
    source: str = "release.sql",
) -> SqlStep:
    """Return a step against the target `ledger`; ``rows`` are exact bounds."""
    bounds = None if rows is None else tuple(RowBound(minimum=number, maximum=number) for number in rows)
    return SqlStep(
        name=name,
        target="ledger",
        source=source,
        sql=sql,
        rows=bounds,
        touches=touches,
        undo=undo or AutoUndo(),
        batch=batch,
        timeouts=Timeouts(),
        where=PLAN,
    )


def check(sql: str) -> Check:
    """Return a check that runs inside the transaction."""
    return Check(
        name="none left", phase=Phase.INSIDE, target="ledger", source="none.sql", sql=sql, expect=None, where=PLAN
    )


def plan(*steps: SqlStep, checks: tuple[Check, ...] = ()) -> ChangePlan:
    """Return a rendered plan of these steps."""
    return ChangePlan(
        change="fix",
        title="Fix",
        reason="because",
        incident=None,
        author="ana",
        risk=None,
        parameters=(),
        per_environment={},
        steps=steps,
        checks=checks,
        environment="production",
    )


def table(name: str, columns: list[str], key: list[str] | None = None, **more: Any) -> Table:
    """Return a live table of schema `public`; a column is a text that may be NULL, unless `types` says NOT NULL of a type."""
    types: Mapping[str, str] = more.pop("types", {})
    shape: dict[str, Any] = {"kind": "r", **{k: tuple(v) if isinstance(v, list) else v for k, v in more.items()}}
    return Table(
        oid=16384 + sum(map(ord, name)),
        schema="public",
        name=name,
        owner="ana",
        columns=tuple(
            Column(name=c, type=types.get(c, "text"), attnum=i, nullable=c not in types)
            for i, c in enumerate(columns, 1)
        ),
        key=None if key is None else tuple(key),
        **shape,
    )


def found(tables: Mapping[str, Any], functions: Mapping[str, str] | None = None) -> Found:
    """Return a catalogue; a value is None for a table that is missing, else the keyword arguments of ``table``."""
    live = {name: None if shape is None else table(name, **shape) for name, shape in tables.items()}
    return Found(tables=live, functions=dict(functions or {}), server_version=150018)


def example(path: Path) -> Analysis:
    """Analyse a file under ``tests/rules``; a first line ``-- with {json}`` gives the plan and catalogue around it."""
    sql = path.read_text(encoding="utf-8")
    first = sql.split("\n", 1)[0]
    around = json.loads(first.removeprefix("-- with ")) if first.startswith("-- with ") else {}
    sql = sql.replace("PADDING", "x" * around["padding"]) if "padding" in around else sql
    if around.get("as") == "check":
        return analysis.analyse(plan(step("UPDATE t SET a = 1 WHERE id = 1"), checks=(check(sql),)))
    known = found(around.get("tables", {}), around.get("functions")) if {"tables", "functions"} & set(around) else None
    return analysis.analyse(
        plan(_step_of(sql, around)),
        known,
        demand_rows=around.get("demand_rows", False),
        demand_touches=around.get("demand_touches", False),
    )


def _step_of(sql: str, around: Mapping[str, Any]) -> SqlStep:
    undo: Undo = AutoUndo()
    match around.get("undo"):
        case {"script": script}:
            undo = ScriptUndo(source="release.undo.sql", sql=script)
        case {"irreversible": reason}:
            undo = Irreversible(reason=reason)
    return step(
        sql,
        undo=undo,
        rows=tuple(around["rows"]) if "rows" in around else None,
        touches=tuple(around["touches"]) if "touches" in around else None,
        batch=Batch(table="settlement", key="id", size=5000, **around["batch"]) if "batch" in around else None,
    )
