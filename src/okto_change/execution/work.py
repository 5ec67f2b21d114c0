"""One SQL unit: a transaction with its limits, captured rows, accounting and checks. Rehearsal and apply share it."""

from __future__ import annotations

import time
from collections.abc import Generator

from okto_change.database import accounting, facts, state
from okto_change.database.session import REPEATABLE_READ, Session
from okto_change.errors import DatabaseError, NotReversible, Refused, StepFailed, Stuck, Unaccounted
from okto_change.execution import catalogue, checks, choosing, images, interrupts, inverse, transactions
from okto_change.execution.images import series_proof
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit, bounds
from okto_change.model import (
    AutoUndo,
    Check,
    CheckResult,
    Event,
    EventKind,
    LockTaken,
    RowBound,
    SqlStep,
    Statement,
    StatementKind,
    StatementResult,
)

Events = Generator[Event, None, None]


def commit_unit(job: Job, unit: SqlUnit) -> Events:
    """Run ``unit`` and commit it; see ``transactions.retried`` for what is tried again and what is raised."""
    yield from transactions.retried(job, unit, lambda session: _attempt(job, unit, session))


def _attempt(job: Job, unit: SqlUnit, session: Session) -> Events:
    choosing.resolve(job, unit, session)
    session.begin(unit.timeouts(), isolation=REPEATABLE_READ)
    transactions.hold(job, session)
    capture = yield from perform(job, unit, session)
    job.use_up(session)
    state.record_applied(
        session,
        run=job.run,
        unit=str(unit.number),
        change=job.lock.change,
        environment=job.lock.environment,
        digest=job.lock.digest,
        executor=str(job.authority.get("person", "")),
    )
    if unit.scripts and unit.number in job.seen.definitions:
        changed = catalogue.altered(job.seen.definitions[unit.number], facts.fingerprint(session))
        state.keep_altered(session, run=job.run, unit=str(unit.number), objects=changed)
    images.finish(session, capture)
    job.look()
    mark = state.backend(session)
    yield job.event(EventKind.COMMITTING, unit.name, unit=unit.number, target=unit.target, **transactions.marked(mark))
    transactions.commit(job, unit.target, session, mark)
    job.seen.committed.add(unit.number)
    yield job.event(EventKind.COMMITTED, unit.name, unit=unit.number, target=unit.target)
    transactions.tidy(job.targets, unit.target)


# ----------------------------------------------------------------------------- inside the transaction


def perform(job: Job, unit: SqlUnit, session: Session) -> Generator[Event, None, images.Capture]:
    """Capture, check, run, account and check again inside the open transaction; everything but the COMMIT.

    Raises NotCovered, images.Unproven, StepFailed (a bound, a check), Unaccounted (rows without image, tables not
    declared), DatabaseError.
    """
    job.seen.checks[unit.number] = ()
    job.seen.statements[unit.number] = ()
    with interrupts.allowed():
        capture = choosing.start(job, unit, session)
        before = inverse.look(session, job.compared.get(unit.target, ())) if unit.definitions else None
        if unit.scripts or unit.temporary:
            job.seen.definitions[unit.number] = facts.fingerprint(session)
    invariants = [(check, ask(session, check)) for check in unit.invariants]
    for check in unit.before:
        yield from judge_before(job, unit, check, session)
    for step in unit.steps:
        yield job.event(EventKind.STEP_STARTED, step.name, target=unit.target, unit=unit.number)
        yield from _run_step(job, unit, step, session, capture)
    if unit.chunk is None or unit.inside or invariants:  # else the accounts are next, and have what is deferred fire
        with interrupts.allowed():
            session.run("SET CONSTRAINTS ALL IMMEDIATE")
    for check in unit.inside:
        yield from verdict(job, unit, check, checks.judge(check, *ask(session, check)))
    for check, (rows, _) in invariants:
        yield from verdict(job, unit, check, checks.compare(check, rows, *ask(session, check)))
    with interrupts.allowed():
        account(job, unit, session, capture)
        if before is not None:
            _keep_inverse(job, unit, session, before)
    yield job.event(
        EventKind.IMAGES_KEPT,
        unit.name,
        unit=unit.number,
        capture=job.seen.captures.get(unit.number, "none: no rows are written"),
        writes={
            writes.table: [writes.inserted, writes.updated, writes.deleted] for writes in job.seen.writes[unit.number]
        },
    )
    return capture


def judge_before(job: Job, unit: SqlUnit, check: Check, session: Session) -> Events:
    """Judge a ``before`` check on the snapshot of the change; units after the first repeat what was told before the run."""
    result = checks.judge(check, *ask(session, check))
    if unit.number > 1 and result.passed:
        return
    job.seen.checks[unit.number] += (result,)
    yield check_event(job, result)
    if not result.passed:
        family, what = (Refused, "nothing") if unit.number == 1 else (StepFailed, f"nothing more on {unit.target}")
        raise family(
            f"the check before the change failed, so {what} was run: {result.name!r} expected {result.expected}, "
            f"found {result.found}",
            where=check.where,
        )


def ask(session: Session, check: Check) -> checks.Found:
    """Run a check's query in the open transaction; return what it found."""
    try:
        with interrupts.allowed():
            return session.answer(check.sql)
    except DatabaseError as error:
        error.where = str(check.where)
        raise


