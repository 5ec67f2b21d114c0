"""OC2xx: what the live catalogue says of the tables and columns that a statement names. Silent offline."""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.analysis.rules.base import Rule, Scope, listed
from okto_change.analysis.rules.rows import assigned
from okto_change.analysis.subject import Context, Reading, Subject
from okto_change.analysis.temporary import created
from okto_change.model import Severity, StatementKind, Table

_TABLES = ("r", "p")
_REMOVING = (StatementKind.DELETE, StatementKind.TRUNCATE, StatementKind.MERGE, StatementKind.UPDATE)
_DEFINING = (StatementKind.DDL, StatementKind.TEMPORARY)
_SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"}


def _unknown_table(subject: Subject) -> Iterator[str]:
    if subject.reading is not None and subject.reading.kind in _DEFINING:
        return  # names in DDL may be types, constraints, schemas: the rehearsal tells what is not there
    for name in _mentioned(subject):
        if subject.context.missing(name) and name not in _made_before(subject):
            yield f"there is no table {name} on the search path of {_target(subject)}"


def _mentioned(subject: Subject) -> tuple[str, ...]:
    if subject.reading is not None:
        return tuple(dict.fromkeys((*subject.reading.statement.reads, *subject.reading.statement.writes)))
    return ()


def _unknown_touches(subject: Subject) -> Iterator[str]:
    for name in (subject.step.touches or ()) if subject.step else ():
        if subject.context.missing(name) and name not in _made_anywhere(subject.context):
            yield f"`touches` names {name}, and there is no such table on the search path of {_target(subject)}"


