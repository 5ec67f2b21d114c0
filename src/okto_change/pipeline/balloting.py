"""The lock committed at HEAD, what it is of, and the ballot on it: what ``verify`` answers once it has fetched."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256

from okto_change.approval import (
    keycheck as keycheck,  # a ballot meets signatures, and this is imported during the fetch
)
from okto_change.approval.policy import Environment
from okto_change.errors import NotAuthorised, Refused
from okto_change.model import Ballot, Lock
from okto_change.pipeline.counted import count_decisions
from okto_change.pipeline.recompiling import demand_compiled
from okto_change.pipeline.repository import CHANGES, Repository
from okto_change.pipeline.stored import from_files, lock_path
from okto_change.plan.compile import parse_lock
from okto_change.plan.folder import sources


def committed_ballot(repo: Repository, change: str, environment: str) -> Ballot:
    """Return the ballot on the lock committed at HEAD, which is what its sources compile to; raises like ``verify``."""
    change, entry, commit = repo.resolve(change), repo.policy.environment(environment), repo.mirror.head_commit()
    found = ballot_at(repo, change, entry, commit)
    demand_compiled(repo.policy, change, environment, repo.committed_files(commit, change))
    return found


def ballot_at(
    repo: Repository, change: str, entry: Environment, commit: str, used: AbstractSet[str] = frozenset()
) -> Ballot:
    """Return the ballot on the lock in ``commit``; ``used`` are decisions that runs used up. Raises like ``verify``."""
    files = repo.committed_files(commit, change)
    lock = committed_lock(files, change, entry.name, repo.policy.repo)
    place = f"{CHANGES}/{change}/{lock_path(entry.name)}"
    _demand_same_sources(lock, files, place)
    _demand_same_targets(lock, entry.target_entries(), place)
    return count_decisions(repo, entry, lock, commit=commit, report=from_files(files, lock), used=used)


def committed_lock(files: Mapping[str, bytes], change: str, environment: str, repo: str) -> Lock:
    """Return the lock among ``files``; raises Refused without one, NotAuthorised for one that says it is of something else."""
    place = f"{CHANGES}/{change}/{lock_path(environment)}"
    if lock_path(environment) not in files:
        raise Refused(
            "the change has no lock for this environment",
            where=place,
            hint=f"run `okto-change lock {change} --env {environment}` and commit the file",
        )
    lock = parse_lock(files[lock_path(environment)])
    odd = [
        name
        for name, said, wanted in (
            ("change", lock.change, change),
            ("environment", lock.environment, environment),
            ("repository", lock.repo, repo),
        )
        if said != wanted
    ]
    if odd:
        raise _of_another(odd, change, environment, place)
    return lock


def _of_another(odd: list[str], change: str, environment: str, place: str) -> NotAuthorised:
    return NotAuthorised(
        f"the lock is of another {', '.join(odd)} than the policy's",
        where=place,
        hint=f"run `okto-change lock {change} --env {environment}`, commit, and have it approved",
    )


def _demand_same_sources(lock: Lock, files: Mapping[str, bytes], place: str) -> None:
    written = {path: sha256(content).hexdigest() for path, content in sources(files).items()}
    locked = {path: found for path, found, _ in lock.sources}
    different = sorted(path for path in written.keys() | locked.keys() if written.get(path) != locked.get(path))
    if different:
        raise Refused(
            "the sources changed since they were locked",
            where=place,
            faults=tuple(different),
            hint=f"run `okto-change lock {lock.change} --env {lock.environment}`, commit, and have it approved",
        )


def _demand_same_targets(lock: Lock, targets: Mapping[str, Mapping[str, object]], place: str) -> None:
    odd = [f"target {name}" for name, entry in lock.targets.items() if dict(entry) != targets.get(name)]
    if odd:
        raise _of_another(odd, lock.change, lock.environment, place)
