"""What happened, and what can be looked at: one change, the journal and its proof, and whether a target is ready."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from okto_change.approval.policy import Environment, FilesTarget, PostgresTarget
from okto_change.database import doctor as physician
from okto_change.database import state
from okto_change.database.session import Session
from okto_change.errors import OktoError, UsageError
from okto_change.execution import images
from okto_change.journal.chain import Head, read_head
from okto_change.journal.store import Journal
from okto_change.model import (
    AuditReport,
    ChangePlan,
    ChangeStatus,
    ChangeView,
    Diagnosis,
    Entry,
    SqlStep,
    StatusBoard,
)
from okto_change.pipeline import purging
from okto_change.pipeline.compiling import lock_path
from okto_change.pipeline.connections import connect, demand_own, open_journal, root
from okto_change.pipeline.overview import board
from okto_change.pipeline.repository import CHANGES, Repository
from okto_change.plan import read
from okto_change.plan.compile import parse_lock


def show(repo: Repository, change: str) -> ChangeView:
    """Return one change: its plan as written and, where it is locked, its state in each environment as far as can be seen."""
    change = repo.resolve(change)
    files = repo.worktree_files(change)
    plan = read.load(change, files)
    locked = [name for name in sorted(repo.policy.environments) if lock_path(name) in files]
    boards = [(entry := repo.policy.environment(name), board(repo, entry)) for name in locked]
    return ChangeView(
        plan=plan,
        path=f"{CHANGES}/{change}",
        statuses=tuple(_locked_status(plan, files[lock_path(entry.name)], entry, found) for entry, found in boards),
        silent=tuple(one for _, found in boards for one in found.silent),
    )


def audit_log(repo: Repository, environment: str, change: str | None = None) -> tuple[Entry, ...]:
    """Return the journal's entries of an environment, oldest first, of one change if asked."""
    wanted = repo.resolve(change) if change else None
    entry = repo.policy.environment(environment)
    with open_journal(entry, repo.environ, install=False) as journal:
        return tuple(journal.entries(change=wanted, environment=environment))


def audit_verify(repo: Repository, environment: str, heads: Sequence[str] = ()) -> AuditReport:
    """Verify the whole hash chain of the environment's journal, entries of other environments in it too.

    ``heads`` were printed by earlier runs and kept elsewhere: the chain must still lead through them. Raises UsageError
    for one that cannot be read.
    And that it tells of every run that the targets' state rows know: a journal that was dropped or emptied is noticed
    as long as one of them is left.
    """
    kept = _heads(heads)
    entry = repo.policy.environment(environment)
    with open_journal(entry, repo.environ, install=False) as journal:
        recorded, silent = _recorded(repo, entry)
        report = replace(journal.report(environment, kept=kept, recorded=recorded), notes=silent)
        return report if report.problems else replace(report, problems=_unlike(repo, entry, journal))


def _heads(texts: Sequence[str]) -> list[Head]:
    try:
        return [read_head(text) for text in texts]
    except ValueError as error:
        hint = "give it as `okto-change audit verify` printed it: --head 33:sha256:..."
        raise UsageError(f"that is no head of a journal: {error}", hint=hint) from error


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
            silent.append(f"{target.name} could not be compared with the journal: {error.message}")
    return found, tuple(silent)


def doctor(repo: Repository, environment: str) -> tuple[Diagnosis, ...]:
    """Look at each target of an environment; a target that cannot be reached is a finding, not an error."""
    entry = repo.policy.environment(environment)
    found = [Diagnosis(name="policy", ok=True, message=line) for line in repo.ending()]
    for target in entry.targets.values():
        if isinstance(target, PostgresTarget):
            found += _database(repo, entry, target, _tables(repo))
        else:
            found.append(_folder(repo, target))
    return tuple(found)


def _locked_status(plan: ChangePlan, content: bytes, entry: Environment, found: StatusBoard) -> ChangeStatus:
    known = next((one for one in found.changes if one.change == plan.change), None)
    if known is not None:
        return known
    mute = any(one.target == entry.journal for one in found.silent)
    return ChangeStatus(
        change=plan.change,
        environment=entry.name,
        title=plan.title,
        state="not known" if mute else "locked",
        digest=parse_lock(content).digest,
        detail="it is locked; whether it ever ran cannot be told without the journal" if mute else "never run",
        next=f"okto-change {'doctor' if mute else f'dry-run {plan.change}'} --env {entry.name}",
    )


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


def _database(repo: Repository, entry: Environment, target: PostgresTarget, tables: tuple[str, ...]) -> list[Diagnosis]:
    try:
        session = connect(target, repo.environ, install=False)
    except OktoError as error:
        return [Diagnosis(name=f"{target.name}: connection", ok=False, message=error.message, hint=error.hint)]
    with session:
        return [
            Diagnosis(name=f"{target.name}: {found.name}", ok=found.ok, message=found.message, hint=found.hint)
            for found in (*physician.diagnose(session, tables), _owner(session, entry, target), *_listeners(session))
        ]


def _owner(session: Session, entry: Environment, target: PostgresTarget) -> Diagnosis:
    try:
        if state.is_installed(session):
            demand_own(session, target, entry.name)
    except OktoError as error:
        return Diagnosis(name="environment", ok=False, message=error.message, hint=error.hint)
    return Diagnosis(name="environment", ok=True, message=f"no other environment than {entry.name} has this database")


def _listeners(session: Session) -> tuple[Diagnosis, ...]:
    """Tell whether event triggers log what okto-change makes itself; tried and rolled back."""
    if not state.is_installed(session):
        return ()
    try:
        tables = images.heard(session)
    except OktoError as error:
        return (Diagnosis(name="event triggers", ok=False, message=error.message, hint=error.hint),)
    message = f"they write to {', '.join(tables)} what they hear of okto-change" if tables else "none that log our DDL"
    hint = images.SILENCE.format(user=session.identity.user)
    return (Diagnosis(name="event triggers", ok=not tables, message=message, hint=hint),)


def _folder(repo: Repository, target: FilesTarget) -> Diagnosis:
    name = f"{target.name}: folder"
    try:
        folder = Path(root(target, repo.environ))
    except OktoError as error:
        return Diagnosis(name=name, ok=False, message=error.message, hint=error.hint)
    if not folder.is_dir():
        return Diagnosis(name=name, ok=False, message=f"{folder} is no folder", hint="create it, or correct the policy")
    return Diagnosis(name=name, ok=True, message=f"{folder} is there")
