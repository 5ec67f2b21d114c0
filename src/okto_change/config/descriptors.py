"""Open files and folders of a config target by descriptor: what may be read, the lock, the new file."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from okto_change.digest import sha256
from okto_change.errors import EditError, Stuck

LARGEST = 8 * 1024 * 1024
"""bytes of a file that is edited"""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
LOCK_WAIT = 10.0
"""seconds to wait for another okto-change that replaces a file in the same folder"""
COPIED = ("user.", "system.posix_acl_access")
"""extended attributes that a replacement keeps; security labels follow the system's own policy"""
REASONS = {
    errno.ENOENT: "it is not there",
    errno.ELOOP: "it is a symbolic link, or a folder on its path is one",
    errno.ENOTDIR: "a part of its path is no folder, or a symbolic link",
    errno.EISDIR: "it is a folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "only root or the file's owner may do that",
    errno.ENOSPC: "no space is left",
    errno.EROFS: "the file system is read-only",
    errno.EBADF: "its folder cannot be locked, as on some network file systems",
    errno.ENOLCK: "its folder cannot be locked",
    errno.ENAMETOOLONG: "its name is too long",
}


def components(file: str) -> tuple[str, ...]:
    """Return the components of a relative path; raise EditError for one that could lead out of the root."""
    parts = tuple(file.split("/"))
    if file.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise EditError("the file must be named relative to the target's root, without '.', '..' or '//'", where=file)
    if not file.isprintable() or any("\ud800" <= character <= "\udfff" for character in file):
        raise EditError("the file's name has characters that cannot be shown", where=repr(file))
    return parts


@contextmanager
def translated(file: str) -> Iterator[None]:
    """Say what the system refused, in words."""
    try:
        yield
    except OSError as error:
        reason = REASONS.get(error.errno or 0, error.strerror or type(error).__name__)
        raise EditError(f"the file cannot be used: {reason}", where=file) from error


@contextmanager
def opened(folder: int, name: str, flags: int) -> Iterator[int]:
    """Open ``name`` in a folder given by its descriptor; closed at the end."""
    handle = os.open(name, flags, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


def contents(handle: int, file: str) -> bytes:
    """Return the content of an open regular file with one name and a size that is edited."""
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode):
        raise EditError("it is no regular file", where=file)
    if facts.st_nlink > 1:
        raise EditError(
            f"it has {facts.st_nlink} names (hard links), and replacing it would part them",
            where=file,
            hint="copy it, so that it has one name",
        )
    os.lseek(handle, 0, os.SEEK_SET)
    content = bytearray()
    while chunk := os.read(handle, min(1 << 20, LARGEST + 1 - len(content))):
        content += chunk
    if len(content) > LARGEST:
        raise EditError(f"it has more than {LARGEST:,} bytes, the most that is edited", where=file)
    return bytes(content)


def demand(content: bytes, expected: str, file: str) -> None:
    """Raise EditError unless ``content`` has the digest ``expected``."""
    if sha256(content) != expected:
        raise overtaken(file)


def overtaken(file: str) -> EditError:
    """Return the error for a file that is no longer what an edit was made from."""
    return EditError(
        "somebody changed the file meanwhile: it is not the content that this edit was made from",
        where=file,
        hint="run the command again; it works on the file as it is then",
    )


@contextmanager
def locked(folder: int, file: str) -> Iterator[None]:
    """Hold the folder against a second okto-change. The lock is on the folder itself and vanishes with the process."""
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise EditError(
                    "another okto-change is replacing a file in this folder",
                    where=file,
                    hint="run the command again when it has ended",
                ) from error
            time.sleep(0.05)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def prefix(name: str) -> str:
    """Return how the names of temporary files for ``name`` begin."""
    return f".okto-change-{hashlib.sha256(name.encode()).hexdigest()[:12]}-"


def sweep(folder: int, name: str) -> None:
    """Remove what a killed okto-change left beside this file; nobody else can be using it, as we hold the lock."""
    for left in os.listdir(folder):
        if left.startswith(prefix(name)):
            os.unlink(left, dir_fd=folder)


def fill(handle: int, content: bytes) -> None:
    """Write ``content`` and have it on disk."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]
    os.fsync(handle)


def keep_owner(old: int, new: int) -> None:
    """Give the new file owner, attributes and mode of the old one; mode last, since chown clears bits of it."""
    wanted, given = os.fstat(old), os.fstat(new)
    if (wanted.st_uid, wanted.st_gid) != (given.st_uid, given.st_gid):
        os.fchown(new, wanted.st_uid, wanted.st_gid)
    for name in _attributes(old):
        if name.startswith(COPIED):
            os.setxattr(new, name, os.getxattr(old, name))
    os.fchmod(new, stat.S_IMODE(wanted.st_mode))
    os.fsync(new)


def _attributes(handle: int) -> list[str]:
    try:
        return os.listxattr(handle)
    except (OSError, AttributeError):
        return []


def demand_untouched(handle: int, content: bytes, file: str) -> None:
    """Raise EditError if the validate command wrote to the file that it was to judge."""
    if contents(handle, file) != content:
        raise EditError("validate changed the file that it was given", where=file, hint="use a command that reads")


def settle(folder: int, file: str) -> None:
    """Have the folder, with the new name in it, on disk; raise Stuck if that fails."""
    try:
        os.fsync(folder)
    except OSError as error:
        raise Stuck(
            f"the folder could not be written to disk: {error.strerror}",
            where=file,
            state="the file has its new content, which a power failure could still take away",
            hint="look at the disk, then compare the file with the plan",
        ) from error