def _unknown_column(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    table = subject.context.table(reading.statement.writes[0]) if reading and reading.statement.writes else None
    if reading is None or table is None or reading.kind in _DEFINING:
        return
    known = {column.name for column in table.columns} | _SYSTEM_COLUMNS | {table.name}
    own = reading.facts.own_columns if reading.facts else ()
    written = reading.statement.columns if len(reading.statement.writes) == 1 else ()
    for name in dict.fromkeys((*written, *own)):
        if name not in known:
            yield f"{table.qualified} has no column {name}{_closest(name, table)}"


def _closest(name: str, table: Table) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, [column.name for column in table.columns], n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _made_before(subject: Subject) -> set[str]:
    """Names of tables that earlier statements of the plan create."""
    made: set[str] = set()
    for reading in subject.context.readings:
        if reading is subject.reading:
            break
        made.update(reading.facts.created if reading.facts else ())
    return made | (set(subject.reading.facts.created) if subject.reading and subject.reading.facts else set())


def _made_anywhere(context: Context) -> set[str]:
    return {name for reading in context.readings if reading.facts for name in reading.facts.created}


def may_be_made(subject: Subject) -> bool:
    """Tell whether an earlier statement may create, rename or reach what the catalogue does not have yet."""
    for reading in subject.context.readings:
        if reading is subject.reading:
            return False
        if reading.kind in _DEFINING or reading.kind is StatementKind.OTHER:
            return True
        if any(setting.name == "search_path" for setting in reading.settings):
            return True
    return subject.reading is None and bool(subject.context.readings)


def _no_key(subject: Subject) -> Iterator[str]:
    for table in _written(subject):
        if table.kind in _TABLES and table.key is None:
            yield f"{table.qualified} has no primary key and no unique index on NOT NULL columns"


def _triggers(subject: Subject) -> Iterator[str]:
    for table in _written(subject):
        if table.triggers or table.rules:
            yield f"{table.qualified} has {listed((*table.triggers, *table.rules))}"


def _referenced(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    if reading is None or reading.kind not in _REMOVING:
        return
    for table in _written(subject):
        keyed = reading.kind is not StatementKind.UPDATE or set(table.key or ()) & set(assigned(reading))
        if table.referenced_by and keyed:
            yield f"foreign keys of {listed(table.referenced_by)} point to {table.qualified}"


def _row_security(subject: Subject) -> Iterator[str]:
    for table in _written(subject):
        if table.row_security:
            yield f"row security is on for {table.qualified}"


def _foreign(subject: Subject) -> Iterator[str]:
    for table in _written(subject):
        if table.kind == "f":
            yield f"{table.qualified} is a foreign table: its rows live in another database"


def _undeclared(subject: Subject) -> Iterator[str]:
    touches = subject.step.touches if subject.step else None
    if touches is None or subject.reading is None or not subject.reading.kind.writes_rows:
        return
    declared = {_identity(name, subject.context) for name in touches}
    declared |= {name for reading in subject.context.readings for name in created(reading)}
    for name in subject.reading.statement.writes:
        table = subject.context.table(name)
        view = table is not None and table.kind not in _TABLES
        if not view and _identity(name, subject.context) not in declared:
            yield f"{name} is written and not in `touches`: {listed(touches) or 'none'}"


def _identity(name: str, context: Context) -> str:
    """The live table's qualified name; offline the bare name, since ``public.t`` and ``t`` may be one table."""
    table = context.table(name)
    return table.qualified if table else name.rpartition(".")[2]


def _written(subject: Subject) -> tuple[Table, ...]:
    reading: Reading | None = subject.reading
    if reading is None or not reading.kind.writes_rows:
        return ()
    tables = (subject.context.table(name) for name in reading.statement.writes)
    return tuple({table.oid: table for table in tables if table}.values())


def _target(subject: Subject) -> str:
    return subject.step.target if subject.step else subject.check.target if subject.check else "the target"


RULES = (
    Rule(
        code="OC201",
        title="unknown table",
        severity=Severity.ERROR,
        predicate=_unknown_table,
        softened=may_be_made,
        condition="a data statement names a table that the target lacks and no earlier statement creates; a "
        "warning where one may",
        effect="the statement fails when it runs",
        remedy="correct the name, or write its schema",
    ),
    Rule(
        code="OC202",
        title="unknown column",
        severity=Severity.ERROR,
        predicate=_unknown_column,
        softened=may_be_made,
        condition="a statement writes, or compares in WHERE, a column that its table does not have; a warning "
        "where an earlier statement may add it",
        effect="the statement fails when it runs",
        remedy="correct the name",
    ),
    Rule(
        code="OC203",
        title="table without a key",
        severity=Severity.WARNING,
        predicate=_no_key,
        condition="rows of a table are changed that has neither a primary key nor a unique index on NOT NULL columns",
        effect="rows cannot be named one by one: previews and conflicts show whole rows, equal rows are counted only",
        remedy="nothing to do if the undo is proven; a primary key makes conflicts readable",
    ),
    Rule(
        code="OC204",
        title="triggers or rules",
        severity=Severity.NOTE,
        predicate=_triggers,
        condition="a written table has triggers or rules",
        effect="more, fewer or other rows and tables may change than the statement says",
        remedy="read the rehearsal's table of writes, and declare all of them in `touches`",
    ),
    Rule(
        code="OC205",
        title="foreign keys point here",
        severity=Severity.NOTE,
        predicate=_referenced,
        condition="rows are deleted, or keys changed, in a table that other tables refer to",
        effect="the statement fails for rows in use, or the foreign keys delete and change rows of those tables too",
        remedy="read the rehearsal's table of writes, and declare all of them in `touches`",
    ),
    Rule(
        code="OC206",
        title="row security",
        severity=Severity.WARNING,
        predicate=_row_security,
        condition="a written table has row security switched on",
        effect="rows that the policies hide are left out without a word, by the change and by what looks at it",
        remedy="run as a user whom the policies do not restrict, and compare counts",
    ),
    Rule(
        code="OC207",
        title="table not declared",
        severity=Severity.WARNING,
        predicate=_undeclared,
        condition="a statement writes a table that the step's `touches` does not name",
        effect="the step will not commit",
        remedy="add the table to `touches` if it is meant",
    ),
    Rule(
        code="OC208",
        title="unknown table in touches",
        severity=Severity.WARNING,
        scope=Scope.STEP,
        predicate=_unknown_touches,
        condition="`touches` names a table that the target does not have",
        effect="the declared blast radius is not what it seems",
        remedy="correct the name, or write its schema",
    ),
    Rule(
        code="OC209",
        title="foreign table",
        severity=Severity.ERROR,
        predicate=_foreign,
        excused=True,
        condition="rows of a foreign table are changed",
        effect="the rows live in another database, where no image of them can be kept: not automatically reversible",
        remedy="make it a step against that database, or give the step an undo script or an irreversible line",
    ),
)
