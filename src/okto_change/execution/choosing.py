"""Which way to capture a unit: images taken ahead where each statement is simple and nothing else can be written, else triggers.

The choice saves time and locks; it is never trusted. Where images were taken ahead, the proof before COMMIT decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from okto_change.database.sending import Call
from okto_change.database.session import Row, Session
from okto_change.errors import ConnectionLost, DatabaseError, Refused
from okto_change.execution import images, units
from okto_change.execution.images import series
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import AutoUndo, Event, EventKind, Preview, Statement, StatementKind

TRIGGERS = "triggers, which hold SHARE ROW EXCLUSIVE (others read, nobody else writes) until COMMIT on {tables}: "
LIKELY = images.SMALL // 2
"""rows expected of a statement whose images had better have a table of their own: the planner guesses, and a table that was not
needed costs less than a second attempt"""
NAMED = 6
"""tables whose names are told; of more, how many"""
AHEAD = "reading rows ahead with each statement's own WHERE: no trigger, no lock but the statements' own"
PLAIN = frozenset(
    {StatementKind.UPDATE, StatementKind.DELETE, StatementKind.INSERT, StatementKind.SET, StatementKind.SELECT}
)
FIXED = PLAIN | {
    StatementKind.MERGE,
    StatementKind.TRUNCATE,
    StatementKind.COPY,
    StatementKind.TEMPORARY,
    StatementKind.OTHER,
}
"""kinds that do not change which table is part of which; what functions, DO and CALL do, the accounts tell"""
EVENTS = {StatementKind.INSERT: 4, StatementKind.DELETE: 8, StatementKind.UPDATE: 16}
"""kind -> its bit in ``pg_trigger.tgtype``"""

CONTENDED = "40001"
CONTESTS = 2
"""attempts without a lock that may fail because others write the same rows"""
OPS = {StatementKind.INSERT: "I", StatementKind.DELETE: "D", StatementKind.UPDATE: "U"}
"""kind -> how images call it"""


def start(job: Job, unit: SqlUnit, session: Session) -> images.Capture:
    """Begin to capture in the open transaction, the way that fits; remember in ``job.seen`` which one and why."""
    begun = _go_on(job, unit)
    if begun is not None:
        job.seen.captures[unit.number] = AHEAD
        return _since_first(job, unit, begun)
    reason = job.unproven.get(unit.number) or next(_obstacles(job, unit, session), None)
    if reason is None and (begun := _series(job, unit, session)) is not None:
        job.seen.captures[unit.number] = AHEAD
        return _since_first(job, unit, begun)
    if reason is None:
        job.seen.captures[unit.number] = AHEAD
        capture = images.begin_ahead(session, job.run, unit.key, list(_large(job, unit, session)))
    else:
        fixed = unit.number not in job.by_row and all(statement.kind in FIXED for statement in unit.statements)
        tables = job.resolved.pop(unit.number, None) or job.covered(unit)
        capture = images.start(session, job.run, unit.key, tables, fixed=fixed)
        if capture.tables or not unit.definitions:
            job.seen.captures[unit.number] = TRIGGERS.format(tables=_named(capture)) + reason
    return _since_first(job, unit, capture)


def _since_first(job: Job, unit: SqlUnit, capture: images.Capture) -> images.Capture:
    # What setval did in an attempt that was rolled back stays; without this the next attempt would not see it.
    first = job.sequences.setdefault(unit.number, capture.before.sequences)
    capture.before = replace(capture.before, sequences={**capture.before.sequences, **first})
    return capture


def resolve(job: Job, unit: SqlUnit, session: Session) -> None:
    """Find the tables to lock before the transaction begins, where it will have triggers for sure.

    Its first query takes its snapshot; one that waits for locks after that would judge rows as they were before.
    """
    if unit.number in job.unproven:
        job.resolved[unit.number] = images.cover(session, job.covered(unit))


def contended(job: Job, unit: SqlUnit, error: DatabaseError, attempts: int) -> str:
    """Have a unit whose rows others keep writing lock its tables from now on; return what to say of that, or ''."""
    ahead = job.seen.captures.get(unit.number) == AHEAD
    if error.sqlstate != CONTENDED or attempts < CONTESTS or not ahead or unit.chunk is not None:
        return ""
    job.unproven[unit.number] = f"others wrote the same rows during {attempts} attempts without a lock"
    return "; locking the tables before reading them from now on"


def hold(job: Job, unit: SqlUnit, session: Session, chunk: int, *calls: Call) -> list[list[Row]] | None:
    """Begin a chunk of a batch by what the one before found out, and run queries of ours under pinned settings.

    Return their rows, None where there is nothing that chunks found out, or where it does not hold for the next.
    """
    known = job.chunks.get(unit.number)
    if known is None or unit.number in job.unproven:
        return None
    return series.reopen(session, job.run, units.chunk(unit, chunk).key, known, *calls)


def _go_on(job: Job, unit: SqlUnit) -> images.Capture | None:
    """Return the chunk that ``hold`` began."""
    known = job.chunks.get(unit.number)
    if unit.chunk is None or known is None or unit.number in job.unproven:
        return None
    return series.go_on(unit.key, known)


def _series(job: Job, unit: SqlUnit, session: Session) -> images.Capture | None:
    """Begin a chunk, and tables for the images of this one and the next, where all of its statements fit in."""
    known = job.chunks.get(unit.number)
    writing = [statement for statement in unit.statements if statement.kind.writes_rows]
    if unit.chunk is None or known is None or any(one.kind is StatementKind.INSERT for one in writing):
        return None
    if not series.fresh(session):
        return None
    wanted: dict[tuple[str, int], tuple[int, str, tuple[str, ...]]] = {}
    previews: dict[tuple[str, int], Preview] = {}
    for statement in writing:
        preview, relid = _preview(job, statement), _target(session, statement)
        if preview is None or relid is None:
            return None
        wanted[statement.step, statement.index] = (relid, OPS[statement.kind], preview.sets)
        previews[statement.step, statement.index] = preview
    return series.begin(session, job.run, unit.key, wanted, known, previews=previews, touches=unit.touches)


def _named(capture: images.Capture) -> str:
    names = sorted(f"{leaf.schema}.{leaf.name}" for leaf in capture.tables.values())
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (", ".join(names[:NAMED]) or "no table yet") + more


def demand_reversible(job: Job) -> None:
    """Raise Refused, before anything runs, if rows of a unit to be undone from images could not be put back."""
    units = [unit for unit in job.units if isinstance(unit, SqlUnit)]
    automatic = [unit for unit in units if any(isinstance(step.undo, AutoUndo) for step in unit.steps)]
    for target in dict.fromkeys(unit.target for unit in automatic):
        _demand_unheard(job.targets.session(target))
    for unit in automatic:
        writing = [statement for statement in unit.statements if statement.kind.writes_rows]
        kinds = {statement.kind for statement in writing}
        faults = images.refusals_before(
            job.targets.session(unit.target),
            {name for statement in writing for name in statement.writes},
            delete=not kinds <= {StatementKind.UPDATE, StatementKind.INSERT},
            update=not kinds <= {StatementKind.DELETE, StatementKind.INSERT},
        )
        if faults:
            raise Refused(
                f"{unit.name}: not automatically reversible, so nothing was run",
                where=unit.target,
                faults=faults,
                state="nothing was changed",
                hint="run it as a role that may put the rows back, or give the step an undo script",
            )


def _demand_unheard(session: Session) -> None:
    """Refuse where what event triggers log of our own DDL could not be put back. They are asked by trying."""
    try:
        tables = images.heard(session)
        faults = images.refusals_before(session, tables)
    except DatabaseError as error:
        if isinstance(error, ConnectionLost):
            raise
        tables, faults = (), (f"an event trigger forbids it: {error.message}",)
    if faults:
        raise Refused(
            "event triggers hear what okto-change makes to keep and put back rows"
            + (f", and write to {', '.join(tables)}" if tables else ""),
            where=session.target,
            faults=faults,
            state="nothing was changed",
            hint=images.SILENCE.format(user=session.identity.user),
        )


def ahead(job: Job, session: Session, capture: images.Capture, statement: Statement) -> None:
    """Image what ``statement`` is about to change, if that is the way of this capture. Raises images.Unproven."""
    if capture.imaged is None or not statement.kind.writes_rows:
        return
    if capture.imaged.chunk is not None:
        _copy(job, session, capture, capture.imaged.chunk, statement)
        return
    relid = _target(session, statement) or 0
    if statement.kind is StatementKind.INSERT:
        images.ahead_of_insert(session, capture, relid)
        return
    preview = _preview(job, statement)
    if preview is None:
        raise images.Unproven(capture.unit, "the rows of a statement cannot be read without running it")
    images.ahead_of_change(session, capture, preview, OPS[statement.kind], relid)


def _copy(job: Job, session: Session, capture: images.Capture, chunk: series.Chunk, statement: Statement) -> None:
    preview = _preview(job, statement)
    if preview is None:
        raise images.Unproven(capture.unit, "the rows of a statement cannot be read without running it")
    series.copy(session, capture, chunk, preview, statement)


def otherwise(job: Job, unproven: images.Unproven, name: str | None = None) -> Event:
    """Have the next attempt capture the unit otherwise, with triggers at the latest; return the event that says so and why."""
    unit = int(unproven.unit.partition("/")[0])
    reason = f"keeping images in a table of their own: {unproven.reason}"
    if unproven.large and unit not in job.large and "/" not in unproven.unit:
        job.large.add(unit)
    else:
        job.unproven[unit] = unproven.reason
        reason = f"capturing with triggers: {unproven.reason}"
    return job.event(EventKind.RETRYING, name, reason=reason, unit=unit)


def _obstacles(job: Job, unit: SqlUnit, session: Session) -> Iterator[str]:
    if unit.scripts:
        yield "the author's own undo has to be compared"
    for statement in unit.statements:
        yield from _wording(job, statement)
    for statement in unit.statements:
        if statement.kind.writes_rows:
            yield from _catalogue(job, statement, session)


def _large(job: Job, unit: SqlUnit, session: Session) -> Iterator[tuple[int, str, Preview | None]]:
    """The statements that will change many rows, as far as the planner can tell, and that are the only ones of their table."""
    if unit.chunk is not None:
        return  # ten thousand chunks leave no ten thousand tables
    writing = [statement for statement in unit.statements if statement.kind.writes_rows]
    targets = [_target(session, statement) for statement in writing]
    for relid, statement in zip(targets, writing, strict=True):
        if relid is None or targets.count(relid) > 1:
            continue
        preview = _preview(job, statement)
        text = preview.one if preview else statement.text
        if unit.number in job.large or images.expected(session, text) >= LIKELY:
            yield relid, OPS[statement.kind], preview


def _wording(job: Job, statement: Statement) -> Iterator[str]:
    where = f"statement {statement.index + 1} of {statement.step}"
    if statement.kind not in PLAIN:
        yield f"{where} is neither UPDATE, DELETE nor INSERT"
    elif statement.kind.writes_rows and len(statement.writes) != 1:
        yield f"{where} writes more than one table"
    elif statement.kind is StatementKind.INSERT and "conflict" in statement.text.lower():
        yield f"{where} may update on conflict"
    elif statement.kind in (StatementKind.UPDATE, StatementKind.DELETE) and _preview(job, statement) is None:
        yield f"{where}: its rows cannot be read without running it"


def _catalogue(job: Job, statement: Statement, session: Session) -> Iterator[str]:
    preview = _preview(job, statement)
    relid = _target(session, statement)
    if relid is None:
        yield f"{statement.writes[0]} is not known here"
        return
    yield from images.obstacles_ahead(
        session,
        relid,
        EVENTS[statement.kind],
        columns=preview.sets if preview else (),
        calls=preview.calls if preview else (),
        many=statement.kind is StatementKind.INSERT and images.expected(session, statement.text) > images.SMALL,
    )


def _target(session: Session, statement: Statement) -> int | None:
    return images.resolve(session, statement.writes).get(statement.writes[0])


def _preview(job: Job, statement: Statement) -> Preview | None:
    return job.previews.get((statement.step, statement.index))
