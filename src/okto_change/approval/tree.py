"""Trees of our mirror -> files: strict about modes, names and sizes; and everything that ever stood under a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from operator import itemgetter

from okto_change.approval.decisionfile import LARGEST, DecisionFile
from okto_change.approval.objects import Entry
from okto_change.approval.safegit import Ran, Running, SafeGit, failure
from okto_change.errors import NotAuthorised, PlanError
from okto_change.model.base import record

MOST_BYTES = 1024 * 1024
"""a file"""
MOST_TOTAL = 8 * 1024 * 1024
"""all files of a folder"""
MOST_FILES = 2_000
MOST_ENTRIES = 10_000
"""files and folders that are looked at below any folder"""
MOST_HISTORY = 64 * 1024 * 1024
"""bytes of what git says of a folder's history"""
MOST_DECISIONS = 500
"""decision files of one change in one environment, deleted ones included"""
PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_PLAIN = "100644"
_KINDS = {"120000": "a symbolic link", "160000": "a submodule", "100755": "an executable file"}


@record
class Blob:
    """An entry of a tree. ``size`` is in bytes, -1 for what has none."""

    path: str
    mode: str
    oid: str
    size: int


def files(git: SafeGit, commit: str, prefix: str) -> dict[str, bytes]:
    """Return the files under the folder ``prefix`` of ``commit`` by full path; raises PlanError with every fault."""
    found = entries(git, commit, prefix)
    faults = [fault for blob in found if (fault := _fault(blob, prefix))] + _twins(found)
    if len(found) > MOST_FILES or sum(blob.size for blob in found) > MOST_TOTAL:
        faults.append(f"{prefix}: more than {MOST_FILES} files or {MOST_TOTAL // 2**20} MiB")
    if faults:
        raise PlanError(f"{prefix.rstrip('/')} holds what a change may not hold", faults=tuple(faults[:20]))
    content = git.blobs((blob.oid for blob in found), MOST_BYTES)
    return {blob.path: content[blob.oid] or b"" for blob in found}


def entries(git: SafeGit, commit: str, prefix: str) -> list[Blob]:
    """Return everything under the folder ``prefix`` of ``commit``, subfolders included, sorted by path.

    Raises NotAuthorised for more entries than are ever looked at.
    """
    top = _find(git, commit, prefix)
    found = [] if top is None else list(_walk(git, top, prefix.rstrip("/").encode() + b"/"))
    sizes = git.objects.sizes([entry.oid for _, entry in found if entry.mode != "160000"])
    blobs = ((path, Blob(_name(path), entry.mode, entry.oid, sizes.get(entry.oid, -1))) for path, entry in found)
    return [blob for _, blob in sorted(blobs, key=itemgetter(0))]


def names(git: SafeGit, commit: str, prefix: str) -> tuple[str, ...]:
    """Return the names of the folders right under ``prefix`` of ``commit``."""
    top = _find(git, commit, prefix)
    return () if top is None else tuple(_name(entry.name) for entry in git.objects.tree(top) if entry.folder)


def _find(git: SafeGit, commit: str, prefix: str) -> str | None:
    """Return the id of the tree at ``prefix``; None where there is none."""
    oid = git.objects.tree_of(commit)
    for part in filter(None, prefix.encode().split(b"/")):
        inner = [entry.oid for entry in git.objects.tree(oid) if entry.name == part and entry.folder]
        if not inner:
            return None
        oid = inner[0]
    return oid


def _walk(git: SafeGit, top: str, prefix: bytes) -> Iterator[tuple[bytes, Entry]]:
    waiting, seen = [(prefix, top)], 0
    while waiting:
        path, oid = waiting.pop()
        for entry in git.objects.tree(oid):
            seen += 1
            if seen > MOST_ENTRIES:
                raise NotAuthorised(
                    f"{_name(prefix)} holds more than {MOST_ENTRIES} files and folders",
                    hint="see who floods the branch",
                )
            if entry.folder:
                waiting.append((path + entry.name + b"/", entry.oid))
            else:
                yield path + entry.name, entry


