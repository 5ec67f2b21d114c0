"""One config edit: the reviewed content is swapped for the edited one, its image durable first; undone by key."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from okto_change.database import ledger
from okto_change.digest import sha256
from okto_change.errors import EditError, Stuck
from okto_change.execution.images import retention
from okto_change.execution.job import Job
from okto_change.execution.units import EditUnit
from okto_change.model import EditPreview, Event, EventKind, UndoProof

if TYPE_CHECKING:
    from okto_change.config import edit


def preview(job: Job, unit: EditUnit, content: bytes) -> tuple[EditPreview, bytes]:
    """Return what the edit would do to ``content``, and the content after it."""
    step = unit.step
    from okto_change.config import edit

    result = edit.plan_edit(step.file, content, step.set, step.remove)
    return EditPreview(
        step=step.name,
        target=unit.target,
        file=step.file,
        diff=result.diff,
        changes=_shown(result.changes),
        before_sha256=sha256(content),
        after_sha256=sha256(result.content),
    ), result.content


def do(job: Job, unit: EditUnit) -> Generator[Event, None, None]:
    """Edit the file if it still is what was reviewed. Raises EditError, with the file as it was."""
    step, store = unit.step, job.targets.store(unit.target)
    content, found = store.read(step.file)
    _demand_reviewed(job, unit, found)
    shown, edited = preview(job, unit, content)
    _keep(job, unit, content, edited)
    _use_up(job)
    yield job.event(EventKind.EDITING, step.name, **_mark(unit, found, shown.after_sha256))
    try:
        _swap(job, unit, found, edited)
    except EditError:
        if not job.seen.committed:
            ledger.give_back(job.targets.ready(job.journal), job.run)
        raise
    job.seen.committed.add(unit.number)
    yield job.event(EventKind.COMMITTED, step.name, unit=unit.number, target=unit.target)


def look(
    job: Job, unit: EditUnit, origin: str, content: bytes, *, only_clean: bool = False, redo: bool = False
) -> edit.UndoResult:
    """Return what undoing, or with ``redo`` putting back, makes of ``content``.

    Raises Conflict if keys are no longer what run ``origin`` (or its undo) left, unless ``only_clean``.
    """
    found, left = image(job, unit, origin)
    before, after = (left, found) if redo else (found, left)
    from okto_change.config import edit

    return edit.plan_undo(unit.step.file, content, before=before, after=after, only_clean=only_clean)


def undo(job: Job, unit: EditUnit, origin: str, *, only_clean: bool) -> Generator[Event, None, edit.UndoResult]:
    """Set the keys back that run ``origin`` changed; edits of others stay. The result names the keys left as they are."""
    step, store = unit.step, job.targets.store(unit.target)
    content, found = store.read(step.file)
    result = look(job, unit, origin, content, only_clean=only_clean)
    mark = _mark(unit, found, sha256(result.content))
    yield job.event(EventKind.EDITING, step.name, undo=True, left=len(result.conflicts), **mark)
    if result.content != content:
        _swap(job, unit, found, result.content)
    job.seen.taken_back(unit.number)
    yield job.event(EventKind.UNDONE, step.name, unit=unit.number, target=unit.target, left=len(result.conflicts))
    return result


def redo(job: Job, unit: EditUnit, origin: str) -> Generator[Event, None, edit.UndoResult]:
    """Set the keys again that run ``origin`` set and its undo took back. Raises Conflict, with the file as it was."""
    step, store = unit.step, job.targets.store(unit.target)
    content, found = store.read(step.file)
    result = look(job, unit, origin, content, redo=True)
    yield job.event(EventKind.EDITING, step.name, **_mark(unit, found, sha256(result.content)))
    if result.content != content:
        _swap(job, unit, found, result.content)
    job.seen.committed.add(unit.number)
    yield job.event(EventKind.COMMITTED, step.name, unit=unit.number, target=unit.target)
    return result


def prove(unit: EditUnit, before: bytes, after: bytes) -> UndoProof:
    """Undo the edit on its own result; proven if the file is byte for byte what it was."""
    from okto_change.config import edit

    result = edit.plan_undo(unit.step.file, after, before=before, after=after)
    same = result.content == before
    reason = None if same else f"{unit.step.file}: undoing the edit does not give the same file"
    return UndoProof(proven=same, rows=0, identical=0, reason=reason)


def image(job: Job, unit: EditUnit, origin: str) -> tuple[bytes, bytes]:
    """Return the file's content before and after the edit of run ``origin``."""
    session = job.targets.ready(job.journal)
    rows = session.query("edit_image", run=origin, unit=unit.number)
    if not rows:
        retention.demand_kept(session, origin, str(unit.number))
        raise EditError(f"no image of this edit in run {origin}", where=unit.step.file)
    before, after = rows[0]
    return bytes(before), bytes(after)


def _swap(job: Job, unit: EditUnit, found: str, content: bytes) -> None:
    """Swap the file. A second interrupt does not wait for the end of it: then nobody has seen whether it happened."""
    try:
        job.targets.store(unit.target).replace(unit.step.file, found, content, validate=unit.step.validate)
    except KeyboardInterrupt as impatient:
        raise Stuck(
            "interrupted again while the file was being swapped",
            where=unit.step.file,
            state="unknown: the file may or may not be the new one",
            hint=f"run `okto-change status --env {job.lock.environment}`; nothing is edited twice",
        ) from impatient


def _use_up(job: Job) -> None:
    """Take what the run goes by, in the database that keeps the images: a file has no transaction of its own."""
    session = job.targets.ready(job.journal)
    session.begin()
    try:
        job.use_up(session)
        session.commit()
    finally:
        session.rollback()


def _keep(job: Job, unit: EditUnit, before: bytes, after: bytes) -> None:
    job.targets.ready(job.journal).query(
        "edit_keep", run=job.run, unit=unit.number, target=unit.target, file=unit.step.file, before=before, after=after
    )


def _demand_reviewed(job: Job, unit: EditUnit, found: str) -> None:
    expected = job.expected.get((unit.target, unit.step.file))
    before = [u for u in job.units if isinstance(u, EditUnit) and u.number < unit.number and u.target == unit.target]
    again = any(earlier.step.file == unit.step.file for earlier in before)
    if expected is not None and not again and found != expected:
        raise EditError(
            "the file is not the one that was reviewed: somebody changed it since the dry run",
            where=unit.step.file,
            hint="run dry-run again and have the new diff approved",
        )


def _mark(unit: EditUnit, before: str, after: str) -> dict[str, Any]:
    return {"unit": unit.number, "target": unit.target, "file": unit.step.file, "before": before, "after": after}


def _shown(changes: Any) -> tuple[tuple[str, Any, Any], ...]:
    return tuple((".".join(path), old, new) for path, old, new in changes)
