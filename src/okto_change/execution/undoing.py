"""Taking units back, last first: images put back, the author's undo script, or keys set back. Looks before it changes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from okto_change.database import facts, state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Conflict, DatabaseError, NotReversible, Stuck
from okto_change.execution import catalogue, edits, images, interrupts, inverse, transactions
from okto_change.execution.job import Job
from okto_change.execution.units import EditUnit, SqlUnit, Unit
from okto_change.model import Event, EventKind, ScriptUndo

Left = tuple[str, ...]
ROWS_BY_SCRIPT = "the rows that its author's script wrote were compared by the rehearsal only, not now"


@dataclass(frozen=True)
class Back:
    """What one undo or redo did not do: rows and keys left alone; and what else there is to know, in words."""

    left: Left = ()
    notes: tuple[str, ...] = ()
    rows: int = 0
    """rows put back or taken away, where images tell"""
    alone: int = 0
    """how many rows or definitions were left alone; of many only some are named"""


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
    from okto_change.execution.batch_undo import conflicts  # which puts chunks back by this module

    found: list[str] = []
    contents: dict[tuple[str, str], bytes] = {}
    try:
        for unit in reversed(units):
            if isinstance(unit, SqlUnit) and unit.batch is not None:
                found += conflicts(job, unit, looking(job, unit), origin)
                break  # what was done before a batch is looked at when it is taken back: the look leaves the batch as it is
            try:
                match unit:
                    case EditUnit():
                        _look_at_file(job, unit, origin, contents, only_clean=only_clean)
                    case SqlUnit():
                        put_back(job, unit, looking(job, unit), origin, only_clean=only_clean)
            except Conflict as conflict:
                found += conflict.faults or (conflict.message,)
    finally:
        job.targets.rollback()
    if found and not only_clean:
        raise Conflict("somebody changed what this change left; undoing it would destroy that", faults=tuple(found))


def _look_at_file(
    job: Job, unit: EditUnit, origin: str, contents: dict[tuple[str, str], bytes], *, only_clean: bool
) -> None:
    """Look at one edit on the content that undoing the later ones leaves."""
    place = unit.target, unit.step.file
    if place not in contents:
        contents[place], _ = job.targets.store(unit.target).read(unit.step.file)
    contents[place] = edits.look(job, unit, origin, contents[place], only_clean=only_clean).content


def looking(job: Job, unit: SqlUnit) -> Session:
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
    from okto_change.execution.batch_undo import undo as undo_batch  # which puts chunks back by this module

    left: Left = ()
    for unit in reversed(units):
        match unit:
            case EditUnit():
                result = yield from edits.undo(job, unit, origin, only_clean=only_clean)
                left += result.conflicts
                job.seen.notes += result.notes
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
    back = put_back(job, unit, session, origin, only_clean=only_clean)
    left, writes = back.left, images.writes(session, job.run)
    state.record_undone(session, run=origin, unit=str(unit.number), undone_by=job.run, left=back.alone)
    mark = state.backend(session)
    yield job.event(
        EventKind.UNDO_COMMITTING,
        unit.name,
        unit=unit.number,
        target=unit.target,
        left=back.alone,
        **transactions.marked(mark),
    )
    transactions.commit(job, unit.target, session, mark)
    job.seen.taken_back(unit.number)
    job.seen.writes[unit.number] = writes
    job.seen.notes += back.notes
    yield job.event(EventKind.UNDONE, unit.name, unit=unit.number, target=unit.target, left=back.alone)
    transactions.tidy(job.targets, unit.target)
    return left


def keep_as(job: Job, unit: SqlUnit, origin: str) -> str:
    """Return the name under which images of an undo are kept.

    What this run itself committed or put back has images under its own name; those of its undo need another one.
    """
    return f"{job.run}/undo" if origin == job.run or unit.number in job.seen.committed else job.run


def put_back(job: Job, unit: SqlUnit, session: Session, origin: str, *, only_clean: bool = False) -> Back:
    """Undo one unit inside the open transaction; return what was left alone. Raises Conflict, DatabaseError, Stuck."""
    with interrupts.allowed():
        if unit.scripts:
            return _run_scripts(unit, session, origin, only_clean=only_clean)
        if unit.definitions:
            inverse.undo(session, origin, str(unit.number))
        name = keep_as(job, unit, origin)
        done = images.restore(session, origin, unit=unit.key, only_clean=only_clean, undo_run=name)
        return Back(left=done.conflicts, notes=done.notes, rows=done.rows, alone=done.left)


def _run_scripts(unit: SqlUnit, session: Session, origin: str, *, only_clean: bool) -> Back:
    """Run the author's undo, and hold the definitions that it leaves against those before the run.

    Raises Conflict where they differ, unless ``only_clean``: then the differences are named.
    """
    kept = state.altered(session, run=origin, unit=unit.key)
    found = {} if kept is None else facts.fingerprint(session)
    for script in unit.scripts:
        _run_script(script, session)
    if kept is None:
        return Back(notes=(ROWS_BY_SCRIPT,))
    unlike = catalogue.unlike(kept, found, facts.fingerprint(session))
    if unlike and not only_clean:
        raise Conflict(
            "the undo script does not bring every definition back",
            where=unit.scripts[0].source,
            faults=unlike,
            hint="look what changed since; --only-clean runs the script all the same",
        )
    compared = f"{_definitions(len(kept))} that the run altered compared with those before it"
    return Back(left=unlike, alone=len(unlike), notes=(f"{unit.name}: {compared}", ROWS_BY_SCRIPT))


def _definitions(number: int) -> str:
    return "1 definition" if number == 1 else f"{number} definitions"


def _run_script(script: ScriptUndo, session: Session) -> None:
    try:
        session.run(script.sql)
    except DatabaseError as error:
        error.where = script.source
        raise
    if not session.in_transaction:
        raise Stuck(
            "the undo script ended the transaction",
            where=script.source,
            state="what the script did up to there may be committed",
            hint="look at the tables and put them right by hand",
        )
