"""One SQL unit: a transaction with its limits, captured rows, accounting and checks. Rehearsal and apply share it."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from okto_change.database import accounting, state
from okto_change.database.session import REPEATABLE_READ, Session
from okto_change.errors import ConnectionLost, DatabaseError, NotReversible, Refused, StepFailed, Stuck, Unaccounted
from okto_change.execution import checks, images
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

RETRIABLE = {"55P03", "40001", "40P01"}
ATTEMPTS = 5
FIRST_PAUSE = 0.2
Events = Generator[Event, None, None]


class NotCovered(Exception):
    """Accounting found writes to tables that capture did not cover; the transaction is rolled back and tried with them."""

    def __init__(self, target: str, tables: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(tables)))
        self.target = target
        self.tables = tables


def commit_unit(job: Job, unit: SqlUnit) -> Events:
    """Run ``unit`` and commit it; on 55P03, 40001, 40P01 and on tables that capture missed, roll back and try again.

    Raises StepFailed or a subclass with everything rolled back, Stuck when nobody can tell whether a COMMIT arrived.
    """
    for attempt in range(1, ATTEMPTS + 1):
        session = job.targets.session(unit.target)
        try:
            with rolled_back_unless_committed(session):
                yield from _attempt(job, unit, session)
                return
        except NotCovered as missed:
            grow(job, missed, attempt)
            yield job.event(EventKind.RETRYING, unit.name, reason=f"also capturing {missed}", attempt=attempt)
        except DatabaseError as error:
            if error.sqlstate not in RETRIABLE or attempt == ATTEMPTS:
                raise failed(unit, error) from error
            yield job.event(EventKind.RETRYING, unit.name, reason=error.message, attempt=attempt)
            time.sleep(FIRST_PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311


def grow(job: Job, missed: NotCovered, attempt: int) -> None:
    """Add the tables that accounting found; raise Unaccounted when the last attempt still missed some."""
    known = job.coverage.setdefault(missed.target, set())
    if attempt == ATTEMPTS or missed.tables <= known:
        raise Unaccounted(f"rows changed in tables that cannot be captured: {missed}", where=missed.target) from missed
    known |= missed.tables


def failed(unit: SqlUnit, error: DatabaseError) -> DatabaseError | StepFailed:
    """Say which unit a database error stopped."""
    if isinstance(error, ConnectionLost):
        return StepFailed(
            f"{unit.name}: {error.message}", where=unit.target,
            state="the server rolls back what was open; nothing was committed", hint=error.hint,
        )  # fmt: skip
    return StepFailed(error.message, where=error.where, state="rolled back; nothing was changed", hint=error.hint)


@contextmanager
def rolled_back_unless_committed(session: Session) -> Iterator[None]:
    """Roll back what the body left open, also when the generator that runs it is closed; the first error stays the error."""
    try:
        yield
    except BaseException:
        try:
            session.rollback()
        except DatabaseError:
            session.close()
        raise


def _attempt(job: Job, unit: SqlUnit, session: Session) -> Events:
    session.begin(unit.timeouts(), isolation=REPEATABLE_READ)
    state.target_lock(session, job.run)
    capture = yield from perform(job, unit, session)
    state.record_applied(
        session, run=job.run, unit=str(unit.number), change=job.lock.change, environment=job.lock.environment,
        digest=job.lock.digest, executor=str(job.authority.get("person", "")),
    )  # fmt: skip
    leftovers = images.finish(session, capture)
    mark = state.backend(session)
    yield job.event(EventKind.COMMITTING, unit.name, unit=unit.number, target=unit.target, **marked(mark))
    commit(job, unit.target, session, mark)
    yield job.event(EventKind.COMMITTED, unit.name, unit=unit.number, target=unit.target)
    if leftovers:
        images.clean_up(session)


def commit(job: Job, target: str, session: Session, mark: state.Backend) -> None:
    """COMMIT; when the answer is lost, ask a fresh connection what became of the transaction.

    Returns only if it is committed. Raises StepFailed if it is not, Stuck if nobody can tell.
    """
    try:
        session.commit()
        return
    except ConnectionLost as lost:
        try:
            fate = state.settle(job.targets.fresh(target), mark, job.run)
        except DatabaseError as error:
            raise Stuck(
                f"the connection broke at COMMIT and {target} cannot be asked: {error.message}", where=target,
                state="unknown: the last COMMIT may or may not have arrived",
                hint=f"run `okto-change status --env {job.lock.environment}` when the server is back; nothing is applied twice",
            ) from lost  # fmt: skip
        if fate == "in progress":
            raise Stuck(
                f"the connection broke at COMMIT and {target} still works on it", where=target,
                state="unknown: the last COMMIT is still in progress",
                hint=f"run `okto-change status --env {job.lock.environment}` in a minute; nothing is applied twice",
            ) from lost  # fmt: skip
        if fate == "aborted":
            raise StepFailed(
                "the connection broke before COMMIT arrived", where=target, state="rolled back; nothing was changed",
                hint="run apply again",
            ) from lost  # fmt: skip


def marked(mark: state.Backend) -> dict[str, int | str]:
    """Return a transaction's identity as event data, for whoever must find out later what became of it."""
    return {"xid": mark.xid, "pid": mark.pid, "started": mark.started}