def decision_files(git: SafeGit, places: Sequence[tuple[str, str]]) -> list[DecisionFile]:
    """Return the decision files of several (commit, folder): those of its tree, then those of its history only.

    Raises NotAuthorised when there are more than can be judged.
    """
    with ExitStack() as running:
        asked = [(folder, _ask_history(git, commit, folder)) for commit, folder in places]
        for _, one in asked:
            running.callback(one.stop)
        standing = [blob for commit, folder in places for blob in entries(git, commit, folder)]
        once = [blob for folder, one in asked for blob in _history(one.end(), folder)]
    # What now stands as a symlink or executable counts as gone, or a rejection could be hidden by changing its mode.
    known = {blob.oid for blob in standing if blob.mode == _PLAIN}
    past = {blob.oid: blob for blob in once if blob.oid not in known}
    if len(standing) + len(past) > MOST_DECISIONS:
        raise NotAuthorised(
            f"there are more than {MOST_DECISIONS} decision files in {places[0][1]}", hint="see who floods the branch"
        )
    readable = [blob for blob in (*standing, *past.values()) if blob.mode == _PLAIN]
    content = git.blobs((blob.oid for blob in readable), LARGEST)
    found = [_decision(blob, content, at_tip=True) for blob in standing]
    return found + [_decision(blob, content, at_tip=False) for blob in past.values()]


def history(git: SafeGit, commit: str, path: str) -> Iterator[Blob]:
    """Return every plain file that ever stood under ``path``, on any side of any commit, merges included."""
    yield from _history(_ask_history(git, commit, path).end(), path)


def _ask_history(git: SafeGit, commit: str, path: str) -> Running:
    return git.begin(
        "log", "--full-history", "-m", "--no-renames", "--raw", "--no-abbrev", "-z", "--format=", commit, "--", path
    )


def _history(ran: Ran, path: str) -> Iterator[Blob]:
    if ran.code != 0:
        raise failure("git log failed", ran.err)
    listing = ran.out
    if len(listing) > MOST_HISTORY:
        raise NotAuthorised(f"the history of {path} is too long to be judged", hint="see who floods the branch")
    words = iter(listing.split(b"\0"))
    for word in words:
        head = word.strip().decode("ascii", "replace")
        if not head.startswith(":"):
            continue
        old_mode, new_mode, old, new, _ = head[1:].split(" ")
        name = _name(next(words))
        yield from (Blob(name, mode, oid, -1) for mode, oid in ((old_mode, old), (new_mode, new)) if mode == _PLAIN)


def versions(git: SafeGit, commit: str, path: str) -> Iterable[bytes]:
    """Return every content that the file ``path`` had in the history of ``commit``, newest first."""
    content = git.blobs((blob.oid for blob in history(git, commit, path) if blob.path == path), MOST_BYTES)
    return [found for found in content.values() if found is not None]


def _name(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _fault(blob: Blob, prefix: str) -> str | None:
    inner = blob.path.removeprefix(prefix.rstrip("/") + "/")
    if blob.mode != _PLAIN:
        return f"{blob.path}: {_KINDS.get(blob.mode, 'not a plain file')}; only plain files are read"
    if not PATH.fullmatch(inner) or len(blob.path) > 200:
        return f"{blob.path!a}: use letters, digits, dots, hyphens and underscores, at most 200 characters"
    if blob.size > MOST_BYTES:
        return f"{blob.path}: {blob.size} bytes; at most {MOST_BYTES // 2**20} MiB a file"
    return None


def _twins(found: Sequence[Blob]) -> list[str]:
    first: dict[str, str] = {}
    for blob in found:
        first.setdefault(blob.path.casefold(), blob.path)
    twins = [(blob.path, first[blob.path.casefold()]) for blob in found if first[blob.path.casefold()] != blob.path]
    return [f"{path}: differs from {other} only in case" for path, other in twins]


def _decision(blob: Blob, content: dict[str, bytes | None], *, at_tip: bool) -> DecisionFile:
    found = content.get(blob.oid)
    problem = None
    if blob.mode != _PLAIN:
        problem = f"it is {_KINDS.get(blob.mode, 'no plain file')}"
    elif found is None:
        problem = f"it is larger than {LARGEST} bytes"
    return DecisionFile(file=blob.path, content=found, at_tip=at_tip, problem=problem)
