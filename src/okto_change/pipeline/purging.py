"""Images after their time: what may go, what stays of it, and whether the journal and the databases say the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from okto_change.approval.policy import Environment, PostgresTarget
from okto_change.database import state
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import ConnectionLost, NotAuthorised, OktoError, Stuck, Unusable
from okto_change.execution.images import retention
from okto_change.execution.images.retention import Family, Remains
from okto_change.journal.store import Journal
from okto_change.lifecycle import ChangeState, replay
from okto_change.model import Entry, Event, EventKind, Identity, Purge, PurgedImages, Result, Timeouts
from okto_change.model.codec import encode
from okto_change.pipeline.connections import open_journal, open_targets
from okto_change.pipeline.repository import Repository
from okto_change.pipeline.sources import Actor, who

LIMITS = Timeouts(lock=2_000, statement=1_800_000)
States = Mapping[tuple[str, str], ChangeState]


def purge(repo: Repository, environment: str, *, dry_run: bool) -> Purge:
    """Take away the images of an environment that its policy keeps no longer; with ``dry_run`` only say which.

    Never those of a change that is not settled. Journaled before each COMMIT. Raises NotAuthorised for somebody who may
    not run changes here, Refused while a run holds a target, JournalBroken; a target out of reach is told in the result.
    """
    entry = repo.policy.environment(environment)
    actor = _actor(repo, entry)
    found = _Found()
    with (
        open_targets(entry, repo.environ) as targets,
        open_journal(entry, repo.environ, repo=repo.policy.repo, actor=actor.name) as journal,
    ):
        for target in entry.targets.values():
            if isinstance(target, PostgresTarget):
                try:
                    session = targets.session(target.name)
                except Unusable as error:
                    found.silent.append(error.message)
                    continue
                found.done += _purge_target(entry, session, journal, actor, found, dry_run=dry_run)
    return Purge(
        environment=environment,
        keep=entry.keep_images,
        at=datetime.now(UTC),
        dry_run=dry_run,
        images=tuple(found.done),
        kept=tuple(found.kept),
        silent=tuple(found.silent),
    )


@dataclass
class _Found:
    """What a purge finds on its way; a database that two targets name is looked at once."""

    done: list[PurgedImages] = field(default_factory=list)
    kept: dict[str, None] = field(default_factory=dict)
    """why images must stay, each reason once: a run in chunks has thousands of families"""
    silent: list[str] = field(default_factory=list)
    databases: set[tuple[str, str]] = field(default_factory=set)

    def new(self, identity: Identity) -> bool:
        """Whether this database was not looked at yet; one that does not tell who it is always counts as new."""
        known = (identity.system_identifier, identity.database)
        if identity.system_identifier and known in self.databases:
            return False
        self.databases.add(known)
        return True


def _actor(repo: Repository, entry: Environment) -> Actor:
    actor = who(repo, entry)
    if entry.execute.groups and actor.person not in repo.policy.members(entry.execute.groups):
        raise NotAuthorised(
            f"{actor.name} may not purge {entry.name}: that is for {', '.join(entry.execute.groups)}",
            where=repo.policy.file,
        )
    return actor


def _purge_target(
    entry: Environment, session: Session, journal: Journal, actor: Actor, found: _Found, *, dry_run: bool
) -> list[PurgedImages]:
    """Take away what is due in one target, in one transaction that holds it against runs; return what stays of it."""
    session.begin(LIMITS, isolation=READ_COMMITTED)
    try:
        state.target_lock(session, "purge")
        states = replay(journal.entries(environment=entry.name))
        _, before = retention.limit(session, entry.keep_images)
        remains = _take_away(entry, session, states, before, found)
        if remains and not dry_run:
            for event in _events(entry, session.target, states, before, actor, remains):
                journal.append(event)
            _commit(session)
    finally:
        session.rollback()
    if remains and not dry_run:
        session.run("VACUUM okto_change.image")
    runs = _runs(states)
    return [_told(session.target, runs[one.origin].change, one) for one in remains]


def _take_away(entry: Environment, session: Session, states: States, before: datetime, found: _Found) -> list[Remains]:
    remains: list[Remains] = []
    for family in retention.families(session, before) if found.new(session.identity) else ():
        reason = why_not(family, states)
        if reason is None:
            remains += retention.take_away(session, family)
        else:
            found.kept[f"{session.target}: {reason}"] = None
    if session.target == entry.journal:
        for run in retention.edits(session, before):
            reason = why_not(Family(origin=run, captures=(), runs=(run,)), states)
            if reason is None:
                remains += retention.take_away_edits(session, run)
            else:
                found.kept[f"{session.target}: {reason}"] = None
    return remains


def why_not(family: Family, states: States) -> str | None:
    """Say why images that are old enough must stay, None if they may go. Pure."""
    known = _runs(states)
    strangers = sorted(set(family.runs) - known.keys())
    if strangers:
        return f"run {strangers[0]} is of another repository, or not in this environment's journal"
    found = known[family.origin]
    open_runs = [
        run for run in found.runs if not run.finished or run.pending or run.result in (Result.STUCK, Result.PAUSED)
    ]
    if open_runs:
        return f"run {open_runs[-1].id} of {found.change} is not settled: {open_runs[-1].state.value}"
    return None


def _runs(states: States) -> dict[str, ChangeState]:
    return {run.id: found for found in states.values() for run in found.runs}


def _events(
    entry: Environment, target: str, states: States, before: datetime, actor: Actor, remains: Iterable[Remains]
) -> Iterator[Event]:
    runs = _runs(states)
    by_run: dict[str, list[Remains]] = {}
    for one in remains:
        by_run.setdefault(one.origin, []).append(one)
    for run, some in by_run.items():
        yield Event(
            kind=EventKind.IMAGES_PURGED,
            run=run,
            change=runs[run].change,
            environment=entry.name,
            data={
                "target": target,
                "before": encode(before),
                "person": actor.name,
                "images": [_listed(one) for one in some],
            },
        )


def _listed(one: Remains) -> dict[str, str | int]:
    return {
        "run": one.run,
        "unit": one.unit,
        "object": one.object,
        "part": one.part,
        "rows": one.rows,
        "digest": one.digest,
    }


def _told(target: str, change: str, one: Remains) -> PurgedImages:
    return PurgedImages(
        target=target,
        change=change,
        run=one.run,
        unit=one.unit,
        object=one.object,
        part=one.part,
        rows=one.rows,
        digest=one.digest,
    )


def _commit(session: Session) -> None:
    try:
        session.commit()
    except ConnectionLost as lost:
        raise Stuck(
            f"the connection to {session.target} broke at COMMIT of the purge",
            where=session.target,
            state="the images are purged, or still there although the journal calls them purged",
            hint="run purge again: what is still there is purged then, and `okto-change audit verify` compares",
        ) from lost


# --------------------------------------------------------------------------- proof


def differences(entries: Iterable[Entry], target: str, remains: Iterable[Remains]) -> tuple[str, ...]:
    """Say where the journal and a target disagree about what was purged there. Pure."""
    told: dict[str, set[tuple[object, ...]]] = {}
    for entry in entries:
        event = entry.event
        if event.kind is EventKind.IMAGES_PURGED and event.data["target"] == target:
            told.setdefault(event.run, set()).update(tuple(sorted(one.items())) for one in event.data["images"])
    there: dict[str, set[tuple[object, ...]]] = {}
    for one in remains:
        there.setdefault(one.origin, set()).add(tuple(sorted(_listed(one).items())))
    return tuple(
        f"what {target} keeps of the purged images of run {run} is not what the journal says"
        for run in sorted(told.keys() | there.keys())
        if told.get(run) != there.get(run)
    )


def verified(entry: Environment, session: Session, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Compare digests of purged images that a target keeps with those in the journal; only runs of this environment."""
    if not state.is_installed(session) or not session.query("retention_there")[0][0]:
        return ()
    known = list(entries)
    runs = {one.event.run for one in known if one.event.environment == entry.name}
    try:
        return differences(known, session.target, [one for one in retention.purged(session) if one.origin in runs])
    except OktoError as error:
        return (f"what {session.target} keeps of purged images cannot be read: {error.message}",)
