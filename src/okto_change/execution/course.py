"""How far a batch got: the chunks that stand, rows of each statement, writes of each table, and the bounds for the whole."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from okto_change.database.chunks import Opened, Range, Through
from okto_change.errors import Unaccounted
from okto_change.execution import units
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import CheckResult, RowBound, Statement, StatementResult, TableWrites


@dataclass
class Course:
    """How far a batch got: the latest chunk that stands and its last key; rows of each statement, writes of each table."""

    opened: Opened
    number: int = 0
    last: str | None = None
    rows: tuple[int | None, ...] = ()
    took: tuple[int, ...] = ()
    """milliseconds of each statement, in the chunks that this process ran"""
    writes: dict[str, TableWrites] = field(default_factory=dict)
    verdicts: tuple[CheckResult, ...] = ()
    """of the checks before the first chunk"""
    go: Through | None = None
    """the table, as it was when the latest chunk was looked for"""

    @property
    def total(self) -> int | None:
        """Rows changed so far by all statements, None if one does not tell."""
        known = [rows for rows in self.rows if rows is not None]
        return sum(known) if len(known) == len(self.rows) else None

    def about(self) -> str:
        """Say how far it got, in words."""
        of = "" if self.opened.chunks is None else f" of about {max(self.opened.chunks, self.number):,}"
        rows = "" if self.total is None else f", {self.total:,} rows"
        return f"{self.number:,}{of} chunks{rows}"


def counted(job: Job, unit: SqlUnit, course: Course) -> Course:
    """Return where the batch stands with the rows of the chunk whose statements have just run."""
    ran = job.seen.statements[unit.number]
    rows = tuple(result.rows for result in ran)
    known = course.rows or (0,) * len(rows)
    took = tuple(one.milliseconds + before for one, before in zip(ran, course.took or (0,) * len(ran), strict=True))
    summed = tuple(None if one is None or two is None else one + two for one, two in zip(known, rows, strict=True))
    return replace(course, number=course.number + 1, rows=summed, took=took)


def added(job: Job, unit: SqlUnit, course: Course, found: Range) -> Course:
    """Return where the batch stands with the chunk that was just performed."""
    writes = dict(course.writes)
    for item in job.seen.writes[unit.number]:
        writes[item.table] = plus(writes.get(item.table), item)
    return replace(counted(job, unit, course), last=found.last, writes=writes)


def plus(one: TableWrites | None, two: TableWrites) -> TableWrites:
    """Return the writes of two chunks to one table together."""
    if one is None:
        return two
    return replace(
        two,
        inserted=one.inserted + two.inserted,
        updated=one.updated + two.updated,
        deleted=one.deleted + two.deleted,
        imaged=one.imaged + two.imaged,
    )


def demand_most(unit: SqlUnit, course: Course) -> None:
    """Raise Unaccounted before a chunk commits that would exceed what the plan allows for the whole."""
    for statement, bound, rows in bounds(unit, course):
        if rows is None or (bound.maximum is not None and rows > bound.maximum):
            changed = "does not tell how many rows it changed" if rows is None else f"would have changed {rows} rows"
            raise Unaccounted(
                f"with chunk {course.number} the statement {changed}, the plan allows {bound}",
                where=statement.where,
                hint="find out why, then change `rows:` or the statement, and lock again",
            )


def bounds(unit: SqlUnit, course: Course) -> list[tuple[Statement, RowBound, int | None]]:
    """Return the statements that have a bound, each with it and with its rows so far."""
    paired = zip(unit.statements, units.bounds(unit.steps[0], unit.statements), strict=True)
    rows = course.rows or (0,) * len(unit.statements)
    return [(one, bound, count) for (one, bound), count in zip(paired, rows, strict=True) if bound is not None]


def writes_of(found: dict[str, list[int]]) -> dict[str, TableWrites]:
    """Return what chunks wrote, by table, from its numbers inserted, updated, deleted and imaged."""
    return {
        table: TableWrites(
            table=table, inserted=inserted, updated=updated, deleted=deleted, imaged=imaged, declared=True
        )
        for table, (inserted, updated, deleted, imaged) in found.items()
    }


def see(job: Job, unit: SqlUnit, course: Course) -> None:
    """Leave for reports what the whole batch did so far, not what its last chunk did."""
    job.seen.writes[unit.number] = tuple(course.writes.values())
    job.seen.batches[unit.number] = course.about()
    if course.rows:
        took = course.took or (0,) * len(course.rows)
        job.seen.statements[unit.number] = tuple(
            StatementResult(step=one.step, index=one.index, rows=rows, milliseconds=took)
            for one, rows, took in zip(unit.statements, course.rows, took, strict=True)
        )
