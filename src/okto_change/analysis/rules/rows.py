"""OC1xx: which rows a statement changes, and whether tonight's rows are the reviewed ones."""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.analysis import calls, fanout
from okto_change.analysis.rules.base import Rule, listed
from okto_change.analysis.subject import Reading, Subject
from okto_change.model import Severity, StatementKind


def _reading(subject: Subject) -> Reading:
    assert subject.reading is not None
    return subject.reading


def _no_where(subject: Subject) -> Iterator[str]:
    reading = _reading(subject)
    if reading.unbounded and not (reading.facts and reading.facts.sources):
        yield f"{reading.kind.value.upper()} of {listed(reading.statement.writes)} has no WHERE"


def _always_true(subject: Subject) -> Iterator[str]:
    facts = _reading(subject).facts
    if facts and facts.always_true:
        yield f"WHERE {facts.always_true} holds for every row"


def _null(subject: Subject) -> Iterator[str]:
    facts = _reading(subject).facts
    for comparison in facts.null_comparisons if facts else ():
        yield f"{comparison} is never true"


def _key(subject: Subject) -> Iterator[str]:
    reading = _reading(subject)
    table = subject.context.table(reading.statement.writes[0]) if reading.statement.writes else None
    changed = [column for column in table.key or () if column in assigned(reading)] if table else []
    if table and changed:
        followers = f"; foreign keys of {listed(table.referenced_by)} point here" if table.referenced_by else ""
        yield f"{table.qualified} is told apart by {listed(changed)}, which this statement sets{followers}"


def assigned(reading: Reading) -> tuple[str, ...]:
    """Return the columns that a statement sets in rows that exist already."""
    if reading.facts:
        return reading.facts.assigned
    return reading.statement.columns if reading.kind is StatementKind.UPDATE else ()


def _volatile_set(subject: Subject) -> Iterator[str]:
    found = _volatile(subject, _reading(subject).assigning)
    if found:
        yield f"SET calls {listed(found)}"


def _volatile_where(subject: Subject) -> Iterator[str]:
    found = _volatile(subject, _reading(subject).choosing)
    if found:
        yield f"{listed(found)} decides which rows are changed"


def _volatile(subject: Subject, names: tuple[str, ...]) -> list[str]:
    known = subject.context.functions
    return [name for name in names if calls.is_volatile(name, known)]


def _clock(subject: Subject) -> Iterator[str]:
    found = calls.matching(_reading(subject).choosing, calls.CLOCK)
    if found:
        yield f"{listed(found)} decides which rows are changed"


def _fanout(subject: Subject) -> Iterator[str]:
    reading = _reading(subject)
    if reading.kind is StatementKind.UPDATE and reading.facts and reading.facts.sources:
        loose = fanout.undetermined(reading.facts, subject.context)
        if loose:
            yield f"a row may match several rows of {listed(loose)}: nothing here shows that there is at most one"


def _limit(subject: Subject) -> Iterator[str]:
    reading = _reading(subject)
    if reading.kind.writes_rows and reading.facts and reading.facts.unordered_limits:
        yield "a query picks rows by LIMIT without ORDER BY"


def _columnless(subject: Subject) -> Iterator[str]:
    reading = _reading(subject)
    if reading.columnless and reading.copies in (None, "STDIN"):
        yield f"{reading.kind.value.upper()} into {listed(reading.statement.writes)} names no columns"


def _truncate(subject: Subject) -> Iterator[str]:
    reading = _reading(subject)
    if reading.kind is not StatementKind.TRUNCATE:
        return
    tables = [subject.context.table(name) for name in reading.statement.writes]
    sizes = [f"{t.qualified} has about {t.estimated_rows} rows" for t in tables if t and t.estimated_rows >= 0]
    cascade = "; CASCADE empties every table that refers to it" if "CASCADE" in reading.clauses else ""
    yield f"TRUNCATE of {listed(reading.statement.writes)}{': ' + listed(sizes) if sizes else ''}{cascade}"