def _run_step(job: Job, unit: SqlUnit, step: SqlStep, session: Session, capture: images.Capture) -> Events:
    if unit.chunk is None:
        job.look()  # a chunk has its look beside it, and is answered before its COMMIT
    if unit.chunk is None or unit.invariants or session.limits != step.timeouts:
        # else a chunk, which begins with its limits, and nothing ran before
        session.limit(step.timeouts)
    statements = unit.of(step)
    for statement, bound in zip(statements, bounds(step, statements), strict=True):
        yield job.event(EventKind.STATEMENT_STARTED, step.name, index=statement.index, at=str(statement.where))
        with interrupts.allowed():
            choosing.ahead(job, session, capture, statement)
        result = _run_statement(job, unit, statement, session)
        if session.tag == "RESET":
            session.limit(step.timeouts)  # RESET ALL has dropped them
        job.seen.statements[unit.number] += (result,)
        yield job.event(
            EventKind.STATEMENT_DONE,
            step.name,
            index=statement.index,
            rows=result.rows,
            milliseconds=result.milliseconds,
        )
        _demand_bound(statement, bound, result.rows)


def _run_statement(job: Job, unit: SqlUnit, statement: Statement, session: Session) -> StatementResult:
    told = unit.chunk is None  # nobody is shown the locks of ten thousand chunks
    held = set(accounting.locks_taken(session)) if told else set()
    started = time.monotonic()
    try:
        with interrupts.allowed():
            rows = _execute(job, unit, statement, session)
    except DatabaseError as error:
        error.where = str(statement.where)
        raise
    if not session.in_transaction:
        raise Stuck(
            "the statement ended the transaction",
            where=statement.where,
            state="what ran up to here may be committed without images",
            hint="look at the tables and put them right by hand",
        )
    if statement.kind.writes_rows and session.tag.startswith("SELECT"):
        rows = None  # WITH ... UPDATE ... SELECT: the tag counts the rows shown, not those changed
    taken = sorted(set(accounting.locks_taken(session)) - held) if told else []
    return StatementResult(
        step=statement.step,
        index=statement.index,
        rows=rows,
        milliseconds=round((time.monotonic() - started) * 1000),
        locks=tuple(LockTaken(relation=relation, mode=mode) for relation, mode in taken),
    )


def _execute(job: Job, unit: SqlUnit, statement: Statement, session: Session) -> int | None:
    if statement.instead is not None:
        inverse.put_aside(session, job.run, str(unit.number), lambda: session.run(statement.text))
        return None
    if statement.data is not None:
        return session.copy_in(statement.text, statement.data)
    return session.run(statement.text)


def _demand_bound(statement: Statement, bound: RowBound | None, rows: int | None) -> None:
    if bound is not None and (rows is None or rows not in bound):
        changed = "does not tell how many rows it changed" if rows is None else f"changed {rows} rows"
        raise Unaccounted(
            f"the statement {changed}, the plan allows {bound}",
            where=statement.where,
            state="rolled back; nothing was changed",
            hint="find out why, then change `rows:` or the statement, and lock again",
        )


def account(job: Job, unit: SqlUnit, session: Session, capture: images.Capture) -> None:
    """Demand that every changed row has its image and every changed table is declared; keep the figures in ``job.seen``."""
    ddl = any(statement.kind is StatementKind.DDL for statement in unit.statements)
    if capture.imaged is not None and capture.imaged.chunk is not None:
        found = series_proof.account(session, capture, capture.imaged.chunk)
    else:
        images.prove(session, capture)
        same = unit.temporary and job.seen.definitions[unit.number] == facts.fingerprint(session)
        found = images.account(
            session, capture, ddl=ddl, touches=unit.touches, compared=unit.definitions, unaltered=same
        )
    job.seen.writes[unit.number] = found.writes
    # Refusals before another attempt: what setval did stays, and the second time it would look unchanged.
    if found.refusals and any(isinstance(step.undo, AutoUndo) for step in unit.steps):
        raise NotReversible(
            f"{unit.name}: not automatically reversible",
            where=unit.target,
            faults=found.refusals,
            state="rolled back; nothing was changed",
            hint='give the step an undo script, or `undo: {irreversible: "reason"}` that the approver signs',
        )
    if found.missing:
        doubted = unit.number if found.missing & capture.by_statement else None
        raise transactions.NotCovered(unit.target, found.missing, unit=doubted)
    stray = tuple(f"{writes.table}: {writes.total} rows" for writes in found.writes if not writes.declared)
    if stray:
        raise Unaccounted(
            f"{unit.name}: tables changed that `touches` does not name",
            where=unit.target,
            faults=stray,
            state="rolled back; nothing was changed",
            hint="if these changes are meant, add the tables to `touches:` and lock again",
        )


def _keep_inverse(job: Job, unit: SqlUnit, session: Session, before: inverse.Before) -> None:
    try:
        job.inverses[unit.number] = inverse.keep(session, job.run, str(unit.number), before)
    except NotReversible as error:
        error.message = f"{unit.name}: {error.message}"
        error.where = unit.target
        raise


def verdict(job: Job, unit: SqlUnit, check: Check, result: CheckResult) -> Events:
    """Tell the verdict of a check. Raises StepFailed when it did not hold."""
    job.seen.checks[unit.number] += (result,)
    yield check_event(job, result)
    if not result.passed:
        kind = "the invariant" if check.expect is None else "the check"
        raise StepFailed(
            f"{kind} {check.name!r} failed: expected {result.expected}, found {result.found}",
            where=check.where,
            state="rolled back; nothing was changed",
        )


def check_event(job: Job, result: CheckResult) -> Event:
    """Return the event of a verdict."""
    kind = EventKind.CHECK_PASSED if result.passed else EventKind.CHECK_FAILED
    return job.event(kind, result.name, phase=result.phase.value, expected=result.expected, found=result.found)


def read_only(job: Job, check: Check) -> checks.Found:
    """Run a check's query in a read-only transaction of its own; return its rows as text, and which columns to hide."""
    session = job.targets.ready(check.target)
    try:
        session.begin(read_only=True)
        return ask(session, check)
    finally:
        session.rollback()
