"""Our mirror of a clone's repository, made and fetched: what every command begins with. It judges nothing.

While a fetch runs, commands import what judges; so this module and those below it import little.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from okto_change.approval import mirror as mirrors
from okto_change.approval import pins, source
from okto_change.approval.mirror import Mirror
from okto_change.approval.pins import Pin
from okto_change.approval.safegit import SafeGit, failure
from okto_change.approval.source import Clone, Source
from okto_change.errors import WorkspaceError


def mirrors_folder() -> Path:
    """Return the folder that our mirrors lie in."""
    folder = source.state_folder() / "mirrors"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def open_mirror(
    root: Path, *, protected_ref: str | None = None, fetch: bool = True, clone: Clone | None = None
) -> Mirror:
    """Return the mirror for the clone at ``root``, made where there is none; fetched unless ``fetch`` is False.

    ``protected_ref`` None takes the remote's default branch, remembered from the first time; without a remote, the
    branch ``main`` or ``master``. Raises WorkspaceError (GitFailed when the remote cannot be reached).
    """
    origin = source.find(root, clone)
    return mirror_of(origin, pins.choose(pins.load(), origin), protected_ref=protected_ref, fetch=fetch)


def mirror_of(origin: Source, pin: Pin | None, *, protected_ref: str | None = None, fetch: bool = True) -> Mirror:
    """Return the mirror of a place, like ``open_mirror``; with a pin, its protected branch is that of the pin."""
    folder = mirrors_folder() / f"{origin.key}.git"
    mirrors.make(folder)
    mirrors.demand_ours(folder)
    mirror = Mirror(folder, origin, protected_ref or "")
    mirror.pin = pin
    mirror.protected_ref = protected_ref or (pin.protected_ref if pin else protected_branch(mirror, origin))
    if fetch:
        mirror.refresh()
    return mirror


def protected_branch(mirror: Mirror, origin: Source) -> str:
    """Return the branch that trust is read from: as remembered, else the remote's default, which is then remembered."""
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
        hint = "begin with `okto-change init`, where that was not done yet; then commit the policy and push it to main"
        raise WorkspaceError(f"{origin.shown} is empty", hint=hint)
    return named[0]


def _local_branch(origin: Source) -> str:
    git = SafeGit(None, network=True)
    names = ("refs/heads/main", "refs/heads/master")
    ran = git.attempt("-C", str(origin.root), "for-each-ref", "--format=%(refname)", *names)
    found = [name for name in names if name in ran.lines()]
    if not found:
        raise WorkspaceError(
            "there is neither a remote nor a branch main or master",
            where=origin.root,
            hint="commit the policy to the branch main",
        )
    return found[0]
