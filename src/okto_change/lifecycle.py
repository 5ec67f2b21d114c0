"""The life of a run and of a change: a table of transitions with a reason per arrow, ``replay`` of the journal. Pure.

State is stored nowhere: it is what the journal's entries say when they are read again in order. Every arrow that is not
in ``TRANSITIONS`` or ``ENDINGS`` raises JournalBroken, both when an entry is about to be written and when it is read.

Facts that are read from an event's ``data``: ``decisions`` (ids of consumed statements), ``digest``, ``resumed`` (units
that the resumed run counts as committed) of RUN_STARTED; ``origin`` (the run taken back) of UNDO_STARTED; ``unit`` of
COMMITTING, EDITING, UNDO_COMMITTING, COMMITTED, UNDONE and SETTLED; ``fate`` (``committed`` or ``aborted``) of SETTLED;
``result`` of RUN_FINISHED.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from okto_change.errors import JournalBroken
from okto_change.model import Entry, Event, EventKind, Progress, Result
from okto_change.model.base import type_


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
    **{(S.RUNNING, kind): (S.RUNNING, reason) for kind, reason in PROGRESS.items()},
    **{(S.UNDOING, kind): (S.UNDOING, reason) for kind, reason in PROGRESS.items()},
    (S.RUNNING, K.RUN_STARTED): (S.RUNNING, "another process resumes a run that broke off between units"),
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
    (S.UNDO_COMMITTING, R.ROLLED_BACK): (S.ROLLED_BACK, "the undo did not happen; the change stands as before"),
    (S.UNDO_COMMITTING, R.STUCK): (S.STUCK, "nobody could tell yet whether the COMMIT of the undo arrived"),
}
"""(state, result of RUN_FINISHED) -> (final state, why)."""

WITHOUT_TRACE = frozenset({S.REFUSED, S.ROLLED_BACK, S.IDLE})
"""Final states of runs that left everything as they found it."""


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
class Run:
    """One run as its entries tell it. ``origin`` is the run that it takes back, None for an apply."""

    id: str
    change: str
    environment: str
    state: State
    reason: str
    started_by: str
    started_at: datetime
    last_at: datetime
    origin: str | None
    digest: str | None
    decisions: tuple[str, ...]
    committed: tuple[str, ...] = ()
    """units, in the order of their commits"""
    undone: tuple[str, ...] = ()
    """units taken back by this run: its own, or those of ``origin``"""
    pending: Pending | None = None
    result: Result | None = None
    purged_at: datetime | None = None
    """when its images were taken away"""
    chunks: Mapping[str, int] = field(default_factory=dict)
    """unit -> the latest chunk of a batch that stands; of an undo, the latest that it left standing"""
    progress: Progress | None = None

    @property
    def standing(self) -> tuple[str, ...]:
        """Units that this run committed and did not take back itself, batches of which only some chunks are done too."""
        return () if self.origin else (*self.whole, *(unit for unit in self.chunks if unit not in self.committed))

    @property
    def whole(self) -> tuple[str, ...]:
        """Units that this run committed to their end and did not take back itself."""
        return () if self.origin else tuple(unit for unit in self.committed if unit not in self.undone)

    @property
    def finished(self) -> bool:
        """Whether the run told its end; one that did not may be alive or have crashed: ask its target lock."""
        return self.result is not None


@type_
class ChangeState:
    """Where a change stands in one environment. ``run`` gives the state, ``latest`` is the last one started."""

    change: str
    environment: str
    state: State = State.NEW
    run: Run | None = None
    latest: Run | None = None
    runs: tuple[Run, ...] = ()
    consumed: frozenset[str] = frozenset()
    """ids of the decisions that started runs have used up"""

    @property
    def standing(self) -> tuple[str, tuple[str, ...]] | None:
        """The last run that has committed units which no run took back, and those units; None if nothing stands."""
        for run in reversed(self.runs):
            taken = {unit for other in self.runs if other.origin == run.id for unit in other.undone}
            units = tuple(unit for unit in run.standing if unit not in taken)
            if units:
                return run.id, units
        return None

    @property
    def applied(self) -> str | None:
        """The run that applied the change and stands whole, also after an undo that stopped at a conflict; else None."""
        if self.standing is None:
            return None
        run = next(run for run in self.runs if run.id == self.standing[0])
        return run.id if run.result is Result.DONE and self.standing[1] == run.committed else None

    @property
    def unresolved(self) -> tuple[str, Pending] | None:
        """The run whose announced commit or file swap is not known to have happened, and that announcement."""
        return next(((run.id, run.pending) for run in reversed(self.runs) if run.pending), None)

    @property
    def undone(self) -> bool:
        """Whether it was applied once and nothing of it stands any more."""
        return any(run.committed for run in self.runs if not run.origin) and self.standing is None


def advance(run: Run | None, event: Event, *, actor: str, at: datetime) -> Run:
    """Return ``run`` (None before its first event) after ``event``; raise JournalBroken if no arrow leads there."""
    before = State.NEW if run is None else run.state
    result = _result(event) if event.kind is EventKind.RUN_FINISHED else None
    arrow = TRANSITIONS.get((before, event.kind)) if result is None else ENDINGS.get((before, result))
    if arrow is None:
        raise _broken(event, f"a run that is {before.value!r} cannot go on with {_name(event, result)!r}")
    if run is None:
        run = _born(event, actor, at)
    elif event.kind in (EventKind.RUN_STARTED, EventKind.UNDO_STARTED):
        run = _resumed(run, event)
    if event.kind is EventKind.IMAGES_PURGED:
        return replace(run, purged_at=at)
    state, reason = arrow
    moved = replace(_told(run, event, at), state=state, reason=reason, last_at=at, result=result)
    _demand_honest(moved, event)
    return moved


def replay(entries: Iterable[Entry]) -> dict[tuple[str, str], ChangeState]:
    """Return (change, environment) -> state from entries in order; raise JournalBroken for an impossible story."""
    runs: dict[str, Run] = {}
    for entry in entries:
        event = entry.event
        run = runs.get(event.run)
        if run is not None and (run.change, run.environment) != (event.change, event.environment):
            raise _broken(event, f"the run belongs to {run.change} in {run.environment}")
        runs[event.run] = advance(run, event, actor=entry.actor, at=entry.at)
    states: dict[tuple[str, str], ChangeState] = {}
    for run in runs.values():
        place = run.change, run.environment
        known = states.get(place) or ChangeState(change=run.change, environment=run.environment)
        states[place] = _joined(known, run)
    return states


def left_by(run: Run) -> State:
    """Return what ``run`` left if its process is gone: its state where it told its end, else what is known to stand."""
    if run.finished or run.pending:
        return run.state
    if run.origin is None:
        return State.PARTLY_APPLIED if run.standing else State.ROLLED_BACK
    return State.PARTLY_APPLIED if run.undone or run.chunks else State.ROLLED_BACK


# ----------------------------------------------------------------------------------- one run


def _born(event: Event, actor: str, at: datetime) -> Run:
    origin = event.data.get("origin") if event.kind is EventKind.UNDO_STARTED else None
    if event.kind is EventKind.UNDO_STARTED and not origin:
        raise _broken(event, "it does not say which run it takes back")
    return Run(
        id=event.run, change=event.change, environment=event.environment, state=State.NEW, reason="",
        started_by=actor, started_at=at, last_at=at, origin=origin, digest=event.data.get("digest"), decisions=(),
    )  # fmt: skip


def _resumed(run: Run, event: Event) -> Run:
    if run.state is State.STUCK and run.pending:
        raise _broken(event, f"what became of unit {run.pending.unit} must be settled first")
    known = {str(unit) for unit in event.data.get("resumed", ())}
    if event.kind is EventKind.RUN_STARTED and known != set(run.whole):
        raise _broken(event, f"it resumes after units {sorted(known)}, but {sorted(run.whole)} stand committed")
    return run


def _told(run: Run, event: Event, at: datetime) -> Run:
    """Return ``run`` with what ``event`` adds to the facts: decisions, units, the pending effect."""
    match event.kind:
        case EventKind.RUN_STARTED:
            return replace(run, decisions=(*run.decisions, *(str(d) for d in event.data.get("decisions", ()))))
        case EventKind.COMMITTING | EventKind.EDITING | EventKind.UNDO_COMMITTING:
            return replace(run, pending=_announced(run, event, at))
        case EventKind.COMMITTED | EventKind.UNDONE:
            return _confirmed(run, event, at)
        case EventKind.SETTLED:
            return _settled(run, event, at)
        case EventKind.RETRYING | EventKind.ROLLED_BACK | EventKind.UNDO_STARTED:
            return replace(run, pending=None)
        case EventKind.RUN_FINISHED if _result(event) is not Result.STUCK:
            return replace(run, pending=None)
    return run


def _announced(run: Run, event: Event, at: datetime) -> Pending:
    unit = _unit(event)
    undo = run.state is State.UNDOING
    if not undo and unit in run.whole:
        raise _broken(event, f"unit {unit} is committed already")
    if undo and unit in run.undone:
        raise _broken(event, f"unit {unit} is undone already")
    if undo and run.origin in (None, run.id) and unit not in run.standing:
        raise _broken(event, f"unit {unit} was never committed")
    return Pending(kind=event.kind, unit=unit, step=event.step, undo=undo, at=at, data=event.data)


def _confirmed(run: Run, event: Event, at: datetime) -> Run:
    pending = run.pending
    if pending is None or pending.unit != _unit(event):
        raise _broken(event, f"unit {_unit(event)} was not announced")
    if "chunk" in pending.data:
        return _chunk_confirmed(run, pending, event, at)
    if pending.undo:
        return replace(run, pending=None, undone=(*run.undone, pending.unit))
    return replace(run, pending=None, committed=(*run.committed, pending.unit))


def _chunk_confirmed(run: Run, pending: Pending, event: Event, at: datetime) -> Run:
    """Count a chunk: up when it is committed, down when it is taken back, which ends with the first one."""
    number = int(pending.data["chunk"])
    known = run.chunks.get(pending.unit, 0)
    if not pending.undo and number != known + 1:
        raise _broken(event, f"chunk {number} of unit {pending.unit} follows chunk {known}")
    if pending.undo and pending.unit in run.chunks and number > known:
        raise _broken(event, f"chunk {number} of unit {pending.unit} is taken back already")
    left = number - 1 if pending.undo else number
    undone = (*run.undone, pending.unit) if pending.undo and not left else run.undone
    chunks = {unit: latest for unit, latest in {**run.chunks, pending.unit: left}.items() if latest}
    told = pending.data
    progress = Progress(
        step=pending.step or "", chunk=number, of=told.get("of"), rows=told.get("total"), undo=pending.undo, at=at
    )
    return replace(run, pending=None, undone=undone, chunks=chunks, progress=progress)


def _settled(run: Run, event: Event, at: datetime) -> Run:
    fate = event.data.get("fate")
    if fate == "committed":
        return _confirmed(run, event, at)
    if fate != "aborted" or run.pending is None or run.pending.unit != _unit(event):
        raise _broken(event, f"fate {fate!r} of unit {_unit(event)} settles nothing that is pending")
    return replace(run, pending=None)


def _demand_honest(run: Run, event: Event) -> None:
    """Refuse an end that the run's own entries contradict."""
    traces = (*run.standing, *(run.undone if run.origin else ()), *(run.chunks if run.origin else ()))
    if run.state in WITHOUT_TRACE and traces:
        raise _broken(event, f"it says that nothing changed, but units {', '.join(traces)} did")
    if run.state is State.UNDONE and run.standing:
        raise _broken(event, f"it says undone, but units {', '.join(run.standing)} stand")


