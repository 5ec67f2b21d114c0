"""An undo or a redo as it would be: done on the targets, looked at, and rolled back. Nothing stays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from okto_change.database.session import Session
from okto_change.errors import Conflict, DatabaseError
from okto_change.execution import batch_undo, checks, edits, images, redoing, undoing, work
from okto_change.execution.batch_undo import Looked
from okto_change.execution.job import Job
from okto_change.execution.redoing import Undos
from okto_change.execution.undoing import Back
from okto_change.execution.units import EditUnit, SqlUnit, Unit
from okto_change.model import Check, CheckResult, Phase, TableWrites, UndoPreview


def foresee(job: Job, units: Sequence[Unit], origin: str, undos: Undos | None = None) -> UndoPreview:
    """Undo ``units`` of run ``origin``, or with ``undos`` put them back, compare, ask the checks, and roll all of it back.

    Rows and keys that others changed are conflicts; everything else is shown as it would be. Raises NotReversible,
    DatabaseError (a lock that somebody holds), ConnectionFailed.
    """
    ordered = tuple(units) if undos is not None else tuple(reversed(units))
    backs: list[Back] = []
    looks: list[tuple[str, Looked]] = []
    diffs: dict[str, str] = {}
    contents: dict[tuple[str, str], bytes] = {}
    try:
        for unit in ordered:
            match unit:
                case EditUnit():
                    backs.append(_edited(job, unit, origin, contents, diffs, redo=undos is not None))
                case SqlUnit() if unit.batch is not None:
                    look = batch_undo.look(job, unit, undoing.looking(job, unit), origin, redo=undos is not None)
                    looks.append((unit.target, look))
                    backs.append(Back(left=look.conflicts, notes=look.notes))
                case SqlUnit():
                    backs.append(_moved(job, unit, origin, undos))
        sessions = [
            job.targets.session(name) for name in dict.fromkeys(u.target for u in ordered if isinstance(u, SqlUnit))
        ]
        return UndoPreview(
            change=job.lock.change,
            environment=job.lock.environment,
            run=origin,
            redo=undos is not None,
            steps=tuple(unit.name for unit in ordered),
            writes=_together(
                [
                    *((session.target, found) for session in sessions for found in images.writes(session, job.run)),
                    *((target, found) for target, look in looks for found in look.writes),
                ]
            ),
            rows=(
                *(row for session in sessions for row in images.sample(session, job.run, undo=True)),
                *(row for _, look in looks for row in look.rows),
            ),
            edits=tuple(diffs.items()),
            conflicts=tuple(line for back in backs for line in back.left),
            checks=() if undos is not None else before_again(job),
            notes=tuple(dict.fromkeys(line for back in backs for line in back.notes)),
        )
    finally:
        job.targets.rollback()


def _together(parts: Iterable[tuple[str, TableWrites]]) -> tuple[TableWrites, ...]:
    """Add up what is written to one table of a target: chunks of a batch are moved for the look, or only counted."""
    tables: dict[tuple[str, str], TableWrites] = {}
    for target, one in parts:
        known = tables.get((target, one.table), replace(one, inserted=0, updated=0, deleted=0, imaged=0))
        tables[target, one.table] = replace(
            one,
            inserted=known.inserted + one.inserted,
            updated=known.updated + one.updated,
            deleted=known.deleted + one.deleted,
            imaged=known.imaged + one.imaged,
        )
    return tuple(tables.values())


def before_again(job: Job) -> tuple[CheckResult, ...]:
    """Ask the plan's ``before`` checks of what an undo leaves: in its transaction, or after it where there is none open.

    They tell, and stop nothing: others may have changed since what the change found.
    """
    return tuple(_again(job, check) for check in job.lock.checks if check.phase is Phase.BEFORE)


def _again(job: Job, check: Check) -> CheckResult:
    try:
        session = job.targets.session(check.target)
        if not session.in_transaction:
            return checks.judge(check, *work.read_only(job, check))
        with session.savepoint():
            return checks.judge(check, *session.answer(check.sql))
    except DatabaseError as error:
        return CheckResult(
            name=check.name, phase=Phase.BEFORE, passed=False, expected="an answer", found=f"error: {error.message}"
        )


def _moved(job: Job, unit: SqlUnit, origin: str, undos: Undos | None) -> Back:
    session: Session = undoing.looking(job, unit)
    try:
        if undos is None:
            return undoing.put_back(job, unit, session, origin, only_clean=True)
        return redoing.put_forth(job, unit, session, undos[unit.number], only_clean=True)
    except Conflict as conflict:
        return Back(left=conflict.faults or (conflict.message,))


def _edited(
    job: Job, unit: EditUnit, origin: str, contents: dict[tuple[str, str], bytes], diffs: dict[str, str], *, redo: bool
) -> Back:
    place = unit.target, unit.step.file
    if place not in contents:
        contents[place], _ = job.targets.store(unit.target).read(unit.step.file)
    result = edits.look(job, unit, origin, contents[place], only_clean=True, redo=redo)
    contents[place] = result.content
    if result.diff:
        diffs[unit.step.file] = diffs.get(unit.step.file, "") + result.diff
    return Back(left=result.conflicts, notes=result.notes)
