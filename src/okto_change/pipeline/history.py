"""What happened and where things stand: status, one change, the journal and its proof, and whether a target is ready."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from okto_change.approval.policy import Environment, FilesTarget, PostgresTarget
from okto_change.database import doctor as physician
from okto_change.database import state
from okto_change.errors import DatabaseError, OktoError
from okto_change.journal.store import Journal
from okto_change.lifecycle import ChangeState, State, left_by, replay
from okto_change.model import (
    AuditReport,
    ChangePlan,
    ChangeStatus,
    ChangeView,
    Diagnosis,
    Entry,
    Progress,
    SqlStep,
)
from okto_change.pipeline import glass, purging
from okto_change.pipeline.compiling import lock_path
from okto_change.pipeline.connections import connect, open_journal, root
from okto_change.pipeline.repository import CHANGES, Repository
from okto_change.plan import read
from okto_change.plan.compile import parse_lock

UNKNOWN = "unknown"
"""the state of whatever is in a journal that cannot be read"""


def status(repo: Repository, environment: str | None) -> tuple[ChangeStatus, ...]:
    """Return where every change stands, by the journals of one or all environments, latest first.

    Of several environments, one whose journal is out of reach gives a line in state ``unknown``.
    """
    if environment:
        return tuple(_statuses(repo, repo.policy.environment(environment)))
    found: list[ChangeStatus] = []
    for name in sorted(repo.policy.environments):
        try:
            found += _statuses(repo, repo.policy.environment(name))
        except DatabaseError as error:
            found.append(_unknown(name, error))
    return tuple(sorted(found, key=lambda one: (one.at is None, one.at and one.at.timestamp()), reverse=True))


def _unknown(environment: str, error: DatabaseError) -> ChangeStatus:
    return ChangeStatus(
        change="every change", environment=environment, title="", state=UNKNOWN, detail=error.message, next=error.hint
    )


def show(repo: Repository, change: str) -> ChangeView:
    """Return one change: its plan as written and, where it is locked, its state in each environment as far as can be seen."""
    change = repo.resolve(change)
    files = repo.worktree_files(change)
    plan = read.load(change, files)
    locked = [name for name in sorted(repo.policy.environments) if lock_path(name) in files]
    states = [_locked_status(repo, plan, files[lock_path(name)], name) for name in locked]
    return ChangeView(plan=plan, path=f"{CHANGES}/{change}", statuses=tuple(states))


def audit_log(repo: Repository, environment: str, change: str | None = None) -> tuple[Entry, ...]:
    """Return the journal's entries of an environment, oldest first, of one change if asked."""
    wanted = repo.resolve(change) if change else None
    entry = repo.policy.environment(environment)
    with open_journal(entry, repo.environ, install=False) as journal:
        return tuple(journal.entries(change=wanted, environment=environment))


def audit_verify(repo: Repository, environment: str) -> AuditReport:
    """Verify the whole hash chain of the environment's journal, entries of other environments in it too.

    And that it tells of every run that the targets' state rows know: a journal that was dropped or emptied is noticed
    as long as one of them is left.
    """
    entry = repo.policy.environment(environment)
    recorded, silent = _recorded(repo, entry)
    with open_journal(entry, repo.environ, install=False) as journal:
        report = replace(journal.report(environment, recorded=recorded), notes=silent)
        return report if report.problems else replace(report, problems=_unlike(repo, entry, journal))


def _unlike(repo: Repository, entry: Environment, journal: Journal) -> tuple[str, ...]:
    """Say where targets keep other digests of purged images than the journal; targets out of reach are told elsewhere."""
    found: list[str] = []
    for target in entry.targets.values():
        if isinstance(target, PostgresTarget):
            with suppress(OktoError), connect(target, repo.environ, install=False) as session:
                found += purging.verified(entry, session, journal.entries(environment=entry.name))
    return tuple(found)


