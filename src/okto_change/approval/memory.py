"""What we remember of a repository beside our mirror of it: where it is protected, when it was fetched, which policy was seen.

A small canonical JSON file that only okto-change writes. It is as trusted as the mirror that it lies in.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from okto_change import digest
from okto_change.errors import WorkspaceError
from okto_change.model.base import record
from okto_change.model.moment import SECONDS, moment

FILE = "okto-change.json"


@record
class Mark:
    """A version of the policy that was accepted once: its number and digest, and whether owners had to sign it."""

    version: int
    sha256: str
    strong: bool


@record
class Memory:
    """What is remembered; empty before the first fetch. ``accepted`` is the commit whose policy was accepted last."""

    protected_ref: str = ""
    approvals_refs: tuple[str, ...] = ()
    fetched_at: datetime | None = None
    policy: Mark | None = None
    accepted: str = ""


def load(folder: Path) -> Memory:
    """Return what is remembered in a mirror's folder. Raises WorkspaceError for a file that is not ours."""
    try:
        content = (folder / FILE).read_bytes()
    except FileNotFoundError:
        return Memory()
    try:
        return _memory(digest.parse(content))
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(
            "what okto-change remembers of the repository cannot be read",
            where=folder / FILE,
            hint=f"remove {folder}; it is made again by the next command",
        ) from error


def save(folder: Path, memory: Memory) -> None:
    """Write it, whole or not at all."""
    mark = memory.policy
    value = {
        "protected_ref": memory.protected_ref,
        "approvals_refs": list(memory.approvals_refs),
        "fetched_at": memory.fetched_at.astimezone(UTC).strftime(SECONDS) if memory.fetched_at else "",
        "accepted": memory.accepted,
        "policy": {"version": mark.version, "sha256": mark.sha256, "strong": mark.strong} if mark else {},
    }
    fresh = folder / f"{FILE}.{os.urandom(8).hex()}"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(digest.canonical(value))
    os.replace(fresh, folder / FILE)


def _memory(value: Any) -> Memory:
    mark, fetched = value["policy"], value["fetched_at"]
    return Memory(
        protected_ref=value["protected_ref"],
        approvals_refs=tuple(value["approvals_refs"]),
        fetched_at=moment(fetched) if fetched else None,
        accepted=value["accepted"],
        policy=Mark(int(mark["version"]), str(mark["sha256"]), bool(mark["strong"])) if mark else None,
    )
