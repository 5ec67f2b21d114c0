"""Asking a run that goes through a batch to stop between two chunks, from another terminal or another machine."""

from __future__ import annotations

from okto_change.approval.policy import Environment, PostgresTarget
from okto_change.database import chunks
from okto_change.errors import ConnectionFailed, Refused, UsageError
from okto_change.journal.store import Journal
from okto_change.lifecycle import Run, replay
from okto_change.model import PauseAsked
from okto_change.pipeline.clearance import who
from okto_change.pipeline.connections import connect, open_journal
from okto_change.pipeline.repository import Repository


def pause(repo: Repository, run: str) -> PauseAsked:
    """Leave word for ``run`` in the target that it works on; it stops before its next chunk.

    Takes no turn and no lock, and needs no approval: what is committed stands, and nothing else happens. Raises UsageError
    for an unknown run, Refused for one that has ended, that nobody works on, or that is in no batch.
    """
    silent = []
    for name in sorted(repo.policy.environments):
        entry = repo.policy.environment(name)
        try:
            with open_journal(entry, repo.environ, install=False) as journal:
                found = _run(journal, name, run)
                if found is not None:
                    _demand_at_work(journal, found)
        except ConnectionFailed as error:
            silent.append(f"{name}: {error.message}")
            continue
        if found is not None:
            return _ask(repo, entry, found)
    raise UsageError(
        f"no journal knows a run {run!r}", faults=tuple(silent), hint="`okto-change status` lists the runs"
    )


def _run(journal: Journal, environment: str, run: str) -> Run | None:
    states = replay(journal.entries(environment=environment)).values()
    return next((known for found in states for known in found.runs if known.id == run), None)


def _demand_at_work(journal: Journal, found: Run) -> None:
    ask = f"okto-change status --env {found.environment}"
    if found.finished:
        raise Refused(f"run {found.id} has ended: {found.state.value}; there is nothing to pause", hint=ask)
    if journal.at_work(found.change, found.environment) is None:
        raise Refused(f"no command works on run {found.id} now: it broke off, and goes no further by itself", hint=ask)
    if not found.batch:
        raise Refused(
            f"run {found.id} is not in a step with `batch:`; only between two chunks can a run be paused",
            hint="Ctrl-C in its terminal stops it; the open transaction is rolled back",
        )


def _ask(repo: Repository, entry: Environment, found: Run) -> PauseAsked:
    actor = who(repo, entry)
    target = entry.targets.get(found.batch or "")
    if not isinstance(target, PostgresTarget):
        raise Refused(f"{found.batch} is no database of {entry.name} any more", where=found.id)
    with connect(target, repo.environ, install=False) as session:
        chunks.ask_pause(session, found.id, actor.name)
    return PauseAsked(
        run=found.id,
        change=found.change,
        environment=found.environment,
        target=target.name,
        person=actor.name,
        undo=found.origin is not None,
        progress=found.progress,
    )
