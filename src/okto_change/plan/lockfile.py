"""A Lock to its JSON document. The format is written out, so that renaming a field of the model leaves it alone.

SQL stands as a list of lines, so that a pull request shows it; joined with line feeds they give the text back. Numbers
that are no small integers stand as ``{"$number": "0.5"}``, because the canonical form has no floats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from okto_change.digest import LIMIT
from okto_change.model import (
    AutoUndo,
    Batch,
    Check,
    EditStep,
    Expectation,
    ExpectCompare,
    ExpectRows,
    Irreversible,
    Lock,
    RowBound,
    ScriptUndo,
    SqlStep,
    Statement,
    Step,
    Undo,
)

TYPE = "https://okto-change.dev/lock/v1"
FORMAT = 1
NUMBER = "$number"


def encode(lock: Lock) -> dict[str, Any]:
    """Return the document of a lock, without ``content``, ``digest`` and previews. Raises ValueError for odd values."""
    return {
        "_type": TYPE,
        "author": lock.author,
        "change": lock.change,
        "checks": [_check(check) for check in lock.checks],
        "environment": lock.environment,
        "format": FORMAT,
        "incident": lock.incident,
        "objects": list(lock.objects),
        "parameters": dict(lock.parameters),
        "reason": lock.reason.split("\n"),
        "repo": lock.repo,
        "risk": lock.risk.value,
        "risk_reasons": list(lock.risk_reasons),
        "source_sha256": source_digest(lock.sources),
        "sources": [{"path": path, "sha256": sha256, "size": size} for path, sha256, size in lock.sources],
        "steps": [_step(step, [item for item in lock.statements if item.step == step.name]) for step in lock.steps],
        "targets": {name: dict(entry) for name, entry in lock.targets.items()},
        "title": lock.title,
    }


def source_digest(sources: tuple[tuple[str, str, int], ...]) -> str:
    """Return the sha256, in hexadecimal, of the source manifest: a line each of sha256, size and path."""
    lines = [f"{sha256} {size} {path}\n" for path, sha256, size in sources]
    return hashlib.sha256("".join(["okto-change source manifest v1\n", *lines]).encode()).hexdigest()


def number(value: Any) -> Any:
    """Return a JSON value with floats and huge integers as text, for the canonical form."""
    match value:
        case bool():
            return value
        case float():
            return {NUMBER: repr(value)}
        case int() if abs(value) >= LIMIT:
            return {NUMBER: str(value)}
        case list() | tuple():
            return [number(item) for item in value]
        case Mapping():
            if NUMBER in value:
                raise ValueError(f"a key called {NUMBER} cannot be set")
            return {key: number(item) for key, item in value.items()}
        case _:
            return value


def _step(step: Step, statements: list[Statement]) -> dict[str, Any]:
    common = {"name": step.name, "target": step.target, "undo": _undo(step.undo), "where": str(step.where)}
    if isinstance(step, EditStep):
        return common | {
            "file": step.file,
            "kind": "edit",
            "remove": [list(path) for path in step.remove],
            "set": [{"path": list(path), "value": number(value)} for path, value in step.set],
            "validate": step.validate,
        }
    return (
        common
        | _text(step)
        | {
            "batch": None if step.batch is None else _batch(step.batch),
            "kind": "sql",
            "rows": None if step.rows is None else [_bound(bound) for bound in step.rows],
            "statements": [_statement(item, step) for item in statements],
            "timeouts": {"lock_ms": step.timeouts.lock, "statement_ms": step.timeouts.statement},
            "touches": None if step.touches is None else list(step.touches),
        }
    )


def _text(item: SqlStep | Check | ScriptUndo) -> dict[str, Any]:
    return {
        "rendered": item.sql.split("\n"),
        "rendered_sha256": hashlib.sha256(item.sql.encode("utf-8")).hexdigest(),
        "source": item.source,
    }


def _undo(undo: Undo) -> dict[str, Any]:
    match undo:
        case AutoUndo():
            return {"kind": "auto"}
        case ScriptUndo():
            return {"kind": "script"} | _text(undo)
        case Irreversible():
            return {"kind": "irreversible", "reason": undo.reason}


def _bound(bound: RowBound) -> dict[str, Any]:
    return {"max": bound.maximum, "min": bound.minimum}


def _batch(batch: Batch) -> dict[str, Any]:
    return {
        "key": batch.key,
        "max_lag_ms": batch.max_lag,
        "pause_ms": batch.pause,
        "size": batch.size,
        "table": batch.table,
        "type": batch.type,
    }


def _statement(statement: Statement, step: SqlStep) -> dict[str, Any]:
    rendered = step.sql.encode("utf-8")
    if rendered[statement.start : statement.end] != statement.text.encode("utf-8"):
        raise ValueError(f"statement {statement.index + 1} of step '{step.name}' is not where it is said to be")
    return {
        "columns": list(statement.columns),
        "data": _data(statement, rendered),
        "end": statement.end,
        "kind": statement.kind.value,
        "reads": list(statement.reads),
        "start": statement.start,
        "where": str(statement.where),
        "writes": list(statement.writes),
    } | ({} if statement.instead is None else {"instead": statement.instead})


def _data(statement: Statement, rendered: bytes) -> list[int] | None:
    if statement.data is None:
        return None
    data = statement.data.encode("utf-8")
    start = rendered.find(data, statement.end)
    if start < 0:
        raise ValueError(f"the data of statement {statement.index + 1} is not in the text of its step")
    return [start, start + len(data)]


def _check(check: Check) -> dict[str, Any]:
    return _text(check) | {
        "each_chunk": check.each_chunk,
        "expect": None if check.expect is None else _expect(check.expect),
        "name": check.name,
        "phase": check.phase.value,
        "target": check.target,
        "where": str(check.where),
    }


def _expect(expect: Expectation) -> dict[str, Any]:
    match expect:
        case ExpectRows():
            return {"rows": [list(row) for row in expect.rows]}
        case ExpectCompare():
            return {"compare": [list(test) for test in expect.tests]}
        case _:
            return {"rows": []}
