"""OC606, OC609, OC610: steps with ``batch:``, which run their statements once for each chunk of a table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from okto_change.analysis.rules.base import Rule, Scope
from okto_change.analysis.subject import Reading, Subject
from okto_change.model import Batch, ScriptUndo, Severity, StatementKind, Table

_SETTINGS = ("okto_change.batch_first", "okto_change.batch_last")
_KINDS = {
    StatementKind.INSERT,
    StatementKind.UPDATE,
    StatementKind.DELETE,
    StatementKind.MERGE,
    StatementKind.SELECT,
    StatementKind.SET,
}
_SPELLED = {
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
}


def _beyond(subject: Subject) -> Iterator[str]:
    batch, reading = _batch(subject), subject.reading
    writes = reading is not None and reading.kind in _KINDS and reading.kind.writes_rows
    if batch is not None and reading is not None and writes and not _keeps(reading, batch):
        yield f"the {reading.kind.value.upper()} is not restricted to the chunk's range of {batch.key}"


def _keeps(reading: Reading, batch: Batch) -> bool:
    if reading.facts is None:
        return all(name in reading.statement.text for name in _SETTINGS)
    return batch.key in reading.facts.ranges


def _unfit(subject: Subject) -> Iterator[str]:
    batch = _batch(subject)
    if batch is None or subject.step is None:
        return
    others = [reading for reading in subject.readings if reading.kind not in _KINDS]
    for reading in others:
        yield f"{' '.join(reading.words[:2]) or reading.kind.value} at line {reading.statement.where.line}"
    if isinstance(subject.step.undo, ScriptUndo):
        yield f"the undo script {subject.step.undo.source}"


def _key(subject: Subject) -> Iterator[str]:
    batch = _batch(subject)
    if batch is None:
        return
    if subject.context.missing(batch.table):
        yield f"there is no table {batch.table} to go through"
    table = subject.context.table(batch.table)
    for problem in _problems(table, batch) if table else ():
        yield f"{table.qualified if table else ''}: {problem}"


def _problems(table: Table, batch: Batch) -> Iterator[str]:
    column = next((column for column in table.columns if column.name == batch.key), None)
    if table.kind not in ("r", "p"):
        yield "it is no table"
        return
    if column is None:
        yield f"it has no column {batch.key}"
        return
    if column.nullable:
        yield f"{batch.key} may be NULL, and rows with NULL would belong to no chunk"
    if (batch.key,) not in table.unique and table.key != (batch.key,):
        yield f"no unique index on {batch.key} alone"
    found = re.sub(r"\(.*\)", "", column.type)
    if _SPELLED.get(found, found) != batch.type:
        yield f"{batch.key} is of type {column.type}, the plan says {batch.type}"


def _batch(subject: Subject) -> Batch | None:
    return subject.step.batch if subject.step and not subject.script else None


RULES = (
    Rule(
        code="OC606",
        title="statement beyond its chunk",
        severity=Severity.ERROR,
        predicate=_beyond,
        condition="a statement in a step with `batch:` changes rows, and neither its WHERE nor a query in it is held to "
        "the chunk's range of the key",
        effect="every chunk would change the rows of all of them",
        remedy="write `AND {{ batch }}` into the WHERE, or `AND {{ batch.s }}` where the table is called s",
    ),
    Rule(
        code="OC609",
        title="not for chunks",
        severity=Severity.ERROR,
        predicate=_unfit,
        scope=Scope.STEP,
        condition="a step with `batch:` has another statement than INSERT, UPDATE, DELETE, MERGE, SELECT or SET LOCAL, or an "
        "undo script",
        effect="it would run once for each chunk; what undoes a chunk are its images alone",
        remedy="put it into a step of its own",
    ),
    Rule(
        code="OC610",
        title="no key to go through",
        severity=Severity.ERROR,
        predicate=_key,
        scope=Scope.STEP,
        condition="the table of a batch is not there, or its key is not one NOT NULL column of the type the plan says "
        "with a unique index of its own",
        effect="rows would be done twice or left out, or each chunk would read the whole table",
        remedy="choose the primary key, or another unique column, and say its `type:` where it is not bigint",
    ),
)
