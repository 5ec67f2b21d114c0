"""The dry run: what would happen, said by the static preview and by a rehearsal, and the facts it holds for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from okto_change import analysis
from okto_change.approval.policy import Environment
from okto_change.database import catalog, facts, sample
from okto_change.database.session import Session
from okto_change.errors import DatabaseError, Refused
from okto_change.execution import batch_rehearsal, rehearsal, units
from okto_change.execution.job import Job, new_run
from okto_change.execution.targets import Targets
from okto_change.model import (
    Analysis,
    Batch,
    Count,
    DryRun,
    DryRunMade,
    EditStep,
    Event,
    Found,
    Lock,
    Quality,
    Rehearsal,
    SqlStep,
    Statement,
    StatementKind,
    StatementPreview,
    Timeouts,
)
from okto_change.pipeline import vouched
from okto_change.pipeline.compiling import Compiled, analyse_live, compile_change, demand_lock, demand_sound
from okto_change.pipeline.connections import open_targets
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.stored import facts_sha256, to_file

ROWLESS = frozenset({StatementKind.DDL, StatementKind.TEMPORARY, StatementKind.REFRESH, StatementKind.SET})
"""kinds that leave no images of rows; what functions and triggers write all the same, the rehearsal shows"""
ASIDE = "until a later change drops it for good; `okto-change trash` lists it"
LOOK = Timeouts(lock=1_000, statement=10_000)
Watch = Callable[[Event], None]


def dry_run(
    repo: Repository, change: str, environment: str, *, static: bool, sign: bool = False, watch: Watch
) -> DryRunMade:
    """Look at, and unless ``static`` rehearse, the change as it lies in the working tree; store the report beside its lock.

    The report is signed where the policy asks for it and the key at hand counts; ``sign`` demands that. Raises Refused
    when the lock is missing or stale, ConnectionFailed, DatabaseError; KeyUnusable, NotAuthorised where it is to be signed.
    """
    change = repo.resolve(change)
    files = repo.worktree_files(change)
    compiled = compile_change(repo.policy, change, environment, files)
    lock = demand_lock(compiled, files)
    signer, unsigned = vouched.find_signer(repo, compiled.environment, lock.author, sign=sign)
    with open_targets(compiled.environment, repo.environ, install=not static) as targets:
        found = find(compiled, targets)
        live = analyse_live(compiled, found)
        demand_sound(live.findings, "this change cannot be rehearsed")
        previews = tuple(_previews(lock, live, targets, found))
        job = new_job(lock, targets, compiled.environment.journal, statements=live.statements)
        rehearsed = None if static else _rehearse(job, watch)
        result = replace(
            _page(job, live, previews, rehearsed), copies=copies(lock, compiled.environment, datetime.now(UTC))
        )
    paths = vouched.store(repo, change, environment, to_file(result), signer)
    return DryRunMade(dry_run=result, paths=paths, signed_by=signer.person if signer else None, unsigned=unsigned)


def find(compiled: Compiled, targets: Targets, repo: Repository | None = None) -> dict[str, Found]:
    """Look up in each database target what the plan's statements name, which ``repo`` may have read apart."""
    names = {step.target for step in compiled.plan.steps if isinstance(step, SqlStep)}
    tables, functions = repo.apart(analysis.names, compiled.plan) if repo else analysis.names(compiled.plan)
    declared = [name for step in compiled.plan.steps if isinstance(step, SqlStep) for name in step.touches or ()]
    return {name: _found(targets.session(name), {*tables, *declared}, functions) for name in sorted(names)}


def _found(session: Session, tables: Iterable[str], functions: Iterable[str]) -> Found:
    found = catalog.find(session, tables, functions)
    return replace(found, bodies=catalog.bodies(session, found.tables, functions))


