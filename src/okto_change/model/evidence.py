"""What people approve: the lock, and the dry run as its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum
from typing import Any

from okto_change.model.base import type_
from okto_change.model.found import Finding, Statement
from okto_change.model.plan import Check, Phase, Risk, Step

ANYTHING = "?"
"""stands among the objects of a plan for what a statement of an undo script may touch that nobody understood"""


@type_
class Lock:
    """The plan fully rendered for one environment. ``content`` is the canonical JSON, ``digest`` the plan digest over it."""

    content: bytes
    digest: str
    repo: str
    change: str
    environment: str
    title: str
    author: str
    steps: tuple[Step, ...]
    statements: tuple[Statement, ...]
    checks: tuple[Check, ...]
    risk: Risk
    risk_reasons: tuple[str, ...]
    objects: tuple[str, ...]
    reason: str = ""
    incident: str | None = None
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """the entry of every target used, from the policy: which database or config root it must be"""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """name -> the value as an SQL literal"""
    sources: tuple[tuple[str, str, int], ...] = ()
    """path within the change's folder, sha256 in hexadecimal, size in bytes; in order of paths"""


class Quality(StrEnum):
    """How far a figure can be trusted. Unknown never passes a rule."""

    EXACT = "exact"
    REHEARSED = "rehearsed"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


@type_
class Count:
    """A number of rows with its quality."""

    rows: int | None
    quality: Quality


@type_
class RowChange:
    """One row's net change; ``key`` maps key column to text (empty without a key), ``columns`` column -> (old, new) text.

    ``before`` None means inserted, ``after`` None deleted; both are row text.
    """

    table: str
    key: Mapping[str, str | None]
    columns: Mapping[str, tuple[str | None, str | None]]
    before: str | None
    after: str | None


@type_
class StatementPreview:
    """The static, read-only look at one statement: a count and the first rows, always an estimate of what the run will do."""

    step: str
    index: int
    table: str | None
    count: Count
    rows: tuple[RowChange, ...]
    note: str | None = None


@type_
class TableWrites:
    """Rows that one table gained, changed or lost in the transaction; ``imaged`` counts those that were captured."""

    table: str
    inserted: int
    updated: int
    deleted: int
    imaged: int
    declared: bool

    @property
    def total(self) -> int:
        """Rows inserted, updated and deleted together."""
        return self.inserted + self.updated + self.deleted


@type_
class LockTaken:
    """A relation lock that a statement took, ``mode`` as in ``pg_locks``."""

    relation: str
    mode: str


@type_
class StatementResult:
    """What one statement did when it ran: command tag rows, milliseconds, new relation locks."""

    step: str
    index: int
    rows: int | None
    milliseconds: int
    locks: tuple[LockTaken, ...] = ()


@type_
class CheckResult:
    """A check's verdict with what was expected and what was found, in words."""

    name: str
    phase: Phase
    passed: bool
    expected: str
    found: str


@type_
class UndoProof:
    """The comparison after the rehearsed undo. ``proven`` only if every changed row was back, identical."""

    proven: bool
    rows: int
    identical: int
    reason: str | None = None

    def __str__(self) -> str:
        if self.proven and not self.rows:
            return "undo proven: no row is changed; definitions and edited files are as they were"
        if self.proven:
            return f"undo proven: {self.identical} of {self.rows} rows identical"
        return f"undo not proven: {self.reason}"


@type_
class EditPreview:
    """One config edit: unified diff, old -> new per path, sha256 of the content before and after."""

    step: str
    target: str
    file: str
    diff: str
    changes: tuple[tuple[str, Any, Any], ...]
    before_sha256: str
    after_sha256: str


@type_
class BatchRehearsal:
    """What a rehearsal saw of a batch: its first ``chunks``, and what they let expect of the whole, all estimated.

    ``of`` is about how many chunks there will be, by the table's statistics; None: it was never analysed. ``whole`` says
    that the chunks rehearsed are all of them. ``rows`` are those changed in the rehearsal.
    """

    step: str
    size: int
    chunks: int
    of: int | None
    whole: bool
    rows: int | None
    expected_rows: int | None
    expected_milliseconds: int | None


@type_
class Inverse:
    """What takes the definitions of some steps back: SQL in its order, found and tried in the rehearsal."""

    steps: str
    target: str
    statements: tuple[str, ...]


@type_
class Rehearsal:
    """The whole plan, its checks and its undo, run on the target and rolled back."""

    at: datetime
    milliseconds: int
    statements: tuple[StatementResult, ...]
    writes: tuple[TableWrites, ...]
    rows: tuple[RowChange, ...]
    """a sample of the net row changes, at most 20 a table"""
    checks: tuple[CheckResult, ...]
    undo: UndoProof
    left_behind: tuple[str, ...]
    """what a rolled-back rehearsal leaves: sequences moved, dead rows, WAL bytes; in words"""
    failure: str | None = None
    batches: tuple[BatchRehearsal, ...] = ()
    captures: tuple[str, ...] = ()
    """how the rows of each transaction were captured, and why so; in words; none for one that changed no rows"""
    inverses: tuple[Inverse, ...] = ()
    """the statements that a rollback would run, what changed last first"""
    compared: tuple[str, ...] = ()
    """tables whose rows, and sequences whose numbers, DDL moves, so that a run reads them first"""


@type_
class DryRun:
    """Everything that `dry-run` found. ``facts`` is the deterministic part whose digest approvals bind."""

    change: str
    environment: str
    title: str
    digest: str
    at: datetime
    findings: tuple[Finding, ...]
    risk: Risk
    risk_reasons: tuple[str, ...]
    statements: tuple[Statement, ...]
    previews: tuple[StatementPreview, ...]
    edits: tuple[EditPreview, ...]
    rehearsal: Rehearsal | None
    facts: Mapping[str, Any]
    facts_sha256: str
    steps: tuple[Step, ...] = ()
    """the rendered steps: target, declared rows and tables, undo; for the reader of the page"""
    copies: tuple[str, ...] = ()
    """where the run will leave unmasked copies of what it changes, and until when, a line each"""
