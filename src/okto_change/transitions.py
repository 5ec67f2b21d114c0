"""The states of a run and the one table of arrows between them, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from okto_change.model import EventKind, Result


class State(StrEnum):
    """Where a run, or a change in one environment, stands."""

    NEW = "new"
    RUNNING = "running"
    COMMITTING = "committing"
    APPLIED = "applied"
    PARTLY_APPLIED = "partly applied"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    IDLE = "nothing to do"
    UNDOING = "undoing"
    UNDO_COMMITTING = "committing the undo"
    UNDONE = "undone"
    CONFLICT = "conflict"
    STUCK = "stuck"
    PAUSED = "paused"


S, K, R = State, EventKind, Result

PROGRESS = {
    K.CHECK_PASSED: "a check held",
    K.CHECK_FAILED: "a check did not hold; what follows tells what was done about it",
    K.STEP_STARTED: "the next step begins, inside the open transaction",
    K.STATEMENT_STARTED: "the author's next statement begins, inside the open transaction",
    K.STATEMENT_DONE: "the statement ended, not yet committed",
    K.IMAGES_KEPT: "rows before and after are kept, in the same transaction",
    K.CHUNK_STARTED: "the next chunk of a batch begins, inside its own transaction",
    K.WAITING: "a batch gives way between two chunks",
    K.RETRYING: "the transaction was rolled back and is tried again",
    K.ROLLED_BACK: "the open transaction was rolled back; what was committed before stands",
}
"""Events that leave a run where it is, while its transaction is open."""

TRANSITIONS: Mapping[tuple[State, EventKind], tuple[State, str]] = {
    (S.NEW, K.RUN_STARTED): (S.RUNNING, "clearance was given; nothing is changed yet"),
    (S.NEW, K.UNDO_STARTED): (S.UNDOING, "somebody takes back an earlier run"),
    (S.NEW, K.REDO_STARTED): (S.RUNNING, "somebody puts back what an undo took away"),
    **{(S.RUNNING, kind): (S.RUNNING, reason) for kind, reason in PROGRESS.items()},
    **{(S.UNDOING, kind): (S.UNDOING, reason) for kind, reason in PROGRESS.items()},
    (S.RUNNING, K.RUN_STARTED): (S.RUNNING, "another process resumes a run that broke off between units"),
    (S.RUNNING, K.CONFLICT): (S.RUNNING, "somebody changed what the undo left; nothing of theirs is overwritten"),
    (S.RUNNING, K.COMMITTING): (S.COMMITTING, "COMMIT is about to be sent"),
    (S.RUNNING, K.EDITING): (S.COMMITTING, "a file is about to be swapped"),
    (S.RUNNING, K.UNDO_STARTED): (S.UNDOING, "a later unit or an after check failed; committed units are taken back"),
    (S.COMMITTING, K.COMMITTED): (S.RUNNING, "the server confirmed the COMMIT, or the file is swapped"),
    (S.COMMITTING, K.RETRYING): (S.RUNNING, "the server refused the COMMIT and rolled back; it is tried again"),
    (S.COMMITTING, K.ROLLED_BACK): (S.RUNNING, "the server refused the COMMIT, or the file was not swapped"),
    (S.COMMITTING, K.UNDO_STARTED): (S.UNDOING, "the announced commit did not happen; those before it are taken back"),
    (S.COMMITTING, K.SETTLED): (S.RUNNING, "somebody found out what became of a COMMIT whose answer never came"),
    (S.UNDOING, K.UNDO_STARTED): (S.UNDOING, "another process resumes an undo that broke off between units"),
    (S.UNDOING, K.CONFLICT): (S.UNDOING, "somebody changed what the run left; nothing of theirs is overwritten"),
    (S.UNDOING, K.UNDO_COMMITTING): (S.UNDO_COMMITTING, "COMMIT of the undo is about to be sent"),
    (S.UNDOING, K.EDITING): (S.UNDO_COMMITTING, "a file is about to be swapped back"),
    (S.UNDO_COMMITTING, K.UNDONE): (S.UNDOING, "the server confirmed the undo's COMMIT, or the file is swapped back"),
    (S.UNDO_COMMITTING, K.RETRYING): (S.UNDOING, "the server refused the COMMIT of the undo; it is tried again"),
    (S.UNDO_COMMITTING, K.ROLLED_BACK): (S.UNDOING, "the undo was rolled back, or the file was not swapped"),
    (S.UNDO_COMMITTING, K.SETTLED): (S.UNDOING, "somebody found out what became of the undo's COMMIT"),
    **{
        (ended, K.IMAGES_PURGED): (ended, "its images were older than they are kept; it cannot be taken back any more")
        for ended in (S.APPLIED, S.REFUSED, S.ROLLED_BACK, S.IDLE, S.UNDONE, S.CONFLICT)
    },
    (S.STUCK, K.SETTLED): (S.STUCK, "somebody found out what became of the COMMIT that the run got stuck on"),
    (S.STUCK, K.RUN_STARTED): (S.RUNNING, "a person decided to go on with the units that are missing"),
    (S.STUCK, K.UNDO_STARTED): (S.UNDOING, "a person decided to go on with the undo"),
    (S.PAUSED, K.RUN_STARTED): (S.RUNNING, "a batch goes on with its next chunk"),
}
"""(state, event) -> (next state, why). RUN_FINISHED is in ``ENDINGS``."""

ENDINGS: Mapping[tuple[State, Result], tuple[State, str]] = {
    (S.RUNNING, R.DONE): (S.APPLIED, "every unit is committed and every check held"),
    (S.RUNNING, R.ALREADY_APPLIED): (S.IDLE, "an earlier run applied it"),
    (S.RUNNING, R.NOTHING_TO_UNDO): (S.IDLE, "nothing of the change stands"),
    (S.RUNNING, R.REFUSED): (S.REFUSED, "a check or a missing precondition stopped it before anything ran"),
    (S.RUNNING, R.CONFLICT): (S.REFUSED, "others changed what it would put back; nothing was changed"),
    (S.RUNNING, R.ROLLED_BACK): (S.ROLLED_BACK, "it failed inside its transaction; nothing was changed"),
    (S.RUNNING, R.STUCK): (S.STUCK, "it failed where only a person can decide"),
    (S.RUNNING, R.PAUSED): (S.PAUSED, "a batch stopped between two chunks; those committed stand"),
    (S.UNDOING, R.PAUSED): (S.PAUSED, "the undo of a batch stopped between two chunks; those taken back are back"),
    (S.COMMITTING, R.STUCK): (S.STUCK, "nobody could tell yet whether the COMMIT arrived"),
    (S.UNDOING, R.DONE): (S.UNDONE, "everything that was asked for is back as it was"),
    (S.UNDOING, R.UNDONE): (S.UNDONE, "the run failed after a commit and took back what it had committed"),
    (S.UNDOING, R.CONFLICT): (S.CONFLICT, "rows or keys that others changed since were left alone"),
    (S.UNDOING, R.NOTHING_TO_UNDO): (S.IDLE, "nothing of the change stands"),
    (S.UNDOING, R.REFUSED): (S.REFUSED, "the undo was refused before anything ran"),
    (S.UNDOING, R.ROLLED_BACK): (S.ROLLED_BACK, "it failed inside its transaction; the change stands as before"),
    (S.UNDOING, R.STUCK): (S.STUCK, "the undo failed half-way; what stands is known, a person must decide"),
    (S.UNDO_COMMITTING, R.REFUSED): (S.REFUSED, "the undo was announced, and refused before its COMMIT"),
    (S.UNDO_COMMITTING, R.ROLLED_BACK): (S.ROLLED_BACK, "the undo did not happen; the change stands as before"),
    (S.UNDO_COMMITTING, R.STUCK): (S.STUCK, "nobody could tell yet whether the COMMIT of the undo arrived"),
}
"""(state, result of RUN_FINISHED) -> (final state, why)."""

STARTS = frozenset({K.RUN_STARTED, K.UNDO_STARTED, K.REDO_STARTED})
"""Events that begin a run."""

WITHOUT_TRACE = frozenset({S.REFUSED, S.ROLLED_BACK, S.IDLE})
"""Final states of runs that left everything as they found it."""
