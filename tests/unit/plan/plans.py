"""A plan with everything in it, for the tests of this folder to read, break and lock."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from okto_change.model import Analysis, ChangePlan, Lock, Risk, SqlStep, Statement, StatementKind, Where
from okto_change.plan import read
from okto_change.plan.compile import compile_lock
from okto_change.plan.render import render

CHANGE = "2026-11-22-release"
PLAN = """\
format: 1
title: Release stuck settlements
reason: |
  The acquirer timed out.
  Nothing else happened.
incident: INC-2031
author: ana
risk: medium
parameters:
  merchant_id: {type: bigint, value: 42}
  name: {type: text, value: "O'Brien; DROP TABLE x --"}
  ids: {type: "bigint[]", value: [1, 2, null]}
  extra: {type: jsonb, value: {k: [1, 2.5, true, null, 'x']}}
  nothing: {type: date, value: null}
  per_environment: {sandbox: {merchant_id: 7}}
steps:
  - name: release
    target: ledger
    sql: release.sql
    rows: [37, {min: 1, max: 40}]
    touches: [settlements, Public.Events, '"Odd"']
    undo: release.undo.sql
    batch: {table: settlements, key: id, size: 5000, max_lag: 5s, pause: 100ms}
    timeouts: {lock: 1s, statement: 1m}
  - name: inline
    target: ledger
    statement: |
      DELETE FROM notes
       WHERE merchant = {{ merchant_id }}
    rows: {min: 1}
    undo: {irreversible: "notes have no value"}
  - name: acquirer timeout
    target: routing
    edit: acquirers/north.yaml
    set: {acquirers.north.timeout_ms: 8000, 'hosts."a.b".weight': 0.5, big: 12345678901234567890}
    remove: [acquirers.north.legacy_retry]
    validate: "routing-lint {file}"
checks:
  before:
    - {name: stuck, target: ledger, sql: stuck.sql, expect: 37}
    - {name: rows, target: ledger, statement: SELECT 1, expect: [[PENDING, 3], [null, true]]}
  inside:
    - {name: empty, target: ledger, statement: SELECT 1, expect: empty}
    - {name: range, target: ledger, statement: SELECT 1, expect: {min: 1, max: 2.5}}
    - {name: comparison, target: ledger, statement: SELECT 1, expect: ">= 1, < 5"}
  invariant:
    - {name: balanced, target: ledger, statement: "SELECT sum(amount) FROM entries"}
  after:
    - {name: gone, target: ledger, sql: stuck.sql, expect: "empty"}
"""
FILES: Mapping[str, bytes] = {
    "plan.yaml": PLAN.encode(),
    "release.sql": b"UPDATE settlements SET status = 'PAID' WHERE id = {{ merchant_id }};\nSELECT {{ name }};\n",
    "release.undo.sql": b"UPDATE settlements SET status = 'PENDING' WHERE merchant_id = {{ merchant_id }};\n",
    "stuck.sql": b"SELECT count(*) FROM settlements WHERE id = ANY({{ ids }})\n",
    "locks/production.json": b"\xff not a source",
}
TARGETS: Mapping[str, Mapping[str, Any]] = {
    "ledger": {"name": "ledger", "database": "pay"},
    "routing": {"name": "routing", "files": {"root": "/x"}},
}


def changed(**texts: str) -> dict[str, bytes]:
    """Return the files with some replaced; ``release_sql`` names ``release.sql``."""
    return {**FILES, **{name.replace("_", "."): text.encode() for name, text in texts.items()}}


@cache
def _usual(environment: str) -> ChangePlan:
    return render(read.load(CHANGE, FILES), environment)


def rendered(files: Mapping[str, bytes] = FILES, environment: str = "production") -> ChangePlan:
    """Return the plan read and rendered."""
    return _usual(environment) if files is FILES else render(read.load(CHANGE, files), environment)


def analysed(plan: ChangePlan) -> Analysis:
    """Return an analysis that takes each line of a step's SQL for a statement; the rest is made up."""
    statements = []
    for step in plan.steps:
        if isinstance(step, SqlStep):
            statements += _lines(step)
    return Analysis(
        statements=tuple(statements),
        findings=(),
        risk=Risk.LOW,
        risk_reasons=("low: made up",),
        objects=("settlements",),
    )


def locked(files: Mapping[str, bytes] = FILES, environment: str = "production") -> Lock:
    """Return the lock of the plan."""
    plan = rendered(files, environment)
    return compile_lock(plan, analysed(plan), files, repo="7d1f2f9a", target_entries=TARGETS)


def _lines(step: SqlStep) -> list[Statement]:
    found, start = [], 0
    for index, line in enumerate(step.sql.splitlines(keepends=True)):
        size = len(line.encode())
        found.append(
            Statement(
                step=step.name,
                index=index,
                start=start,
                end=start + size,
                text=line,
                kind=StatementKind.UPDATE,
                where=Where(file=f"changes/{CHANGE}/{step.source}", line=index + 1),
                writes=("settlements",),
            )
        )
        start += size
    return found