# ----------------------------------------------------------------------------- inside the transaction


def perform(job: Job, unit: SqlUnit, session: Session) -> Generator[Event, None, images.Capture]:
    """Capture, check, run, account and check again inside the open transaction; everything but the COMMIT.

    Raises NotCovered, StepFailed (a bound, a check), Unaccounted (rows without image, tables not declared), DatabaseError.
    """
    job.seen.checks[unit.number] = ()
    job.seen.statements[unit.number] = ()
    capture = images.start(session, job.run, str(unit.number), job.covered(unit))
    invariants = [(check, session.texts(check.sql)[1]) for check in unit.invariants]
    for check in unit.before:
        yield from _before(job, unit, check, session)
    for step in unit.steps:
        yield job.event(EventKind.STEP_STARTED, step.name, target=unit.target, unit=unit.number)
        yield from _run_step(job, unit, step, session)
    session.run("SET CONSTRAINTS ALL IMMEDIATE")
    for check in unit.inside:
        yield from _verdict(job, unit, check, checks.judge(check, session.texts(check.sql)[1]))
    for check, before in invariants:
        yield from _verdict(job, unit, check, checks.compare(check, before, session.texts(check.sql)[1]))
    account(job, unit, session, capture)
    yield job.event(
        EventKind.IMAGES_KEPT, unit.name, unit=unit.number,
        writes={writes.table: [writes.inserted, writes.updated, writes.deleted] for writes in job.seen.writes[unit.number]},
    )  # fmt: skip
    return capture


def _before(job: Job, unit: SqlUnit, check: Check, session: Session) -> Events:
    """Judge a ``before`` check on the snapshot of the change; units after the first repeat what was told before the run."""
    result = checks.judge(check, session.texts(check.sql)[1])
    if unit.number > 1 and result.passed:
        return
    job.seen.checks[unit.number] += (result,)
    yield check_event(job, result)
    if not result.passed:
        family = Refused if unit.number == 1 else StepFailed
        raise family(
            f"the check before the change failed, so nothing was run: {result.name!r} expected {result.expected}, "
            f"found {result.found}", where=check.where,
        )  # fmt: skip


def _run_step(job: Job, unit: SqlUnit, step: SqlStep, session: Session) -> Events:
    session.limit(step.timeouts)
    statements = unit.of(step)
    for statement, bound in zip(statements, bounds(step, statements), strict=True):
        yield job.event(EventKind.STATEMENT_STARTED, step.name, index=statement.index, at=str(statement.where))
        result = _run_statement(statement, session)
        if session.tag == "RESET":
            session.limit(step.timeouts)  # RESET ALL has dropped them
        job.seen.statements[unit.number] += (result,)
        yield job.event(
            EventKind.STATEMENT_DONE, step.name, index=statement.index, rows=result.rows, milliseconds=result.milliseconds
        )
        _demand_bound(statement, bound, result.rows)


