"""What became of earlier runs: the journal replayed, and every announced effect without an end settled by asking its target."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from okto_change.approval.policy import Environment
from okto_change.database import state
from okto_change.errors import NotAuthorised, OktoError, Refused, Stuck, Unusable, UsageError
from okto_change.execution import transactions
from okto_change.execution.targets import Targets
from okto_change.journal.store import Journal
from okto_change.lifecycle import ChangeState, Run, replay
from okto_change.model import Entry, Event, EventKind, Lock, Pending, SqlStep
from okto_change.pipeline.compiling import lock_path
from okto_change.pipeline.connections import open_journal
from okto_change.pipeline.repository import Repository

T = TypeVar("T")


def settle(journal: Journal, targets: Targets, change: str, environment: str) -> ChangeState:
    """Return where the change stands, after finding out and journaling what became of a broken-off COMMIT or file swap.

    A run that broke off may have left capture triggers behind, which do nothing; they are dropped where that can be done.
    Raises Stuck when the target cannot tell yet, Refused for another repository's change, JournalBroken, ConnectionFailed.
    """
    while True:
        found = stands(journal, change, environment)
        if found.unresolved is None:
            if found.latest is not None and not found.latest.finished:
                _tidy(journal, targets, found.latest)
            return found
        run, pending = found.unresolved
        fate = _fate(targets, run, pending)
        chunk = {"chunk": pending.data["chunk"]} if "chunk" in pending.data else {}
        journal.append(
            Event(
                kind=EventKind.SETTLED,
                run=run,
                change=change,
                environment=environment,
                step=pending.step,
                data={"unit": pending.unit, "fate": fate, **chunk},
            )
        )


def stands(journal: Journal, change: str, environment: str) -> ChangeState:
    """Return where the change stands by the journal alone. Raises Refused where another repository has run one of its id."""
    states = replay(_own(journal, change, environment))
    return states.get((change, environment)) or ChangeState(change=change, environment=environment)


def _own(journal: Journal, change: str, environment: str) -> Iterator[Entry]:
    for entry in journal.every(change=change, environment=environment):
        other = journal.stranger(entry.event)
        if other is not None:
            raise Refused(
                f"{change} was run in {environment} from another repository, {other}; the journal is shared with it",
                state="nothing was changed",
                hint="work on that one in its own repository; give yours another name: rename its folder, then lock it anew",
            )
        yield entry


def lock_of(repo: Repository, journal: Journal, change: str, environment: Environment, run: str) -> Lock:
    """Return the lock that ``run`` ran, by the commit and digest of its start. Raises Stuck if git no longer has it."""
    started = next(
        entry.event
        for entry in journal.entries(change=change, environment=environment.name, run=run)
        if entry.event.kind is EventKind.RUN_STARTED
    )
    digest, commit = str(started.data["digest"]), str(started.data["commit"])
    path = f"changes/{change}/{lock_path(environment.name)}"
    content = repo.mirror.find_version(path, digest, commit=commit)
    if content is None:
        raise Stuck(
            f"the lock that run {run} ran is not in git any more",
            where=f"{commit[:12]}:{path}",
            state="the change stands; nothing was undone",
            hint="fetch or restore that commit; undo needs the plan exactly as it ran",
        )
    from okto_change.plan.compile import parse_lock

    return parse_lock(content)


def demand_same(lock: Lock, targets: Targets, run: str) -> None:
    """Raise NotAuthorised where a target knows ``run`` as one of another plan than the journal does.

    The journal may be another database, and whoever resumes or takes back may be the one who chose it.
    """
    for name in dict.fromkeys(step.target for step in lock.steps if isinstance(step, SqlStep)):
        for unit in state.applied(targets.session(name), lock.change, lock.environment):
            if unit.run == run and unit.digest != lock.digest:
                raise NotAuthorised(
                    f"{name} knows run {run} as one of another plan than the journal does: {unit.digest[:19]}",
                    where=lock.change,
                    hint="the journal is not the one that this run wrote to; see `okto-change audit verify`",
                )


def in_journals(repo: Repository, run: str, look: Callable[[Journal, str], T | None]) -> tuple[Environment, T]:
    """Return the environment whose journal tells ``look`` (journal, environment) something of ``run``, and what.

    Only looks: nothing is installed. Raises UsageError where none does, Refused where one of them gives no answer.
    """
    silent: dict[str, OktoError] = {}
    for name in sorted(repo.policy.environments):
        entry = repo.policy.environment(name)
        try:
            with open_journal(entry, repo.environ, repo=repo.policy.repo, install=False) as journal:
                found = look(journal, name)
        except (Unusable, Refused) as error:
            silent[name] = error
            continue
        if found is not None:
            return entry, found
    if silent:
        raise Refused(
            f"whether there is a run {run!r} cannot be told",
            faults=tuple(f"the journal of {name} gives no answer: {error.message}" for name, error in silent.items()),
            hint=next(iter(silent.values())).hint,
        )
    raise UsageError(f"no journal knows a run {run!r}", hint="`okto-change status` lists the runs")


def find_run(journal: Journal, environment: str, run: str) -> Entry | None:
    """Return the first entry of ``run`` in this journal's environment, None if it is not known."""
    entries = journal.entries(environment=environment)
    return next((entry for entry in entries if entry.event.run == run), None)


def _tidy(journal: Journal, targets: Targets, run: Run) -> None:
    events = (entry.event for entry in journal.entries(change=run.change, environment=run.environment, run=run.id))
    for target in sorted({str(event.data["target"]) for event in events if "xid" in event.data}):
        transactions.tidy(targets, target)


def _fate(targets: Targets, run: str, pending: Pending) -> str:
    target = str(pending.data["target"])
    if pending.kind is EventKind.EDITING:
        return _swapped(targets, target, run, pending)
    mark = state.Backend(
        xid=int(pending.data["xid"]), pid=int(pending.data["pid"]), started=str(pending.data["started"])
    )
    fate = state.settle(targets.session(target), mark, run)
    if fate == "in progress":
        raise Stuck(
            f"run {run} is still committing unit {pending.unit} on {target}",
            where=target,
            state="unknown until that transaction ends",
            hint="wait a minute, then run the command again",
        )
    transactions.tidy(targets, target)
    return fate


def _swapped(targets: Targets, target: str, run: str, pending: Pending) -> str:
    _, found = targets.store(target).read(str(pending.data["file"]))
    if found == pending.data["after"]:
        return "committed"
    if found == pending.data["before"]:
        return "aborted"
    raise Stuck(
        f"run {run} was editing {pending.data['file']} when it broke off, and somebody changed the file since",
        where=target,
        state="unknown: the file is neither what the run found nor what it meant to leave",
        hint="compare the file with okto_change.edit_image of that run and put it right by hand",
    )
