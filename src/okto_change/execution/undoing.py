"""Taking units back, last first: images put back, the author's undo script, or keys set back. Looks before it changes."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from okto_change.database import state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, DatabaseError, NotReversible, Stuck
from okto_change.execution import edits, images, interrupts, inverse, transactions
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
    """Try every undo, last first, and roll all of it back; raise Conflict with the rows and keys of all units."""
    found: list[str] = []
    contents: dict[tuple[str, str], bytes] = {}
    try:
        for unit in reversed(units):
            if isinstance(unit, SqlUnit) and unit.batch is not None:
                break  # a batch is looked at chunk by chunk, and what was done before it only when it is taken back
            try:
                match unit:
                    case EditUnit():
                        _look_at_file(job, unit, origin, contents)
                    case SqlUnit():
                        put_back(job, unit, _looking(job, unit), origin, only_clean=only_clean)
            except Conflict as conflict:
                found += conflict.faults or (conflict.message,)
    finally:
        job.targets.rollback()
    if found and not only_clean:
        raise Conflict("somebody changed what this change left; undoing it would destroy that", faults=tuple(found))


def _look_at_file(job: Job, unit: EditUnit, origin: str, contents: dict[tuple[str, str], bytes]) -> None:
    """Look at one edit on the content that undoing the later ones leaves."""
    place = unit.target, unit.step.file
    if place not in contents:
        contents[place], _ = job.targets.store(unit.target).read(unit.step.file)
    contents[place] = edits.look(job, unit, origin, contents[place])


def _looking(job: Job, unit: SqlUnit) -> Session:
    """Return the target's session in one transaction for all units, so that each sees the later ones undone."""
    session = job.targets.session(unit.target)
    if session.in_transaction:
        session.limit(unit.timeouts())
    else:
        session = job.targets.ready(unit.target)
        session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    return session


def take_back(job: Job, units: Sequence[Unit], origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    """Undo ``units`` last first, a transaction, file swap or series of chunks each; return the rows and keys left as they are."""
    from okto_change.execution.chunkwise import undo as undo_batch  # which puts chunks back by this module

    left: Left = ()
    for unit in reversed(units):
        match unit:
            case EditUnit():
                left += yield from edits.undo(job, unit, origin, only_clean=only_clean)
            case SqlUnit() if unit.batch is not None:
                left += yield from undo_batch(job, unit, origin, only_clean=only_clean)
            case SqlUnit():
                left += yield from _undo_sql(job, unit, origin, only_clean=only_clean)
    return left


def _undo_sql(job: Job, unit: SqlUnit, origin: str, *, only_clean: bool) -> Generator[Event, None, Left]:
    left = yield from transactions.retried(
        job, unit, lambda session: _attempt(job, unit, session, origin, only_clean=only_clean)
    )
    return left


def _attempt(
    job: Job, unit: SqlUnit, session: Session, origin: str, *, only_clean: bool
) -> Generator[Event, None, Left]:
    yield job.event(EventKind.STEP_STARTED, unit.name, undo=True, unit=unit.number, target=unit.target)
    session.begin(unit.timeouts(), isolation=READ_COMMITTED)
    transactions.hold(job, session)
    left = put_back(job, unit, session, origin, only_clean=only_clean)
    state.record_undone(session, run=origin, unit=str(unit.number), undone_by=job.run)
    mark = state.backend(session)
    yield job.event(
        EventKind.UNDO_COMMITTING, unit.name, unit=unit.number, target=unit.target, **transactions.marked(mark)
    )
    transactions.commit(job, unit.target, session, mark)
    job.seen.taken_back(unit.number)
    yield job.event(EventKind.UNDONE, unit.name, unit=unit.number, target=unit.target, left=len(left))
    transactions.tidy(job.targets, unit.target)
    return left


def put_back(job: Job, unit: SqlUnit, session: Session, origin: str, *, only_clean: bool = False) -> Left:
    """Undo one unit inside the open transaction; return what was left alone. Raises Conflict, DatabaseError, Stuck."""
    with interrupts.allowed():
        if unit.scripts:
            for script in unit.scripts:
                _run_script(script, session)
            return ()
        if unit.definitions:
            inverse.undo(session, origin, str(unit.number))
        keep_as = None if origin == job.run else job.run
        return images.restore(session, origin, unit=unit.key, only_clean=only_clean, undo_run=keep_as).conflicts


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
