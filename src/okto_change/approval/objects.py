"""Objects of our mirror, read through one git process and hashed again: what is read is what its name says.

A commit leads to its tree, a tree to its files, each by the hash of its content, so not even somebody who writes into the
mirror can put other bytes in their place. One ``git cat-file --batch-command`` answers for the whole command.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import weakref
from collections.abc import Iterator, Sequence

from okto_change.errors import WorkspaceError
from okto_change.model.base import record

LARGEST_TREE = 16 * 1024 * 1024
"""bytes of a commit or tree"""
_AT_ONCE = 256
"""questions before answers are read; both sides' pipes hold more"""


class BadObject(WorkspaceError):
    """An object is missing, of another kind, too large, or does not hash to its name."""


@record
class Entry:
    """A line of a tree: ``name`` in bytes, ``mode`` as git writes it (``40000`` is a folder)."""

    name: bytes
    mode: str
    oid: str

    @property
    def folder(self) -> bool:
        """Whether it is a tree."""
        return self.mode == "40000"


class Objects:
    """Answers for one repository until it is closed, or forgotten: the process ends with it."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], patience: int) -> None:
        self._process = subprocess.Popen(
            [*command, "cat-file", "--batch-command"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            start_new_session=True,
        )
        self._patience = patience
        self._held = b""
        self._stop = weakref.finalize(self, _stop, self._process)

    def close(self) -> None:
        """End the process."""
        self._stop()

    def sizes(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the size in bytes of each blob. Raises BadObject for what is missing or no blob."""
        found: dict[str, int] = {}
        for some in _parts(ids):
            self._ask("info", some)
            found |= {oid: self._head(oid, "blob") for oid in some}
        return found

    def contents(self, ids: Sequence[str], kind: str) -> Iterator[bytes]:
        """Yield the content of each object of a ``kind``, hashed again. Raises BadObject."""
        for oid in ids:
            self._ask("contents", [oid])
            size = self._head(oid, kind)
            if kind != "blob" and size > LARGEST_TREE:
                raise BadObject(f"{kind} {oid[:12]} has {size} bytes, more than is read")
            content = self._take(size)
            self._take(1)
            if name(kind, content, len(oid)) != oid:
                raise BadObject(f"object {oid[:12]} does not hash to its name", hint="the copy is damaged or forged")
            yield content

    def tree_of(self, commit: str) -> str:
        """Return the id of a commit's tree."""
        (content,) = self.contents([commit], "commit")
        word, _, oid = content.partition(b"\n")[0].partition(b" ")
        if word != b"tree":
            raise BadObject(f"commit {commit[:12]} names no tree")
        return oid.decode("ascii")

    def tree(self, oid: str) -> list[Entry]:
        """Return the lines of a tree."""
        (content,) = self.contents([oid], "tree")
        return list(_entries(content, len(oid) // 2))

    def _ask(self, what: str, ids: Sequence[str]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("".join(f"{what} {oid}\n" for oid in ids).encode("ascii"))
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def _head(self, oid: str, kind: str) -> int:
        words = self._line().split(b" ")
        if len(words) != 3 or words[0] != oid.encode("ascii") or words[1] != kind.encode("ascii"):
            thing = "file" if kind == "blob" else kind
            raise BadObject(f"object {oid[:12]} is not there, or is no {thing}")
        return int(words[2])

    def _line(self) -> bytes:
        while b"\n" not in self._held:
            self._held += self._more()
        line, _, self._held = self._held.partition(b"\n")
        return line

    def _take(self, size: int) -> bytes:
        parts, missing = [self._held], size - len(self._held)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        whole = b"".join(parts)
        self._held = whole[size:]
        return whole[:size]

    def _more(self) -> bytes:
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        if not select.select([file], [], [], self._patience)[0]:
            raise BadObject(f"git gave no answer for {self._patience} s")
        found = os.read(file, 1 << 20)
        if not found:
            raise self._ended()
        return found

    def _ended(self) -> BadObject:
        return BadObject("git could not read our copy of the repository", hint="git 2.36 or newer is needed")


def name(kind: str, content: bytes, digits: int) -> str:
    """Return git's id of an object; SHA-1 is only git's name for it, no authority rests on it."""
    head = b"%s %d\0" % (kind.encode("ascii"), len(content))
    if digits == 64:
        return hashlib.sha256(head + content).hexdigest()
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def _entries(content: bytes, width: int) -> Iterator[Entry]:
    at = 0
    while at < len(content):
        blank, end = content.find(b" ", at), content.find(b"\0", at)
        if not at < blank < end <= len(content) - 1 - width:
            raise BadObject("a tree cannot be read")
        after = end + 1 + width
        yield Entry(content[blank + 1 : end], content[at:blank].decode("ascii"), content[end + 1 : after].hex())
        at = after


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[at : at + _AT_ONCE] for at in range(0, len(ids), _AT_ONCE))


def _stop(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                continue
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