def _recorded(repo: Repository, entry: Environment) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return run -> the target whose state rows know it, and a line for each target that cannot be asked."""
    found: dict[str, str] = {}
    silent = []
    for target in entry.targets.values():
        if not isinstance(target, PostgresTarget):
            continue
        try:
            with connect(target, repo.environ, install=False) as session:
                found |= dict.fromkeys(state.recorded_runs(session, entry.name), target.name)
        except OktoError as error:
            if target.name == entry.journal:
                raise
            silent.append(f"{target.name} could not be compared with the journal: {error.message}")
    return found, tuple(silent)


def doctor(repo: Repository, environment: str) -> tuple[Diagnosis, ...]:
    """Look at each target of an environment; a target that cannot be reached is a finding, not an error."""
    entry = repo.policy.environment(environment)
    found: list[Diagnosis] = []
    for target in entry.targets.values():
        if isinstance(target, PostgresTarget):
            found += _database(repo, target, _tables(repo))
        else:
            found.append(_folder(repo, target))
    return tuple(found)


def _statuses(repo: Repository, entry: Environment) -> list[ChangeStatus]:
    with open_journal(entry, repo.environ, install=False) as journal:
        states = replay(journal.entries(environment=entry.name)).values()
        told = [_told(repo, state, _busy(journal, state)) for state in states]
    told = glass.owing(repo, entry, told)
    return sorted(told, key=lambda one: one.at or datetime.min.replace(tzinfo=UTC), reverse=True)


def _busy(journal: Journal, found: ChangeState) -> str | None:
    """Say who works on the change now, if its latest run has told no end; an ended run needs no question."""
    if found.latest is None or found.latest.finished:
        return None
    return journal.at_work(found.change, found.environment)


def _told(repo: Repository, found: ChangeState, busy: str | None) -> ChangeStatus:
    run = found.latest if busy else found.run or found.latest
    detail, following = _next(found)
    stands = _state(found)
    if busy and run is not None:
        stands, detail, following = run.state.value, f"a command works on it right now ({busy})", None
        if run.progress is not None:
            detail, following = (
                f"{detail}; {_far(run.progress)}",
                f"to stop it between two chunks: okto-change pause {run.id}",
            )
    return ChangeStatus(
        change=found.change, environment=found.environment, title=_title(repo, found.change), state=stands,
        run=run.id if run else None, at=run.last_at if run else None, digest=run.digest if run else None,
        detail=detail, next=following,
    )  # fmt: skip


def _state(found: ChangeState) -> str:
    run = found.run
    return found.state.value if run is None or run.finished else f"{left_by(run).value} (no end was written)"


def _next(found: ChangeState) -> tuple[str | None, str | None]:
    """Say what to know and what to do about a change in this state."""
    place = f"{found.change} --env {found.environment}"
    if found.unresolved is not None:
        run, pending = found.unresolved
        detail = f"unit {pending.unit} of run {run} was announced and its end never came; the next command finds out"
        return detail, f"okto-change apply {place}" if not pending.undo else f"okto-change rollback {place}"
    if found.standing is None:
        return (found.run.reason if found.run else None), None
    run, units = found.standing
    stand = "unit {} of run {} stands committed" if len(units) == 1 else "units {} of run {} stand committed"
    detail = stand.format(", ".join(units), run)
    if (
        found.run is not None
        and found.run.progress is not None
        and (found.state is State.PAUSED or not found.run.finished)
    ):
        detail += f"; {_far(found.run.progress)}"
    if found.state is State.PAUSED and found.run is not None:
        detail += f"; {found.run.reason} ({found.run.last_at:%Y-%m-%d %H:%M} UTC)"
    if found.state is State.CONFLICT:
        detail += "; an undo stopped where somebody changed what it left, and names what when it is tried again"
    purged = next((known.purged_at for known in found.runs if known.id == run), None)
    if purged is not None:
        return f"{detail}; its images were purged on {purged:%Y-%m-%d}, so it cannot be put back from them", None
    undoing = found.state is State.PAUSED and found.run is not None and found.run.origin is not None
    if found.applied or undoing or found.state is State.CONFLICT:
        return detail, f"okto-change rollback {place}"
    return detail, f"okto-change resume {run}, or okto-change rollback {place}"


def _far(progress: Progress) -> str:
    of = "" if progress.of is None else f" of about {max(progress.of, progress.chunk):,}"
    rows = "" if progress.rows is None else f", {progress.rows:,} rows so far"
    back = " taken back" if progress.undo else ""
    return f"{progress.step}: chunk {progress.chunk:,}{of}{back}{rows}, at {progress.at:%H:%M:%S} UTC"


def _title(repo: Repository, change: str) -> str:
    try:
        return read.load(change, repo.worktree_files(change)).title
    except OktoError:
        return ""


def _locked_status(repo: Repository, plan: ChangePlan, content: bytes, environment: str) -> ChangeStatus:
    digest = parse_lock(content).digest
    try:
        states = _statuses(repo, repo.policy.environment(environment))
    except OktoError as error:
        return ChangeStatus(
            change=plan.change, environment=environment, title=plan.title, state="locked", digest=digest,
            detail=f"its journal cannot be read: {error.message}",
        )  # fmt: skip
    known = next((state for state in states if state.change == plan.change), None)
    return known or ChangeStatus(
        change=plan.change, environment=environment, title=plan.title, state="locked", digest=digest,
        detail="never run", next=f"okto-change dry-run {plan.change} --env {environment}",
    )  # fmt: skip


def _tables(repo: Repository) -> tuple[str, ...]:
    """Return the tables that the changes in the working tree name; changes that cannot be read are left out."""
    names: set[str] = set()
    for change in repo.changes():
        try:
            plan = read.load(change, repo.worktree_files(change))
        except OktoError:
            continue
        names.update(name for step in plan.steps if isinstance(step, SqlStep) for name in step.touches or ())
    return tuple(sorted(names))


def _database(repo: Repository, target: PostgresTarget, tables: tuple[str, ...]) -> list[Diagnosis]:
    try:
        session = connect(target, repo.environ, install=False)
    except OktoError as error:
        return [Diagnosis(name=f"{target.name}: connection", ok=False, message=error.message, hint=error.hint)]
    with session:
        return [
            Diagnosis(name=f"{target.name}: {found.name}", ok=found.ok, message=found.message, hint=found.hint)
            for found in physician.diagnose(session, tables)
        ]


def _folder(repo: Repository, target: FilesTarget) -> Diagnosis:
    name = f"{target.name}: folder"
    try:
        folder = Path(root(target, repo.environ))
    except OktoError as error:
        return Diagnosis(name=name, ok=False, message=error.message, hint=error.hint)
    if not folder.is_dir():
        return Diagnosis(name=name, ok=False, message=f"{folder} is no folder", hint="create it, or correct the policy")
    return Diagnosis(name=name, ok=True, message=f"{folder} is there")