def _run_statement(statement: Statement, session: Session) -> StatementResult:
    held = set(accounting.locks_taken(session))
    started = time.monotonic()
    try:
        rows = session.run(statement.text) if statement.data is None else session.copy_in(statement.text, statement.data)
    except DatabaseError as error:
        error.where = str(statement.where)
        raise
    if not session.in_transaction:
        raise Stuck(
            "the statement ended the transaction", where=statement.where,
            state="what ran up to here may be committed without images", hint="look at the tables and put them right by hand",
        )  # fmt: skip
    if statement.kind.writes_rows and session.tag.startswith("SELECT"):
        rows = None  # WITH ... UPDATE ... SELECT: the tag counts the rows shown, not those changed
    taken = sorted(set(accounting.locks_taken(session)) - held)
    return StatementResult(
        step=statement.step, index=statement.index, rows=rows, milliseconds=round((time.monotonic() - started) * 1000),
        locks=tuple(LockTaken(relation=relation, mode=mode) for relation, mode in taken),
    )  # fmt: skip


def _demand_bound(statement: Statement, bound: RowBound | None, rows: int | None) -> None:
    if bound is not None and (rows is None or rows not in bound):
        changed = "does not tell how many rows it changed" if rows is None else f"changed {rows} rows"
        raise Unaccounted(
            f"the statement {changed}, the plan allows {bound}", where=statement.where,
            state="rolled back; nothing was changed", hint="find out why, then change `rows:` or the statement, and lock again",
        )  # fmt: skip


def account(job: Job, unit: SqlUnit, session: Session, capture: images.Capture) -> None:
    """Demand that every changed row has its image and every changed table is declared; keep the figures in ``job.seen``."""
    ddl = any(statement.kind is StatementKind.DDL for statement in unit.statements)
    found = images.account(session, capture, ddl=ddl, touches=unit.touches)
    job.seen.writes[unit.number] = found.writes
    if found.missing:
        raise NotCovered(unit.target, found.missing)
    if found.refusals and any(isinstance(step.undo, AutoUndo) for step in unit.steps):
        raise NotReversible(
            f"{unit.name}: not automatically reversible", where=unit.target, faults=found.refusals,
            state="rolled back; nothing was changed",
            hint="give the step an undo script, or `undo: {irreversible: \"reason\"}` that the approver signs",
        )  # fmt: skip
    stray = tuple(f"{writes.table}: {writes.total} rows" for writes in found.writes if not writes.declared)
    if stray:
        raise Unaccounted(
            f"{unit.name}: tables changed that `touches` does not name", where=unit.target, faults=stray,
            state="rolled back; nothing was changed",
            hint="if these changes are meant, add the tables to `touches:` and lock again",
        )  # fmt: skip


def _verdict(job: Job, unit: SqlUnit, check: Check, result: CheckResult) -> Events:
    job.seen.checks[unit.number] += (result,)
    yield check_event(job, result)
    if not result.passed:
        kind = "the invariant" if check.expect is None else "the check"
        raise StepFailed(
            f"{kind} {check.name!r} failed: expected {result.expected}, found {result.found}", where=check.where,
            state="rolled back; nothing was changed",
        )  # fmt: skip


def check_event(job: Job, result: CheckResult) -> Event:
    """Return the event of a verdict."""
    kind = EventKind.CHECK_PASSED if result.passed else EventKind.CHECK_FAILED
    return job.event(kind, result.name, phase=result.phase.value, expected=result.expected, found=result.found)


def read_only(job: Job, check: Check) -> list[tuple[str | None, ...]]:
    """Run a check's query in a read-only transaction of its own; return its rows as text."""
    session = job.targets.session(check.target)
    try:
        session.begin(read_only=True)
        return session.texts(check.sql)[1]
    except DatabaseError as error:
        error.where = str(check.where)
        raise
    finally:
        session.rollback()