RULES = (
    Rule(
        code="OC101",
        title="no WHERE",
        severity=Severity.WARNING,
        predicate=_no_where,
        scripts=True,
        condition="an UPDATE or DELETE has no WHERE",
        effect="every row of the table is changed",
        remedy="add WHERE; if every row is meant, say so with `rows` and in the plan's reason",
    ),
    Rule(
        code="OC102",
        title="WHERE is always true",
        severity=Severity.WARNING,
        predicate=_always_true,
        scripts=True,
        condition="the text of WHERE shows that it holds for every row, as `1 = 1`, `id = id` or `... OR true` do",
        effect="every row of the table is changed although the statement looks restricted",
        remedy="compare a column with the value that is meant; mind the precedence of AND over OR",
    ),
    Rule(
        code="OC103",
        title="comparison with NULL",
        severity=Severity.WARNING,
        predicate=_null,
        scripts=True,
        condition="a value is compared with NULL by =, <>, <, > or IN",
        effect="the comparison is never true, so the statement finds fewer rows than it seems to, often none",
        remedy="write IS NULL or IS NOT DISTINCT FROM; a parameter that is null renders as NULL",
    ),
    Rule(
        code="OC104",
        title="key is changed",
        severity=Severity.WARNING,
        predicate=_key,
        condition="UPDATE sets a column of the primary key or of the unique index that tells rows apart",
        effect="rows can no longer be found by the key people know, and foreign keys may change other tables",
        remedy="change other columns, or insert the new row and delete the old one where people can follow it",
    ),
    Rule(
        code="OC105",
        title="volatile value",
        severity=Severity.NOTE,
        predicate=_volatile_set,
        condition="SET calls a function that gives another value at every call",
        effect="the values written will not be the ones that were previewed or rehearsed; undo is not affected",
        remedy="write the values out, or derive them from columns, if people are to approve them",
    ),
    Rule(
        code="OC106",
        title="volatile choice of rows",
        severity=Severity.WARNING,
        predicate=_volatile_where,
        condition="WITH, FROM, USING or WHERE calls a function that gives another value at every call",
        effect="the run changes other rows than the rehearsal did",
        remedy="choose the rows by stable columns, or list their keys",
    ),
    Rule(
        code="OC107",
        title="choice of rows moves with the clock",
        severity=Severity.NOTE,
        predicate=_clock,
        condition="FROM, USING or WHERE of an UPDATE or DELETE depends on the time of the run",
        effect="between approval and run, rows enter or leave the set",
        remedy="write the limits out as timestamps, and declare `rows`",
    ),
    Rule(
        code="OC108",
        title="a row may match twice",
        severity=Severity.WARNING,
        predicate=_fanout,
        condition="an UPDATE has FROM, and no unique key shows that each row finds at most one partner there",
        effect="PostgreSQL takes any one of the partners, without a word; which one can differ from run to run",
        remedy="join on a unique key, or aggregate the FROM list to one row per target row",
    ),
    Rule(
        code="OC109",
        title="LIMIT without ORDER BY",
        severity=Severity.WARNING,
        predicate=_limit,
        condition="a statement that changes rows picks them by a query with LIMIT and no ORDER BY",
        effect="which rows are picked is up to the plan of the moment, so the run may change others than the rehearsal",
        remedy="add ORDER BY on a unique column",
    ),
    Rule(
        code="OC110",
        title="no column list",
        severity=Severity.WARNING,
        predicate=_columnless,
        scripts=True,
        condition="INSERT or COPY FROM has no column list",
        effect="a column added or moved since the review makes values land elsewhere, or the statement fail",
        remedy="name the columns",
    ),
    Rule(
        code="OC111",
        title="TRUNCATE",
        severity=Severity.WARNING,
        predicate=_truncate,
        condition="a table is truncated",
        effect="readers and writers are locked out, and for the undo the whole table is copied, up to the size limit",
        remedy="DELETE with WHERE where some rows are meant; an irreversible line where the table is too large to keep",
    ),
)
