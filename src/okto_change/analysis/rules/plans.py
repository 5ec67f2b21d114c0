"""OC6xx: steps and checks as a whole: what the plan declares against what its statements do."""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.analysis import definitions
from okto_change.analysis.rules.base import Rule, Scope
from okto_change.analysis.subject import Reading, Subject
from okto_change.model import AutoUndo, Severity, StatementKind


def _mixed(subject: Subject) -> Iterator[str]:
    ddl = [reading for reading in subject.readings if _is_ddl(reading)]
    data = [reading for reading in subject.readings if reading.kind.writes_rows]
    if ddl and data:
        yield " and ".join(f"{_verb(reading)} at line {reading.statement.where.line}" for reading in (ddl[0], data[0]))


def _ddl_auto(subject: Subject) -> Iterator[str]:
    if subject.step is None or not isinstance(subject.step.undo, AutoUndo) or subject.script:
        return
    for reading in subject.readings:
        reason = definitions.obstacle(reading) if _is_ddl(reading) else None
        if reason:
            yield f"{_verb(reading)} at line {reading.statement.where.line} with `undo: auto`: {reason}"


def _put_aside(subject: Subject) -> Iterator[str]:
    for reading in subject.readings:
        if reading.statement.instead:
            yield f"{_verb(reading)} at line {reading.statement.where.line}: {reading.statement.instead}"


def _is_ddl(reading: Reading) -> bool:
    return reading.kind is StatementKind.DDL and not reading.temporary


def _verb(reading: Reading) -> str:
    return " ".join(reading.words[:2]) if reading.kind is StatementKind.DDL else reading.kind.value.upper()


def _rows(subject: Subject) -> Iterator[str]:
    if subject.context.demand_rows and _changes_rows(subject) and subject.step and subject.step.rows is None:
        yield f"step {subject.step.name} does not say how many `rows` it changes"


def _touches(subject: Subject) -> Iterator[str]:
    if subject.context.demand_touches and _changes_rows(subject) and subject.step and subject.step.touches is None:
        yield f"step {subject.step.name} does not say which tables it `touches`"


def _changes_rows(subject: Subject) -> bool:
    kinds = {reading.kind for reading in subject.readings}
    return not subject.script and any(kind.writes_rows or kind is StatementKind.OTHER for kind in kinds)


def _bounds(subject: Subject) -> Iterator[str]:
    if subject.step is None or subject.step.rows is None or subject.script:
        return
    bounds, writers = len(subject.step.rows), sum(reading.kind.writes_rows for reading in subject.readings)
    if bounds != writers:
        yield f"{bounds} bound(s) in `rows`, {writers} statement(s) that change rows"


def _has_opaque(subject: Subject) -> bool:
    return any(reading.kind in (StatementKind.OTHER, StatementKind.SELECT) for reading in subject.readings)


def _empty(subject: Subject) -> Iterator[str]:
    if not subject.readings and subject.step:
        what = "its undo script" if subject.script else "it"
        yield f"step {subject.step.name}: there is no statement in {what}"


def _check_is_query(subject: Subject) -> Iterator[str]:
    if subject.check is None:
        return
    kinds = [reading.kind for reading in subject.readings]
    if kinds != [StatementKind.SELECT]:
        found = ", ".join(kind.value for kind in kinds) or "nothing"
        yield f"check {subject.check.name!r} must be one query; found {found}"


RULES = (
    Rule(
        code="OC601",
        title="DDL mixed with data",
        severity=Severity.ERROR,
        excused=True,
        predicate=_mixed,
        scope=Scope.STEP,
        scripts=True,
        condition="a step both changes definitions and changes rows; a warning where its undo is a script or irreversible",
        effect="the strong locks of DDL are held while rows are changed, and the two are undone in different ways",
        remedy="make two steps of it: two transactions; when the later one fails, the earlier one is undone",
    ),
    Rule(
        code="OC602",
        title="DDL without an inverse",
        severity=Severity.ERROR,
        predicate=_ddl_auto,
        scope=Scope.STEP,
        condition="a step with `undo: auto` contains DDL of a form that has no inverse",
        effect="what it changes could not be put back: not automatically reversible",
        remedy="give the step an undo script, or `undo: {irreversible: reason}`",
    ),
    Rule(
        code="OC603",
        title="rows missing",
        severity=Severity.ERROR,
        predicate=_rows,
        scope=Scope.STEP,
        condition="the environment demands `rows` and a step that changes rows declares none",
        effect="nothing would stop a statement that changes too many rows",
        remedy="add `rows:` with the number, or {min, max}, one entry for each statement that changes rows",
    ),
    Rule(
        code="OC604",
        title="touches missing",
        severity=Severity.ERROR,
        predicate=_touches,
        scope=Scope.STEP,
        condition="the environment demands `touches` and a step that changes rows declares none",
        effect="nothing would stop a trigger or cascade from changing other tables",
        remedy="add `touches:` with every table whose rows change; the rehearsal lists them",
    ),
    Rule(
        code="OC605",
        title="rows do not fit the statements",
        severity=Severity.ERROR,
        predicate=_bounds,
        scope=Scope.STEP,
        softened=_has_opaque,
        condition="`rows` has not one bound for each statement that changes rows, in order",
        effect="bounds and statements cannot be paired, so none of them would protect anything",
        remedy="one entry in `rows` for each INSERT, UPDATE, DELETE, MERGE, COPY and TRUNCATE, in order",
    ),
    Rule(
        code="OC607",
        title="nothing to run",
        severity=Severity.ERROR,
        predicate=_empty,
        scope=Scope.STEP,
        scripts=True,
        condition="a step's SQL, or its undo script, has no statement",
        effect="the step would be reported as done without having done anything",
        remedy="write the statement, or remove the step",
    ),
    Rule(
        code="OC608",
        title="check is no query",
        severity=Severity.ERROR,
        predicate=_check_is_query,
        scope=Scope.CHECK,
        condition="a check is not exactly one SELECT, VALUES, TABLE or SHOW",
        effect="a check could change what it checks, or compare something else than meant",
        remedy="write one query; several checks for several queries",
    ),
    Rule(
        code="OC611",
        title="put aside, not dropped",
        severity=Severity.NOTE,
        predicate=_put_aside,
        scope=Scope.STEP,
        condition="a step with `undo: auto` drops a table, a column or a schema by a statement of its own",
        effect="what the statement would drop is put aside, so that a rollback brings it back as it was, with its rows",
        remedy="drop it for good in a later change, `undo: {irreversible: reason}`; or declare this step irreversible",
    ),
)
