"""Asking a run that goes through a batch to stop between two chunks, from another terminal or another machine."""

from __future__ import annotations

from okto_change.approval.policy import Environment, PostgresTarget
from okto_change.database import chunks
from okto_change.errors import Refused
from okto_change.journal.store import Journal
from okto_change.lifecycle import Run, replay
from okto_change.model import PauseAsked
from okto_change.pipeline import settling
from okto_change.pipeline.connections import connect
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.sources import who


def pause(repo: Repository, run: str) -> PauseAsked:
    """Leave word for ``run`` in the target that it works on; it stops before its next chunk.

    Takes no turn and no lock, and needs no approval: what is committed stands, and nothing else happens. Raises UsageError
    for an unknown run, Refused for one that has ended, that nobody works on, or that is in no batch.
    """
    entry, (found, busy) = settling.in_journals(repo, run, lambda journal, name: _at_work(journal, name, run))
    _demand_at_work(found, busy)
    return _ask(repo, entry, found)


def _at_work(journal: Journal, environment: str, run: str) -> tuple[Run, str | None] | None:
    """Return the run and the command that works on it; None where this journal does not know it."""
    found = _run(journal, environment, run)
    return (found, journal.at_work(found.change, environment)) if found else None


def _run(journal: Journal, environment: str, run: str) -> Run | None:
    states = replay(journal.entries(environment=environment)).values()
    return next((known for found in states for known in found.runs if known.id == run), None)


def _demand_at_work(found: Run, busy: str | None) -> None:
    ask = f"okto-change status --env {found.environment}"
    if found.finished:
        raise Refused(f"run {found.id} has ended: {found.state.value}; there is nothing to pause", hint=ask)
    if busy is None:
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
