"""What a result means for the one who waits for it: ready or not and why, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable

from okto_change.model import DryRun, Finding, Irreversible, Outcome, Result, Severity, StatusBoard, UndoPreview

OUTCOME_CODES = {
    Result.DONE: 0,
    Result.ALREADY_APPLIED: 0,
    Result.NOTHING_TO_UNDO: 0,
    Result.NOTHING_TO_REDO: 0,
    Result.REFUSED: 1,
    Result.ROLLED_BACK: 4,
    Result.UNDONE: 5,
    Result.CONFLICT: 6,
    Result.STUCK: 6,
    Result.PAUSED: 6,
}


def outcome_code(outcome: Outcome, *, undo: bool = False) -> int:
    """Return the exit code of a run: 0 done, 1 refused, 4 rolled back, 5 undone after commit, 6 stuck.

    For an ``undo`` that was asked for, undone is done.
    """
    if undo and outcome.result is Result.UNDONE:
        return 0
    return OUTCOME_CODES[outcome.result]


def preview_code(preview: UndoPreview) -> int:
    """Return 6 if an undo or redo would stop at a conflict, else 0."""
    return OUTCOME_CODES[Result.CONFLICT] if preview.conflicts else 0


def status_code(board: StatusBoard) -> int:
    """Return 1 if a target gives no answer, so that the page may hide something, else 0."""
    return 1 if board.silent else 0


def findings_code(findings: Iterable[Finding]) -> int:
    """Return 1 if a finding stops the change, else 0."""
    return 1 if any(finding.severity is Severity.ERROR for finding in findings) else 0


def dry_run_code(result: DryRun) -> int:
    """Return 1 if the dry run gives a reason not to go on, else 0."""
    return 1 if objections(result) else 0


def objections(result: DryRun) -> tuple[str, ...]:
    """Return every reason why the change is not ready, in words; none if it is."""
    errors = [f"{finding.code} {finding.title}" for finding in result.findings if finding.severity is Severity.ERROR]
    return (*errors, *_rehearsal_objections(result))


def _rehearsal_objections(result: DryRun) -> list[str]:
    rehearsal = result.rehearsal
    if rehearsal is None:
        return []
    found = [] if rehearsal.failure is None else [f"the rehearsal failed: {rehearsal.failure}"]
    found += [f"check {check.name!r} failed" for check in rehearsal.checks if not check.passed]
    found += [f"{table.table} is outside the declared tables" for table in rehearsal.writes if not table.declared]
    if rehearsal.failure is None and not rehearsal.undo.proven and not irreversible(result):
        found.append(str(rehearsal.undo))
    return found


def irreversible(result: DryRun) -> tuple[str, ...]:
    """Return ``step: reason`` for every step that the author declares irreversible."""
    return tuple(f"{step.name}: {step.undo.reason}" for step in result.steps if isinstance(step.undo, Irreversible))
