"""The whole plan, its checks and its undo, on the real target, in transactions that are rolled back."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from okto_change.database import afresh, measure, state
from okto_change.database.session import REPEATABLE_READ, Session
from okto_change.errors import OktoError, Unaccounted
from okto_change.execution import batch_rehearsal, catalogue, choosing, edits, images, transactions, undoing, work
from okto_change.execution.images import coverage
from okto_change.execution.job import Job
from okto_change.execution.units import EditUnit, SqlUnit
from okto_change.model import BatchRehearsal, EditPreview, Event, Inverse, Rehearsal, RowChange, UndoProof


@dataclass
class Opened:
    """What one rehearsal has open: a transaction a target, the captures of its units, file contents as edited so far."""

    started: float = field(default_factory=time.monotonic)
    before: dict[str, tuple[dict[str, int | None], int]] = field(default_factory=dict)
    """sequence positions and WAL position of each target before its transaction"""
    definitions: dict[str, catalogue.Before] = field(default_factory=dict)
    """what targets were like whose definitions the plan or its undo may change"""
    performed: dict[int, batch_rehearsal.Performed] = field(default_factory=dict)
    """what was run of each unit and captured: the unit itself, or the first chunks of a batch"""
    batches: list[BatchRehearsal] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """steps that were not rehearsed, since they come after a batch of which only the first chunks were"""
    contents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    edits: dict[int, tuple[EditPreview, bytes, bytes]] = field(default_factory=dict)


def rehearse(job: Job) -> Generator[Event, None, Rehearsal]:
    """Run ``job`` and its undo without committing anything; return what happened, also when the plan failed.

    Raises OktoError only for what makes a rehearsal impossible (no connection, another run holds the target).
    """
    for attempt in range(1, transactions.ATTEMPTS + 2 * len(job.units) + 1):
        try:
            return (yield from _once(job, _open(job)))
        except transactions.NotCovered as missed:
            transactions.grow(job, missed, attempt)
        except images.Unproven as unproven:
            yield choosing.otherwise(job, unproven)
        except catalogue.NotCompared as moved:
            job.compared.setdefault(moved.target, set()).update(moved.tables)
        finally:
            job.targets.rollback()
    raise Unaccounted("every rehearsal moves other tables than the one before", where=job.lock.change)


def edit_previews(job: Job, opened: Opened | None = None) -> tuple[EditPreview, ...]:
    """Return what every edit of the plan would do, each on the content that the ones before it leave."""
    opened = opened or Opened()
    for unit in job.units:
        if isinstance(unit, EditUnit):
            _edit(job, unit, opened)
    return tuple(preview for preview, _, _ in opened.edits.values())


def _once(job: Job, opened: Opened) -> Generator[Event, None, Rehearsal]:
    at = datetime.now(UTC)
    failure: str | None = None
    rows: tuple[RowChange, ...] = ()
    proof = UndoProof(proven=False, rows=0, identical=0, reason="the plan did not get that far")
    try:
        choosing.demand_reversible(job)
        for unit in job.units:
            match unit:
                case EditUnit():
                    _edit(job, unit, opened)
                case SqlUnit():
                    yield from _perform(job, unit, opened)
        rows = _rows(job, opened)
        for target, before in opened.definitions.items():
            session = job.targets.session(target)
            scripts = any(unit.target == target and unit.scripts for unit in job.units if isinstance(unit, SqlUnit))
            catalogue.demand_compared(session, target, before, scripts=scripts)
            parts = [part for performed in opened.performed.values() for part in performed]
            captures = [capture for unit, capture in parts if unit.target == target]
            catalogue.demand_views_compared(session, target, before, captures)
        proof = _prove(job, opened)
    except OktoError as error:
        failure = error.message if error.where is None else f"{error.where}: {error.message}"
        failure = "; ".join((failure, *error.faults)) + (f" ({error.hint})" if error.hint else "")
    return Rehearsal(
        at=at,
        milliseconds=round((time.monotonic() - opened.started) * 1000),
        statements=job.seen.all_statements(),
        writes=job.seen.all_writes(),
        rows=rows,
        checks=job.seen.all_checks(),
        undo=proof,
        left_behind=_left_behind(job, opened),
        failure=failure,
        captures=job.seen.all_captures(),
        inverses=tuple(
            Inverse(steps=unit.name, target=unit.target, statements=job.inverses[unit.number])
            for unit in reversed(job.units)
            if unit.number in job.inverses
        ),
        compared=tuple(sorted({name for names in job.compared.values() for name in names})),
        batches=tuple(opened.batches),
    )


def _perform(job: Job, unit: SqlUnit, opened: Opened) -> Generator[Event, None, None]:
    session = job.targets.session(unit.target)
    partly = {
        step.target for step in job.lock.steps for item in opened.batches if item.step == step.name and not item.whole
    }
    if unit.target in partly:
        opened.skipped.append(unit.name)
        return
    with afresh.afterwards(session):
        if unit.batch is None:
            opened.performed[unit.number] = [(unit, (yield from work.perform(job, unit, session)))]
        else:
            opened.performed[unit.number], seen = yield from batch_rehearsal.rehearse(job, unit, session)
            opened.batches.append(seen)


def _open(job: Job) -> Opened:
    """Begin a transaction on every database target of the plan. Raises Refused when a run holds one of them."""
    opened = Opened()
    sql = [unit for unit in job.units if isinstance(unit, SqlUnit)]
    for target in dict.fromkeys(unit.target for unit in sql):
        units = [unit for unit in sql if unit.target == target]
        session = job.targets.ready(target)
        opened.before[target] = measure.sequences(session), measure.wal_position(session)
        session.begin(units[0].timeouts(), isolation=REPEATABLE_READ)
        state.target_lock(session, job.run)
        if catalogue.concerns(units):
            opened.definitions[target] = catalogue.look(session, job.compared.get(target, ()))
    return opened


def _edit(job: Job, unit: EditUnit, opened: Opened) -> None:
    place = (unit.target, unit.step.file)
    if place not in opened.contents:
        opened.contents[place], _ = job.targets.store(unit.target).read(unit.step.file)
    content = opened.contents[place]
    preview, edited = edits.preview(job, unit, content)
    opened.contents[place] = edited
    opened.edits[unit.number] = preview, content, edited


def _rows(job: Job, opened: Opened) -> tuple[RowChange, ...]:
    return tuple(row for target in opened.before for row in images.sample(job.targets.session(target), job.run))


def _prove(job: Job, opened: Opened) -> UndoProof:
    """Undo every unit last first, then compare: the net effect of run and undo must be empty in every table and file."""
    proofs = []
    for unit in reversed(job.units):
        if unit.irreversible is not None:
            return UndoProof(proven=False, rows=0, identical=0, reason=f"declared irreversible: {unit.irreversible}")
        match unit:
            case EditUnit():
                proofs.append(edits.prove(unit, *opened.edits[unit.number][1:]))
            case SqlUnit():
                parts = reversed(opened.performed.get(unit.number, []))
                proofs += [_prove_sql(job, part, opened, capture) for part, capture in parts]
    proof = _merge(proofs)
    if opened.skipped and proof.proven:
        reason = f"{', '.join(opened.skipped)} comes after a batch, of which a rehearsal runs the first chunks only"
        return UndoProof(proven=False, rows=proof.rows, identical=proof.identical, reason=reason)
    for target, before in opened.definitions.items():
        if proof.proven:
            proof = catalogue.prove(job.targets.session(target), before, proof)
    return proof


def _prove_sql(job: Job, unit: SqlUnit, opened: Opened, capture: images.Capture) -> UndoProof:
    session = job.targets.session(unit.target)
    try:
        if unit.scripts:
            _run_scripts(job, unit, session, capture)
        else:
            undoing.put_back(job, unit, session, job.run)
        proof = images.proof(session, capture)
    except OktoError as error:
        return UndoProof(proven=False, rows=0, identical=0, reason="; ".join((error.message, *error.faults)))
    if unit.scripts and not proof.proven and catalogue.decides(session, opened.definitions[unit.target], capture):
        return UndoProof(proven=True, rows=proof.rows, identical=proof.rows)
    return proof


def _run_scripts(job: Job, unit: SqlUnit, session: Session, run: images.Capture) -> None:
    """Run the author's undo with its rows captured too, so that run and undo can be compared."""
    # By oid: DDL may have given the tables of the run other names.
    tables = (*coverage.leaves(session, run.tables), *coverage.cover(session, job.covered(unit)))
    undo = images.start(session, f"{job.run}/undo", str(unit.number), tables, undoes=job.run)
    undoing.put_back(job, unit, session, job.run)
    missing = images.account(session, undo, ddl=True).missing
    if missing:
        raise transactions.NotCovered(unit.target, missing)


def _merge(proofs: list[UndoProof]) -> UndoProof:
    broken = next((proof for proof in proofs if not proof.proven), None)
    if broken is not None:
        return broken
    return UndoProof(
        proven=True, rows=sum(proof.rows for proof in proofs), identical=sum(proof.identical for proof in proofs)
    )


def _left_behind(job: Job, opened: Opened) -> tuple[str, ...]:
    """Say what the rolled-back rehearsal leaves in each target, read after the rollback."""
    job.targets.rollback()
    lines: list[str] = []
    for target, (sequences, position) in opened.before.items():
        session = job.targets.session(target)
        written = measure.wal_position(session) - position
        lines += [f"{target}: {line}" for line in measure.moved(sequences, measure.sequences(session))]
        lines.append(f"{target}: {written} bytes of WAL by all sessions meanwhile, and dead rows until the next vacuum")
    return tuple(lines)
