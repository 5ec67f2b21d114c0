"""One transaction on one target: tried again where that helps, committed once, asked about when the answer is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from okto_change.database import state
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, DatabaseError, StepFailed, Stuck, Unaccounted
from okto_change.execution import catalogue, choosing, images, interrupts
from okto_change.execution.job import Job
from okto_change.execution.targets import Targets
from okto_change.execution.units import SqlUnit
from okto_change.model import Event, EventKind

RETRIABLE = {"55P03", "40001", "40P01"}
ATTEMPTS = 5
LAST = ATTEMPTS + 3
"""with one each for images kept in a table of their own, by triggers, and row by row: none of these ways is found twice"""
FIRST_PAUSE = 0.2
"""seconds before the second attempt; doubled for each one after it"""
PATIENCE = 10.0
"""seconds that a run which has committed something already waits for a target that another run holds"""
T = TypeVar("T")
Attempt = Callable[[Session], Generator[Event, None, T]]
"""one try of a transaction on an idle session"""


class NotCovered(Exception):
    """Accounting found writes to tables that capture did not cover; the transaction is rolled back and tried with them."""

    def __init__(self, target: str, tables: frozenset[str], *, unit: int | None = None) -> None:
        super().__init__(", ".join(sorted(tables)))
        self.target = target
        self.tables = tables
        self.unit = unit
        """the unit whose rows must be imaged row by row, since tables were captured statement by statement"""


def retried(job: Job, unit: SqlUnit, attempt: Attempt[T]) -> Generator[Event, None, T]:
    """Run one transaction; on 55P03, 40001, 40P01 and on tables that capture missed, roll back and try again.

    Five attempts at most, each one after the first announced; and three more where rows had to be captured in another way.
    Where others keep writing the same rows, the third attempt locks them out first. Raises StepFailed or a subclass with
    everything rolled back, Stuck when nobody can tell whether a COMMIT arrived, ConnectionFailed.
    """
    number = 0
    while True:
        number += 1
        session = job.targets.ready(unit.target)
        pause = FIRST_PAUSE * 2 ** (number - 1) * random.uniform(0.5, 1.5)  # noqa: S311
        try:
            with rolled_back_unless_committed(session):
                return (yield from attempt(session))
        except NotCovered as missed:
            grow(job, missed, number)
            if number >= LAST:
                raise _exhausted(unit, number, f"rows also changed in {missed}") from missed
            reason, pause = f"also capturing {missed}", 0
        except catalogue.NotCompared as moved:
            if number >= ATTEMPTS:
                raise Unaccounted(f"every attempt moves other rows than the one before: {moved}") from moved
            job.compared.setdefault(moved.target, set()).update(moved.tables)
            reason, pause = f"also reading what {moved} holds, before it is moved", 0
        except images.Unproven as unproven:
            if number >= LAST:
                raise _exhausted(unit, number, unproven.reason) from unproven
            yield choosing.otherwise(job, unproven, unit.name)
            continue
        except DatabaseError as error:
            if error.sqlstate not in RETRIABLE or number >= ATTEMPTS:
                raise _failed(unit, error, number) from error
            reason = error.message + choosing.contended(job, unit, error, number)
        yield job.event(EventKind.RETRYING, unit.name, reason=reason, attempt=number)
        with interrupts.allowed():
            time.sleep(pause)


def _exhausted(unit: SqlUnit, attempts: int, reason: str) -> Unaccounted:
    """Say that no way of capturing what the unit changes held."""
    return Unaccounted(
        f"{unit.name}: its rows could not be captured in {attempts} attempts: {reason}",
        where=unit.target,
        state="rolled back; nothing was changed",
        hint="run it again when others do not write these tables; if that does not help, split the step",
    )


def grow(job: Job, missed: NotCovered, attempt: int) -> None:
    """Add the tables that accounting found; raise Unaccounted when the last attempt still missed some."""
    known = job.coverage.setdefault(missed.target, set())
    if missed.unit is not None and missed.unit not in job.by_row:
        job.by_row.add(missed.unit)
        known |= missed.tables
        return
    if attempt >= ATTEMPTS or missed.tables <= known:
        raise Unaccounted(f"rows changed in tables that cannot be captured: {missed}", where=missed.target) from missed
    known |= missed.tables


def _failed(unit: SqlUnit, error: DatabaseError, attempts: int) -> StepFailed:
    """Say which unit a database error stopped, and how often it was tried."""
    tried = f" (tried {attempts} times)" if attempts > 1 else ""
    message = f"{unit.name}: {error.message}" if isinstance(error, ConnectionLost) else error.message
    return StepFailed(
        message + tried, where=error.where or unit.target, state="rolled back; nothing was changed", hint=error.hint
    )


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


def hold(job: Job, session: Session) -> None:
    """Hold the target for this run until the transaction ends; a run that has committed something waits ten seconds for it."""
    begun = job.seen.committed or job.seen.undone or job.seen.batches_undone
    with interrupts.allowed():
        state.target_lock(session, job.run, wait=PATIENCE if begun else 0.0)


def commit(job: Job, target: str, session: Session, mark: state.Backend) -> None:
    """COMMIT, once it is announced; when the answer is lost, ask a fresh connection what became of the transaction.

    Returns only if it is committed. Raises StepFailed if it is not, Stuck if nobody can tell; what waiting for the
    announcement raises, with nothing sent.
    """
    job.announced.wait()
    try:
        session.commit()
    except ConnectionLost as lost:
        return _find_out(job, target, mark, lost)
    except KeyboardInterrupt as impatient:
        what = "interrupted again while COMMIT was under way"
        raise _unknown(job, target, what, "may or may not have arrived") from impatient
    if session.tag != "COMMIT":  # a transaction that failed unseen: the server rolls it back without an error
        raise StepFailed(
            f"{target} answered COMMIT with {session.tag}", where=target, state="rolled back; nothing was changed"
        )
    job.sequences.clear()  # a later transaction of the unit, a batch, is no second attempt


def _find_out(job: Job, target: str, mark: state.Backend, lost: ConnectionLost) -> None:
    try:
        fate = state.settle(job.targets.fresh(target), mark, job.run)
    except DatabaseError as error:
        what = f"the connection broke at COMMIT and {target} cannot be asked: {error.message}"
        raise _unknown(job, target, what, "may or may not have arrived") from lost
    if fate == "in progress":
        what = f"the connection broke at COMMIT and {target} still works on it"
        raise _unknown(job, target, what, "is still in progress") from lost
    if fate == "aborted":
        raise StepFailed(
            "the connection broke before COMMIT arrived",
            where=target,
            state="rolled back; nothing was changed",
            hint="run the command again",
        ) from lost


def _unknown(job: Job, target: str, what: str, where: str) -> Stuck:
    return Stuck(
        what,
        where=target,
        state=f"unknown: the last COMMIT {where}",
        hint=f"run `okto-change status --env {job.lock.environment}` in a minute; nothing is applied twice",
    )


def marked(mark: state.Backend) -> dict[str, int | str]:
    """Return a transaction's identity as event data, for whoever must find out later what became of it."""
    return {"xid": mark.xid, "pid": mark.pid, "started": mark.started}


def tidy(targets: Targets, target: str) -> None:
    """Drop the capture triggers that are left over. What cannot be dropped now is switched off, and a later run drops it."""
    with suppress(DatabaseError):
        images.clean_up(targets.session(target))