def _unit(event: Event) -> str:
    unit = event.data.get("unit")
    if unit is None:
        raise _broken(event, "it does not say which unit")
    return str(unit)


def _result(event: Event) -> Result:
    try:
        return Result(str(event.data.get("result")))
    except ValueError as error:
        raise _broken(event, f"unknown result {event.data.get('result')!r}") from error


def _name(event: Event, result: Result | None) -> str:
    return event.kind.value if result is None else f"{event.kind.value}: {result.value}"


def _broken(event: Event, why: str) -> JournalBroken:
    return JournalBroken(
        f"run {event.run} of {event.change} in {event.environment}: {event.kind.value!r} does not fit: {why}",
        state="the journal and what happened disagree; nothing more is changed",
        hint="run `okto-change audit verify`, and compare `audit log` with okto_change.applied in the target",
    )


# ----------------------------------------------------------------------------------- one change


def _joined(known: ChangeState, run: Run) -> ChangeState:
    """Return the change's state with one more run, later started than those before."""
    joined = replace(known, latest=run, runs=(*known.runs, run), consumed=known.consumed.union(run.decisions))
    busy = known.run is not None and not known.run.finished
    if run.state is State.IDLE or (run.state in WITHOUT_TRACE and (run.origin or known.standing or busy)):
        return joined
    return replace(joined, state=run.state, run=run)
