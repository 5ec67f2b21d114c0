"""What somebody decided on and nobody ran: cleared and waiting, or what is still missing. By git, and by who works now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from okto_change.approval.policy import Environment
from okto_change.errors import OktoError
from okto_change.lifecycle import ChangeState
from okto_change.model import Ballot, ChangeStatus, Concern
from okto_change.pipeline.balloting import ballot_at
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.stored import lock_path
from okto_change.transitions import WITHOUT_TRACE

AtWork = Callable[[str, str], str | None]

UNSURE = "whether it ever ran cannot be told without the journal"


def proposals(
    repo: Repository, entry: Environment, ran: Mapping[str, ChangeState] | None, at_work: AtWork | None
) -> list[ChangeStatus]:
    """Return each change that was submitted or approved, and of which no run left anything.

    ``ran`` is what the journal tells, None where it is out of reach; ``at_work`` says who works on a change right now.
    """
    told = ran or {}
    names = sorted(repo.mirror.decided(entry.name, "submit", "approve"))
    open_ones = [name for name in names if name not in told or _left_nothing(told[name])]
    found = [_proposal(repo, entry, name, told.get(name)) for name in open_ones]
    if ran is None:
        found = [replace(one, detail=UNSURE, next=None) for one in found]
    return [_worked_on(one, at_work(one.change, entry.name)) for one in found] if at_work else found


def merged(told: Iterable[ChangeStatus], proposed: Iterable[ChangeStatus]) -> list[ChangeStatus]:
    """Return every change once. One that ended without a trace waits again; what its last run said stays with it."""
    known = {one.change: one for one in told}
    for one in proposed:
        last = known.get(one.change)
        if last is None:
            known[one.change] = one
        elif last.concern is Concern.ENDED:
            tried = f"the last run of it: {last.state}" + (f", {last.detail}" if last.detail else "")
            known[one.change] = replace(
                last, concern=one.concern, detail=tried, next=one.next, missing=one.missing, digest=one.digest
            )
    return list(known.values())


def _left_nothing(found: ChangeState) -> bool:
    return (
        found.standing is None and found.unresolved is None and (found.run is None or found.run.state in WITHOUT_TRACE)
    )


def _worked_on(one: ChangeStatus, busy: str | None) -> ChangeStatus:
    if busy is None:
        return one
    detail = f"a command works on it right now ({busy}); it has started no run yet"
    return replace(one, concern=Concern.RUNNING, state="starting", detail=detail, next=None)


def _proposal(repo: Repository, entry: Environment, change: str, found: ChangeState | None) -> ChangeStatus:
    place = f"{change} --env {entry.name}"
    one = ChangeStatus(
        change=change,
        environment=entry.name,
        title="",
        state="not cleared",
        concern=Concern.WAITING,
        next=f"okto-change approvals {place}",
    )
    commit = repo.mirror.head_commit() if entry.from_head else repo.protected_commit
    if lock_path(entry.name) not in repo.committed_files(commit, change):
        branch = "HEAD" if entry.from_head else repo.mirror.protected_ref.removeprefix("refs/heads/")
        return replace(one, missing=(f"its lock is not in {branch} yet, from where {entry.name} runs",))
    try:
        ballot = ballot_at(repo, change, entry, commit, _used(found))
    except OktoError as error:
        return replace(one, missing=(error.message, *error.faults), next=error.hint)
    if not ballot.cleared:
        return replace(one, digest=ballot.digest, missing=_missing(ballot))
    return replace(
        one,
        state="cleared",
        digest=ballot.digest,
        concern=Concern.READY,
        missing=ballot.notes,
        next=f"okto-change apply {place}",
    )


def _missing(ballot: Ballot) -> tuple[str, ...]:
    """Return what blocks, without the number of the step that says it, and what else stands before a run."""
    return (*(line.partition(": ")[2] for line in ballot.blocks), *ballot.notes)


def _used(found: ChangeState | None) -> frozenset[str]:
    """Return the decisions that runs used up which changed something, as far as the journal tells."""
    runs = found.runs if found else ()
    return frozenset(one for run in runs if run.state not in WITHOUT_TRACE for one in run.decisions)