def collect(lock: Lock, targets: Targets, tables: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the facts that a dry run holds for: identity and definitions a database target, content a config file."""
    found: dict[str, Any] = {}
    for target, names in tables.items():
        found[target] = facts.collect(targets.session(target), names)
    for step in lock.steps:
        if not isinstance(step, SqlStep):
            _, content = targets.store(step.target).read(step.file)
            found.setdefault(step.target, {})[step.file] = content
    return found


def tables_of(lock: Lock, rehearsed: Rehearsal | None = None) -> dict[str, list[str]]:
    """Return the tables that the facts of a lock cover, a target each: written, declared, and found by the rehearsal."""
    found: dict[str, set[str]] = {}
    for step in lock.steps:
        if isinstance(step, SqlStep):
            names = found.setdefault(step.target, set())
            names.update(step.touches or ())
            names.update(name for s in lock.statements if s.step == step.name for name in (*s.writes, *s.reads))
    if rehearsed is not None and len(found) == 1:
        next(iter(found.values())).update(writes.table for writes in rehearsed.writes)
    return {target: sorted(names) for target, names in sorted(found.items())}


def new_job(
    lock: Lock,
    targets: Targets,
    journal: str,
    *,
    run: str | None = None,
    statements: Iterable[Statement] = (),
    **authority: Any,
) -> Job:
    """Return a run of ``lock`` over open targets; ``statements`` are those of the lock as analysed, with their previews."""
    texts = {(statement.step, statement.index): statement.text for statement in lock.statements}
    previews = {
        (statement.step, statement.index): statement.preview
        for statement in statements
        if statement.preview is not None and texts.get((statement.step, statement.index)) == statement.text
    }
    return Job(
        run=run or new_run(),
        lock=lock,
        units=units.build(lock),
        targets=targets,
        journal=journal,
        authority=authority | {"repo": lock.repo},
        previews=previews,
    )


def _page(job: Job, live: Analysis, previews: tuple[StatementPreview, ...], rehearsed: Rehearsal | None) -> DryRun:
    lock = job.lock
    edits = rehearsal.edit_previews(job)
    found = collect(lock, job.targets, tables_of(lock, rehearsed))
    return DryRun(
        change=lock.change,
        environment=lock.environment,
        title=lock.title,
        digest=lock.digest,
        at=datetime.now(UTC),
        findings=live.findings,
        risk=live.risk,
        risk_reasons=live.risk_reasons,
        statements=lock.statements,
        previews=previews,
        edits=edits,
        rehearsal=rehearsed,
        facts=found,
        facts_sha256=facts_sha256(found),
        steps=lock.steps,
    )


def copies(lock: Lock, environment: Environment, now: datetime) -> tuple[str, ...]:
    """Say where a run of today would leave unmasked rows and files, and until when policy keeps them. Pure."""
    until = f"until {now + timedelta(seconds=environment.keep_images):%Y-%m-%d} if it runs today, then purge takes them away"
    place = "in schema okto_change, for its owner alone"
    rows = dict.fromkeys(
        step.target
        for step in lock.steps
        if any(s.step == step.name and s.kind not in ROWLESS for s in lock.statements)
    )
    targets = {step.name: step.target for step in lock.steps}
    aside = dict.fromkeys(targets[s.step] for s in lock.statements if s.instead is not None)
    files = dict.fromkeys(f"{step.target}:{step.file}" for step in lock.steps if isinstance(step, EditStep))
    lines = [f"{target}: rows before and after, {place}, {until}" for target in rows]
    lines += [f"{target}: what is put aside with its rows instead of dropped, {ASIDE}" for target in aside]
    return (*lines, *(f"{environment.journal}: content of {file} before and after, {place}, {until}" for file in files))


def _rehearse(job: Job, watch: Watch) -> Rehearsal:
    events = rehearsal.rehearse(job)
    while True:
        try:
            watch(next(events))
        except StopIteration as end:
            result: Rehearsal = end.value
            return result


def _previews(lock: Lock, live: Analysis, targets: Targets, found: Mapping[str, Found]) -> Iterator[StatementPreview]:
    """Look at each row-writing statement on its own; a count is exact only where no earlier statement can have moved it."""
    steps = {step.name: step for step in lock.steps}
    first = True
    for statement in live.statements:
        if statement.kind.writes_rows:
            step = steps[statement.step]
            batch = step.batch if isinstance(step, SqlStep) else None
            yield _preview(statement, targets.session(step.target), found[step.target], batch, first=first)
            first = False


def _preview(
    statement: Statement, session: Session, found: Found, batch: Batch | None, *, first: bool
) -> StatementPreview:
    preview = statement.preview
    table = found.tables.get(preview.table) if preview else None
    if preview is None or table is None:
        return _unknown(statement, "no SELECT can be cut from this statement; see the rehearsal")
    try:
        session.begin(LOOK, read_only=True)
        note = None if batch is None else batch_rehearsal.enter_first(session, batch)
        count = session.texts(preview.count)[1][0][0]
        rows = sample.rows(session, preview, table)
    except (DatabaseError, Refused) as error:
        return _unknown(statement, error.message)
    finally:
        session.rollback()
    quality = Quality.EXACT if first and batch is None else Quality.ESTIMATED
    return StatementPreview(
        step=statement.step,
        index=statement.index,
        table=table.qualified,
        count=Count(rows=int(count or 0), quality=quality),
        rows=rows,
        note=note,
    )


def _unknown(statement: Statement, note: str) -> StatementPreview:
    return StatementPreview(
        step=statement.step,
        index=statement.index,
        table=next(iter(statement.writes), None),
        count=Count(rows=None, quality=Quality.UNKNOWN),
        rows=(),
        note=note,
    )
