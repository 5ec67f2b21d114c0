"""One execution of a change: events, outcome, and the journal entries that tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from okto_change.masking import mask_texts
from okto_change.model.base import type_
from okto_change.model.evidence import CheckResult, RowChange, TableWrites


class EventKind(StrEnum):
    """What the runner announces, each before the effect it names (``*_STARTED``, ``COMMITTING``) or as its result."""

    RUN_STARTED = "run started"
    CHECK_PASSED = "check passed"
    CHECK_FAILED = "check failed"
    STEP_STARTED = "step started"
    STATEMENT_STARTED = "statement started"
    STATEMENT_DONE = "statement done"
    RETRYING = "retrying"
    CHUNK_STARTED = "chunk started"
    WAITING = "waiting"
    IMAGES_KEPT = "images kept"
    EDITING = "editing"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNDO_STARTED = "undo started"
    UNDO_COMMITTING = "undo committing"
    REDO_STARTED = "redo started"
    UNDONE = "undone"
    CONFLICT = "conflict"
    SETTLED = "settled"
    IMAGES_PURGED = "images purged"
    RUN_FINISHED = "run finished"


@type_
class Event:
    """One thing the runner is about to do or has seen. ``data`` is JSON, free of secrets and of row contents.

    Card numbers in its texts are masked when it is made: the journal is kept for good.
    """

    kind: EventKind
    run: str
    change: str
    environment: str
    step: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Mask what the author or the database put into the texts."""
        object.__setattr__(self, "step", mask_texts(self.step))
        object.__setattr__(self, "data", mask_texts(self.data))


class Result(StrEnum):
    """How a run ended; the exit code follows from it."""

    DONE = "done"
    ALREADY_APPLIED = "already applied"
    NOTHING_TO_UNDO = "nothing to undo"
    NOTHING_TO_REDO = "nothing to redo"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    UNDONE = "undone"
    CONFLICT = "conflict"
    STUCK = "stuck"
    PAUSED = "paused"


@type_
class Outcome:
    """The end of a run, in words: ``summary`` what happened, ``state`` what state things are in, ``hint`` what to do next."""

    result: Result
    run: str | None
    summary: str
    state: str
    hint: str | None = None
    writes: tuple[TableWrites, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    conflicts: tuple[str, ...] = ()
    """each names a table, the row's key and what differs"""
    notes: tuple[str, ...] = ()
    """what else to know of an undo: a view that was refreshed, what was compared, what was not"""


@type_
class UndoPreview:
    """An undo (or a redo) that was done on the target and rolled back: what comes back, and what stands in its way.

    ``run`` is the run taken back, ``steps`` are its steps in the order of the undo. ``rows`` are a sample, old → new as the
    undo changes them; ``edits`` the files it would edit, as diffs. ``checks`` are the plan's ``before`` checks, asked of
    what the undo leaves. With ``conflicts`` the undo changes nothing, unless only the clean rows are asked for.
    """

    change: str
    environment: str
    run: str
    redo: bool
    steps: tuple[str, ...]
    writes: tuple[TableWrites, ...] = ()
    rows: tuple[RowChange, ...] = ()
    edits: tuple[tuple[str, str], ...] = ()
    """file -> unified diff"""
    conflicts: tuple[str, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    notes: tuple[str, ...] = ()


@type_
class Pending:
    """An effect that was announced and whose end no entry tells: a COMMIT, or the swap of a file.

    ``data`` is that of the announcing event: ``xid``, ``pid``, ``started`` for SQL; ``file``, ``before``, ``after``
    (sha256) for an edit.
    """

    kind: EventKind
    unit: str
    step: str | None
    undo: bool
    at: datetime
    data: Mapping[str, Any]


@type_
class Progress:
    """How far a batch got, by its latest chunk: ``of`` about how many there are, ``rows`` changed so far, ``at`` when.

    Of an undo, ``standing`` is how many chunks stood then.
    """

    step: str
    chunk: int
    of: int | None
    rows: int | None
    undo: bool
    at: datetime
    standing: int | None = None


@type_
class Entry:
    """A journal entry as stored. ``content`` is canonical JSON, ``hash`` = sha256 over previous hash and content."""

    number: int
    at: datetime
    actor: str
    event: Event
    content: bytes
    previous: str
    hash: str
