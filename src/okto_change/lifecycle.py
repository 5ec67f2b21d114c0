"""The life of a run and of a change: a table of transitions with a reason per arrow, ``replay`` of the journal. Pure.

State is stored nowhere: it is what the journal's entries say when they are read again in order. Every arrow that is not
in ``TRANSITIONS`` or ``ENDINGS`` raises JournalBroken, both when an entry is about to be written and when it is read.

Facts that are read from an event's ``data``: ``decisions`` (ids of consumed statements), ``digest``, ``resumed`` (units
that the resumed run counts as committed) of RUN_STARTED; ``origin`` (the run taken back) of UNDO_STARTED, (the run put
back) of REDO_STARTED; ``unit`` of COMMITTING, EDITING, UNDO_COMMITTING, COMMITTED, UNDONE and SETTLED; ``left`` (rows and
keys that others changed, left alone) of UNDO_COMMITTING, EDITING and UNDONE; of UNDO_COMMITTING for a chunk ``rest`` (it does
not stand: rows of it were left before), ``standing`` (chunks that stand then), ``more`` (chunks that follow) and
``left_of_all`` (rows left of all chunks then); ``fate`` (``committed`` or ``aborted``) of SETTLED;
``result`` of RUN_FINISHED.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime

from okto_change.errors import JournalBroken
from okto_change.model import Entry, Event, EventKind, Pending, Progress, Result
from okto_change.model.base import type_
from okto_change.transitions import ENDINGS, STARTS, TRANSITIONS, WITHOUT_TRACE, State

__all__ = ["ENDINGS", "TRANSITIONS", "ChangeState", "Pending", "Run", "State", "advance", "left_by", "replay"]


@type_
class Run:
    """One run as its entries tell it. ``origin`` is the run that it takes back, or with ``redo`` puts back; None for an apply."""

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
    redo: bool = False
    committed: tuple[str, ...] = ()
    """units, in the order of their commits; those of ``origin`` that a redo put back"""
    undone: tuple[str, ...] = ()
    """units taken back by this run: its own, or those of ``origin``"""
    left: tuple[str, ...] = ()
    """units taken back but for rows or keys that others had changed"""
    pending: Pending | None = None
    result: Result | None = None
    purged_at: datetime | None = None
    """when its images were taken away"""
    chunks: Mapping[str, int] = field(default_factory=dict)
    """unit -> the latest chunk of a batch that stands; of an undo, the latest that it left standing"""
    part: tuple[str, ...] = ()
    """batches that this run has gone through in part, whichever way"""
    progress: Progress | None = None
    batch: str | None = None
    """the target of the batch that it goes through now"""

    @property
    def standing(self) -> tuple[str, ...]:
        """Units that this run committed and did not take back itself, batches of which only some chunks are done too."""
        return () if self.origin else (*self.whole, *(unit for unit in self.chunks if unit not in self.committed))

    @property
    def whole(self) -> tuple[str, ...]:
        """Units that this run committed to their end of its own and did not take back itself."""
        return () if self.origin else tuple(unit for unit in self.committed if unit not in self.undone)

    @property
    def effects(self) -> tuple[str, ...]:
        """Units of another run that this one took back or put back, or some chunks of them."""
        return (*self.committed, *self.undone, *self.chunks, *self.part) if self.origin else ()

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
        """The last run that has committed units which no run took back for good, and those units; None if nothing stands."""
        for run in reversed(self.runs):
            units = tuple(unit for unit in run.standing if not self._undos(run, unit) or self._half(run, unit))
            if units:
                return run.id, units
        return None

    @property
    def half(self) -> Run | None:
        """The run that did not get to the end of an undo or redo, so that some chunks stand and others do not; None if none."""
        run = next((run for run in self.runs if self.standing and run.id == self.standing[0]), None)
        halves = (self._half(run, unit) for unit in run.standing) if run is not None else ()
        return next((half for half in halves if half is not None), None)

    def _half(self, run: Run, unit: str) -> Run | None:
        """Return the run that last took chunks of a unit back or put them back, if it left some of them standing only."""
        last = next((o for o in reversed(self.runs) if o.origin == run.id and unit in o.effects), None)
        if last is None:  # it may have broken off itself, while it took back what it had done
            last = run if run.progress is not None and run.progress.undo else None
        return last if last is not None and unit in last.part and unit in last.chunks else None

    @property
    def left(self) -> tuple[str, tuple[str, ...]] | None:
        """The last run that was applied, and its units that are undone but for rows or keys of others; None without any."""
        run, undone = self._undone
        units = tuple(unit for unit, undos in undone.items() if unit in undos[-1].left)
        return (run, units) if units else None

    @property
    def redoable(self) -> tuple[str, dict[str, tuple[str, ...]]] | None:
        """The last run that was applied, and unit -> the undos that took it back, first one first; None if none did.

        An undo is named by the run whose images tell of it: its own, or ``<run>/undo`` for a redo that took itself back.
        """
        run, undone = self._undone
        named = {unit: tuple(map(_images, undos)) for unit, undos in undone.items()}
        return (run, named) if named else None

    @property
    def _undone(self) -> tuple[str, dict[str, list[Run]]]:
        run = next((run for run in reversed(self.runs) if run.standing), None)
        found = {} if run is None else {unit: self._undos(run, unit) for unit in run.standing}
        return ("" if run is None else run.id), {unit: undos for unit, undos in found.items() if undos}

    def _undos(self, run: Run, unit: str) -> list[Run]:
        """Return the runs that took a unit of ``run`` back since it was applied, or last put back.

        A redo that failed put it back and took it back.
        """
        undos: list[Run] = []
        for other in self.runs:
            if other.origin == run.id and other.redo and unit in other.committed:
                undos.clear()
            if other.origin == run.id and unit in other.undone:
                undos.append(other)
        return undos

    @property
    def applied(self) -> str | None:
        """The run that applied the change and stands whole, also after an undo that stopped at a conflict; else None."""
        if self.standing is None:
            return None
        run = next(run for run in self.runs if run.id == self.standing[0])
        whole = self.standing[1] == run.committed and not self.half
        return run.id if run.result is Result.DONE and whole else None

    @property
    def unresolved(self) -> tuple[str, Pending] | None:
        """The run whose announced commit or file swap is not known to have happened, and that announcement."""
        return next(((run.id, run.pending) for run in reversed(self.runs) if run.pending), None)

    @property
    def undone(self) -> bool:
        """Whether it was applied once and nothing of it stands any more."""
        was = any(run.committed or run.chunks for run in self.runs if not run.origin)
        return was and not self.standing and not self.left


def advance(run: Run | None, event: Event, *, actor: str, at: datetime) -> Run:
    """Return ``run`` (None before its first event) after ``event``; raise JournalBroken if no arrow leads there."""
    before = State.NEW if run is None else run.state
    result = _result(event) if event.kind is EventKind.RUN_FINISHED else None
    arrow = TRANSITIONS.get((before, event.kind)) if result is None else ENDINGS.get((before, result))
    if arrow is None:
        raise _broken(event, f"a run that is {before.value!r} cannot go on with {_name(event, result)!r}")
    if run is None:
        run = _born(event, actor, at)
    elif event.kind in STARTS:
        run = _resumed(run, event)
    if event.kind is EventKind.IMAGES_PURGED:
        return replace(run, purged_at=at)
    state, reason = arrow
    if result is Result.PAUSED:
        reason = str(event.data.get("summary", reason))
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
    return State.PARTLY_APPLIED if run.standing or run.effects else State.ROLLED_BACK


# ----------------------------------------------------------------------------------- one run


def _born(event: Event, actor: str, at: datetime) -> Run:
    origin = event.data.get("origin") if event.kind is not EventKind.RUN_STARTED else None
    if event.kind is not EventKind.RUN_STARTED and not origin:
        raise _broken(event, "it does not say which run it takes back")
    return Run(
        id=event.run,
        change=event.change,
        environment=event.environment,
        state=State.NEW,
        reason="",
        redo=event.kind is EventKind.REDO_STARTED,
        started_by=actor,
        started_at=at,
        last_at=at,
        origin=origin,
        digest=event.data.get("digest"),
        decisions=(),
    )


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
        case EventKind.STEP_STARTED | EventKind.CHUNK_STARTED:
            return replace(run, batch=event.data.get("target") if "chunk" in event.data else None)
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
    if not undo and unit in run.committed and unit not in run.undone:
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
        left = (*run.left, pending.unit) if pending.data.get("left") else run.left
        return replace(run, pending=None, undone=(*run.undone, pending.unit), left=left)
    part = _without(run.part, pending.unit)
    return replace(run, pending=None, committed=(*run.committed, pending.unit), part=part)


def _without(units: tuple[str, ...], unit: str) -> tuple[str, ...]:
    return tuple(one for one in units if one != unit)


def _chunk_confirmed(run: Run, pending: Pending, event: Event, at: datetime) -> Run:
    """Count a chunk: up when it is committed, down when it is taken back, which ends with the last that there is to take."""
    unit, number = pending.unit, int(pending.data["chunk"])
    known = run.chunks.get(unit, 0)
    begun = unit in run.chunks or not run.redo  # a redo goes on where the one before it broke off
    if not pending.undo and begun and number != known + 1:
        raise _broken(event, f"chunk {number} of unit {unit} follows chunk {known}")
    if pending.undo and not pending.data.get("rest") and unit in run.chunks and number > known:
        raise _broken(event, f"chunk {number} of unit {unit} is taken back already")
    of, rows = pending.data.get("of"), pending.data.get("total")
    standing = int(pending.data.get("standing", number - 1)) if pending.undo else None
    progress = Progress(
        step=pending.step or "", chunk=number, of=of, rows=rows, undo=pending.undo, at=at, standing=standing
    )
    told = replace(run, pending=None, progress=progress, part=(*_without(run.part, unit), unit))
    if standing is None:
        return replace(told, chunks={**run.chunks, unit: number})
    more = int(pending.data.get("more", number - 1))
    chunks = {one: latest for one, latest in {**run.chunks, unit: standing}.items() if latest}
    if more:
        return replace(told, chunks=chunks)
    left = (*run.left, unit) if pending.data.get("left_of_all") else run.left
    return replace(told, chunks=chunks, part=_without(run.part, unit), undone=(*run.undone, unit), left=left)


def _settled(run: Run, event: Event, at: datetime) -> Run:
    fate = event.data.get("fate")
    if fate == "committed":
        return _confirmed(run, event, at)
    if fate != "aborted" or run.pending is None or run.pending.unit != _unit(event):
        raise _broken(event, f"fate {fate!r} of unit {_unit(event)} settles nothing that is pending")
    return replace(run, pending=None)


def _demand_honest(run: Run, event: Event) -> None:
    """Refuse an end that the run's own entries contradict."""
    if run.state in WITHOUT_TRACE and (traces := (*run.standing, *run.effects)):
        raise _broken(event, f"it says that nothing changed, but units {', '.join(traces)} did")
    again = tuple(unit for unit in run.committed if unit not in run.undone) if run.redo else ()
    if run.state is State.UNDONE and (stands := (*run.standing, *again)):
        raise _broken(event, f"it says undone, but units {', '.join(stands)} stand")


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


def _images(undo: Run) -> str:
    return f"{undo.id}/undo" if undo.redo else undo.id


def _joined(known: ChangeState, run: Run) -> ChangeState:
    """Return the change's state with one more run, later started than those before."""
    joined = replace(known, latest=run, runs=(*known.runs, run), consumed=known.consumed.union(run.decisions))
    busy = known.run is not None and not known.run.finished
    if run.state is State.IDLE or (run.state in WITHOUT_TRACE and (run.origin or known.standing or busy)):
        return joined
    return replace(joined, state=run.state, run=run)
