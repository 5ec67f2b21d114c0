"""Taking units back, last first: images put back, the author's undo script, or keys set back. Looks before it changes."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from okto_change.database import state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, DatabaseError, NotReversible, Stuck
from okto_change.execution import edits, images, work
from okto_change.execution.job import Job
from okto_change.execution.units import EditUnit, SqlUnit, Unit
from okto_change.model import Event, EventKind, ScriptUndo

Left = tuple[str, ...]


def demand_reversible(unit: Unit) -> None:
    """Raise NotReversible for a unit that its author declared irreversible."""
    if unit.irreversible is not None:
        raise NotReversible(
            f"{unit.name} was approved as irreversible: {unit.irreversible}",
            state="the change stands; nothing was undone",
            hint="write a new change that puts things right",
        )


def look(job: Job, units: Sequence[Unit], origin: str, *, only_clean: bool) -> None:
    """Try every undo and roll it back; raise Conflict with the rows and keys of all units."""
    found: list[str] = []
    for unit in reversed(units):
        try:
            match unit:
                case EditUnit():
                    edits.look(job, unit, origin)
                case SqlUnit():
                    _look_sql(job, unit, origin)
        except Conflict as conflict:
            found += conflict.faults or (conflict.message,)
    if found and not only_clean:
        raise Conflict("somebody changed what this change left; undoing it would destroy that", faults=tuple(found))


def take_back(job: Job, units: Sequence[Unit], origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Undo ``units`` last first, a transaction or file swap each; return the rows and keys left as they are."""
    left: Left = ()
    for unit in reversed(units):
        match unit:
            case EditUnit():
                left += yield from edits.undo(job, unit, origin, only_clean=only_clean)
            case SqlUnit():
                left += yield from _undo_sql(job, unit, origin, only_clean=only_clean)
    return left


def _look_sql(job: Job, unit: SqlUnit, origin: str) -> None:
    session = job.targets.session(unit.target)
    try:
        session.begin(unit.timeouts(), isolation=READ_COMMITTED)
        put_back(job, unit, session, origin)
    finally:
        session.rollback()


def _undo_sql(job: Job, unit: SqlUnit, origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    session = job.targets.session(unit.target)
    with work.rolled_back_unless_committed(session):
        yield job.event(EventKind.STEP_STARTED, unit.name, undo=True, unit=unit.number, target=unit.target)
        try:
            session.begin(unit.timeouts(), isolation=READ_COMMITTED)
            state.target_lock(session, job.run)
            left = put_back(job, unit, session, origin, only_clean=only_clean)
            state.record_undone(session, run=origin, unit=str(unit.number), undone_by=job.run)
            mark = state.backend(session)
        except DatabaseError as error:
            raise work.failed(unit, error) from error
        yield job.event(EventKind.UNDO_COMMITTING, unit.name, unit=unit.number, target=unit.target, **work.marked(mark))
        work.commit(job, unit.target, session, mark)
        images.clean_up(session)
        job.seen.undone.add(unit.number)
        yield job.event(EventKind.UNDONE, unit.name, unit=unit.number, target=unit.target, left=len(left))
    return left


def put_back(job: Job, unit: SqlUnit, session: Session, origin: str, *, only_clean: bool = False) -> Left:
    """Undo one unit inside the open transaction; return what was left alone. Raises Conflict, DatabaseError, Stuck."""
    if unit.scripts:
        for script in unit.scripts:
            _run_script(script, session)
        return ()
    keep_as = None if origin == job.run else job.run
    return images.restore(session, origin, unit=str(unit.number), only_clean=only_clean, undo_run=keep_as).conflicts


def _run_script(script: ScriptUndo, session: Session) -> None:
    try:
        session.run(script.sql)
    except DatabaseError as error:
        error.where = script.source
        raise
    if not session.in_transaction:
        raise Stuck(
            "the undo script ended the transaction", where=script.source,
            state="what the script did up to there may be committed", hint="look at the tables and put them right by hand",
        )  # fmt: skip


