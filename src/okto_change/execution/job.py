"""What one run carries: its lock cut into units, the open targets, who runs it, and what was seen on the way."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from okto_change.database import ledger
from okto_change.database.accounting import Sequence
from okto_change.database.ledger import Authority
from okto_change.database.session import Session
from okto_change.execution.images import Chunks, Leaf
from okto_change.execution.targets import Targets
from okto_change.execution.units import SqlUnit, Unit
from okto_change.model import CheckResult, Event, EventKind, Lock, Preview, StatementKind, StatementResult, TableWrites


def _nobody_says_no() -> None:
    """Stop nothing: a rehearsal changes nothing, and nobody holds off an undo."""


@dataclass
class Seen:
    """What a run saw so far; filled by the units, read by reports. A retried unit overwrites its own part."""

    statements: dict[int, tuple[StatementResult, ...]] = field(default_factory=dict)
    writes: dict[int, tuple[TableWrites, ...]] = field(default_factory=dict)
    checks: dict[int, tuple[CheckResult, ...]] = field(default_factory=dict)
    captures: dict[int, str] = field(default_factory=dict)
    """how the rows of each unit were captured and why so, in words"""
    definitions: dict[int, Mapping[str, str]] = field(default_factory=dict)
    """object -> sha256 of all that defines it, before each unit that may change definitions"""
    notes: list[str] = field(default_factory=list)
    """what else to know of an undo, in words"""
    committed: set[int] = field(default_factory=set)
    """numbers of the units that stand committed by this run, those of an earlier process too; taken back ones leave it"""
    undone: set[int] = field(default_factory=set)
    """numbers of the units that this run took back"""
    batches: dict[int, str] = field(default_factory=dict)
    """how far each batch got, in words"""
    batches_undone: set[int] = field(default_factory=set)
    """numbers of the batches of which this run took chunks back"""
    unfinished: set[int] = field(default_factory=set)
    """numbers of the batches taken back that never came to their end: nobody puts such a part back"""
    rows_back: int = 0
    """rows of batches that this run took back"""
    failure: str | None = None
    """what made the run fail, while what it had committed is taken back"""

    def taken_back(self, unit: int) -> None:
        """Note that a unit stands no more."""
        self.committed.discard(unit)
        self.batches_undone.discard(unit)
        self.undone.add(unit)

    def all_checks(self) -> tuple[CheckResult, ...]:
        """Every verdict, in order of the units."""
        return tuple(result for number in sorted(self.checks) for result in self.checks[number])

    def all_writes(self) -> tuple[TableWrites, ...]:
        """Every table's writes, in order of the units."""
        return tuple(writes for number in sorted(self.writes) for writes in self.writes[number])

    def all_captures(self) -> tuple[str, ...]:
        """How the rows of each unit were captured and why so, in words, in order of the units."""
        return tuple(self.captures[number] for number in sorted(self.captures))

    def all_statements(self) -> tuple[StatementResult, ...]:
        """Every statement's result, in order of the units."""
        return tuple(result for number in sorted(self.statements) for result in self.statements[number])


def _in_the_journal() -> None:
    """Wait for nothing: whoever consumed the events has written each before it asked for the next."""


@dataclass
class Announced:
    """What a COMMIT waits for: its own entry, where that is written while the run goes on."""

    wait: Callable[[], None] = _in_the_journal


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of a lock. ``coverage`` holds, a target each, the tables to capture; it grows when accounting finds more."""

    run: str
    lock: Lock
    units: tuple[Unit, ...]
    targets: Targets
    journal: str
    """the target that holds the journal and the images of config edits"""
    authority: Mapping[str, Any]
    """who runs it and by which decisions, policy and commit, as it goes into the journal"""
    coverage: dict[str, set[str]] = field(default_factory=dict)
    compared: dict[str, set[str]] = field(default_factory=dict)
    """tables, a target each, whose rows DDL moves and which are therefore read before it runs"""
    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    """(target, file) -> sha256 of the config content that was reviewed"""
    previews: Mapping[tuple[str, int], Preview] = field(default_factory=dict)
    """(step, index of the statement) -> the SELECT cut from it"""
    unproven: dict[int, str] = field(default_factory=dict)
    """units to capture with triggers, since images taken ahead of them could not be proven, and why"""
    resolved: dict[int, tuple[Leaf, ...]] = field(default_factory=dict)
    """tables of units that will have triggers, found before their transaction began"""
    by_row: set[int] = field(default_factory=set)
    """units whose images must be written row by row, not statement by statement"""
    large: set[int] = field(default_factory=set)
    """units that changed more rows than the planner expected; their images become native"""
    chunks: dict[int, Chunks] = field(default_factory=dict)
    """what the chunks of each batch have in common, found out by the first one in this process"""
    sequences: dict[int, Mapping[int, Sequence]] = field(default_factory=dict)
    """where sequences stood before the first attempt of each unit"""
    inverses: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """what takes the definitions of each unit back, as found and tried when it ran"""
    seen: Seen = field(default_factory=Seen)
    announced: Announced = field(default_factory=Announced)
    ledger: Authority | None = None
    """what this run uses up; None for one that needs nothing of that kind: a rehearsal, an undo"""
    look: Callable[[], None] = _nobody_says_no
    """asked between steps and chunks and before each COMMIT; raises Halted once somebody has said no"""
    beside: Callable[[], AbstractContextManager[None]] = nullcontext
    """around a chunk: what `look` has to wait for goes on meanwhile"""

    def event(self, kind: EventKind, step: str | None = None, /, **data: Any) -> Event:
        """Return an event of this run."""
        return Event(
            kind=kind, run=self.run, change=self.lock.change, environment=self.lock.environment, step=step, data=data
        )

    def use_up(self, session: Session) -> None:
        """Write into the ledger behind ``session`` what this run uses up. Raises Refused when another run has it."""
        if self.ledger is not None:
            place = {"run": self.run, "change": self.lock.change, "environment": self.lock.environment}
            ledger.take(session, self.ledger, **place)

    def covered(self, unit: SqlUnit) -> frozenset[str]:
        """The tables that capture must cover for ``unit``, as far as is known: names as written or qualified."""
        # What DDL alters holds no rows of the change; its tables are captured only where accounting finds that rows changed.
        rows = [s for s in unit.statements if not (unit.definitions and s.kind is StatementKind.DDL)]
        named = {name for statement in rows for name in statement.writes}
        return frozenset(named | (unit.touches or frozenset()) | self.coverage.get(unit.target, set()))


def new_run(now: datetime | None = None) -> str:
    """Return a run id: the UTC second and eight random hexadecimal digits, e.g. ``20261122-020913-7f3a9c04``.

    With four, one in 65 536 pairs of runs of the same second had the same id, and the journal refused the later one.
    """
    return f"{now or datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
