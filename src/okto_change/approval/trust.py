"""The door to what is trusted: the mirror of a clone's repository, and the policy that stands in it.

The mirror is fetched from the remote of the user's clone (or from the clone itself where there is no remote). The
clone's configuration, hooks, filters and replacements have no part in it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from okto_change.approval import chain, pins, schema, source
from okto_change.approval import mirror as mirrors
from okto_change.approval.memory import Mark
from okto_change.approval.mirror import APPROVALS, HEAD, SHORT_PATIENCE, Mirror
from okto_change.approval.pins import Pin
from okto_change.approval.rulebook import Policy
from okto_change.approval.safegit import SafeGit, failure
from okto_change.approval.source import Source
from okto_change.errors import NotAuthorised, WorkspaceError

__all__ = [
    "APPROVALS",
    "HEAD",
    "POLICIES",
    "SHORT_PATIENCE",
    "Mirror",
    "mirror_of",
    "open_mirror",
    "policy_files",
    "read_policy",
]

POLICIES = ".okto-change/policy/"


def read_policy(mirror: Mirror, commit: str | None = None) -> Policy:
    """Return the policy with the highest number at ``commit`` (default: the tip of the protected branch).

    From then on the mirror reads decisions from the branches that the policy names.
    Raises WorkspaceError if there is none, PlanError if it cannot be read, NotAuthorised if it was written for another
    branch than the one it is trusted from.
    """
    tip = mirror.commit(mirror.protected_ref)
    found = policy_files(mirror, commit or tip)
    pin, seen = (mirror.pin.mark if mirror.pin else None), mirror.memory.policy
    if not mirror.source.url:
        # Whoever owns the one clone that there is may rewrite it; nobody else could be deceived.
        pin = seen = None
    policy = chain.current(found, datetime.now(UTC), pin=pin, seen=seen if commit in (None, tip) else None)
    _demand_ours(mirror, policy)
    if commit in (None, tip):
        _remember(mirror, policy, tip)
    if policy.approvals_refs != mirror.approvals_refs:
        mirror.approvals_refs = policy.approvals_refs
        if mirror.fetched:
            mirror.refresh()
    return policy


def newest(mirror: Mirror) -> Policy:
    """Return the newest version of the policy as it stands, whoever signed it; for people to compare."""
    found = chain.versions(policy_files(mirror, mirror.commit(mirror.protected_ref)))
    name, content = found[max(found)]
    policy = schema.read(content, name)
    _demand_ours(mirror, policy)
    return policy


@contextmanager
def afresh(origin: Source) -> Iterator[Mirror]:
    """Give a mirror that remembers nothing, fetched now; it goes when the block is left, unless it was accepted."""
    folder = Path(tempfile.mkdtemp(prefix=".init-", dir=_mirrors()))
    try:
        mirrors.make(folder / "fresh")
        mirror = Mirror(folder / "fresh", origin, "")
        mirror.protected_ref = _protected(mirror, origin)
        mirror.refresh()
        yield mirror
    finally:
        shutil.rmtree(folder)


def accept(mirror: Mirror, policy: Policy) -> None:
    """Put a fresh mirror in the place of the one that was there, with this version of the policy as seen."""
    _remember(mirror, policy, mirror.commit(mirror.protected_ref))
    place = _mirrors() / f"{mirror.source.key}.git"
    shutil.rmtree(place, ignore_errors=True)
    mirror.folder.rename(place)


def _mirrors() -> Path:
    folder = source.state_folder() / "mirrors"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def policy_files(mirror: Mirror, commit: str) -> dict[str, bytes]:
    """Return the files of the policy's folder at ``commit``. Raises WorkspaceError where no version is among them."""
    found = mirror.files(commit, POLICIES)
    if not chain.versions(found):
        raise WorkspaceError(
            f"there is no policy {POLICIES}0001.yaml", where=mirror.protected_ref,
            hint="run okto-change init, then commit and push to the protected branch",
        )  # fmt: skip
    return found


def _demand_ours(mirror: Mirror, policy: Policy) -> None:
    if policy.protected_ref != mirror.protected_ref:
        raise NotAuthorised(
            f"the policy says that {policy.protected_ref} is protected, but stands on {mirror.protected_ref}",
            where=policy.file, hint="make it the default branch of the remote, or correct the policy",
        )  # fmt: skip
    if mirror.pin and policy.repo != mirror.pin.repo:
        raise NotAuthorised(
            f"{mirror.source.shown} has the policy of another repository than the one trusted under that address",
            where=policy.file, hint="find out who put it there; to trust it after all: okto-change trust init",
        )  # fmt: skip


def _remember(mirror: Mirror, policy: Policy, commit: str) -> None:
    mark = Mark(policy.version, policy.sha256, policy.policy_quorum is not None)
    kept = mirror.memory
    if (kept.policy, kept.accepted) != (mark, commit):
        mirror.remember(replace(kept, policy=mark, accepted=commit))


def open_mirror(root: Path, *, protected_ref: str | None = None, fetch: bool = True) -> Mirror:
    """Return the mirror for the clone at ``root``, made where there is none; fetched unless ``fetch`` is False.

    ``protected_ref`` None takes the remote's default branch, remembered from the first time; without a remote, the
    branch ``main`` or ``master``. Raises WorkspaceError (GitFailed when the remote cannot be reached).
    """
    origin = source.find(root)
    return mirror_of(origin, pins.choose(pins.load(), origin), protected_ref=protected_ref, fetch=fetch)


def mirror_of(origin: Source, pin: Pin | None, *, protected_ref: str | None = None, fetch: bool = True) -> Mirror:
    """Return the mirror of a place, like ``open_mirror``; with a pin, its protected branch is that of the pin."""
    folder = _mirrors() / f"{origin.key}.git"
    mirrors.make(folder)
    mirrors.demand_ours(folder)
    mirror = Mirror(folder, origin, protected_ref or "")
    mirror.pin = pin
    mirror.protected_ref = protected_ref or (pin.protected_ref if pin else _protected(mirror, origin))
    if fetch:
        mirror.refresh()
    return mirror


def _protected(mirror: Mirror, origin: Source) -> str:
    kept = mirror.memory
    if kept.protected_ref:
        return kept.protected_ref
    found = _default_branch(origin) if origin.url else _local_branch(origin)
    mirror.remember(replace(kept, protected_ref=found))
    return found


def _default_branch(origin: Source) -> str:
    ran = SafeGit(None, network=True).attempt("ls-remote", "--symref", "--", origin.place, "HEAD")
    if ran.code != 0:
        hint = "check the network and your access: git ls-remote origin"
        raise failure(f"{origin.shown} cannot be read", ran.err, hint=hint)
    named = [line.split("\t")[0].removeprefix("ref: ") for line in ran.lines() if line.startswith("ref: ")]
    if not named:
        raise WorkspaceError(f"{origin.shown} is empty", hint="commit and push the policy to its default branch")
    return named[0]


def _local_branch(origin: Source) -> str:
    git = SafeGit(None, network=True)
    names = ("refs/heads/main", "refs/heads/master")
    ran = git.attempt("-C", str(origin.root), "for-each-ref", "--format=%(refname)", *names)
    found = [name for name in names if name in ran.lines()]
    if not found:
        raise WorkspaceError(
            "there is neither a remote nor a branch main or master", where=origin.root,
            hint="commit the policy to the branch main",
        )  # fmt: skip
    return found[0]
