"""Files under one root, read and replaced so that nobody is overtaken and nothing outside the root is ever touched.

Folders are walked by descriptor, a component at a time and never through a symbolic link, so a path that is exchanged
meanwhile leads nowhere else. A replacement is a new file, on disk before it takes the name of the old one in one step:
whoever reads sees all of the old content or all of the new. Between the last comparison and that step there are
microseconds in which an editor that takes no lock could still write; a second okto-change waits for the lock.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from okto_change.config import descriptors as fd
from okto_change.config import validate as validating
from okto_change.digest import sha256


class FileStore:
    """The config files of a target. ``root`` is resolved once, here; raises EditError if it is no folder."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        with fd.translated(str(root)):
            self.root = Path(root).resolve(strict=True)
            os.close(os.open(self.root, fd.FOLDER))

    def read(self, file: str) -> tuple[bytes, str]:
        """Return the content of ``file`` (relative to the root) and its ``sha256:...``. Raises EditError."""
        parts = fd.components(file)
        with fd.translated(file), self._folder(parts) as folder, fd.opened(folder, parts[-1], fd.READ) as handle:
            content = fd.contents(handle, file)
        return content, sha256(content)

    def replace(self, file: str, expected: str, content: bytes, *, validate: str | None = None) -> str:
        """Make ``content`` the content of ``file`` if its digest still is ``expected``; return the new ``sha256:...``.

        Owner, mode, ACL and user attributes are kept. ``validate`` is a command line with ``{file}``, run on the new
        file before it takes the old one's place. Raises EditError with the old content in place; Stuck when the new
        content is in place but may not be on disk.
        """
        parts = fd.components(file)
        with fd.translated(file), self._folder(parts) as folder, fd.locked(folder, file):
            fd.sweep(folder, parts[-1])
            with fd.opened(folder, parts[-1], fd.READ) as handle:
                fd.demand(fd.contents(handle, file), expected, file)
                with self._temporary(folder, parts[-1]) as (name, temporary):
                    fd.fill(temporary, content)
                    fd.keep_owner(handle, temporary)
                    if validate is not None:
                        validating.run(validate, str(self.root.joinpath(*parts[:-1], name)), file, cwd=self.root)
                        fd.demand_untouched(temporary, content, file)
                    self._demand_same(folder, parts, handle, expected, file)
                    os.rename(name, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            fd.settle(folder, file)
        return sha256(content)

    def check(self, file: str, content: bytes, command: str) -> None:
        """Run a ``validate`` command on ``content`` in a private folder, the root untouched. Raises EditError."""
        parts = fd.components(file)
        with tempfile.TemporaryDirectory(prefix="okto-change-") as folder, fd.translated(file):
            path = Path(folder, parts[-1])
            path.write_bytes(content)
            validating.run(command, str(path), file, cwd=self.root)

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _folder(self, parts: tuple[str, ...]) -> Iterator[int]:
        """Open the folder that holds the file, from the root down."""
        folder = os.open(self.root, fd.FOLDER)
        try:
            for part in parts[:-1]:
                inner = os.open(part, fd.FOLDER, dir_fd=folder)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    @contextmanager
    def _temporary(self, folder: int, name: str) -> Iterator[tuple[str, int]]:
        """Create an empty file beside ``name``, which only we may read; it is gone afterwards unless it was renamed."""
        name = f"{fd.prefix(name)}{secrets.token_hex(8)}{Path(name).suffix[:32]}"
        handle = os.open(name, fd.CREATE, 0o600, dir_fd=folder)
        try:
            yield name, handle
        finally:
            mine = os.fstat(handle)
            os.close(handle)
            with suppress(FileNotFoundError):
                there = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                    os.unlink(name, dir_fd=folder)

    def _demand_same(self, folder: int, parts: tuple[str, ...], handle: int, expected: str, file: str) -> None:
        """Look again, just before the replacement: same folder, same file, same content."""
        with self._folder(parts) as again, fd.opened(again, parts[-1], fd.READ) as now:
            if not os.path.sameopenfile(folder, again) or not os.path.sameopenfile(handle, now):
                raise fd.overtaken(file)
            fd.demand(fd.contents(now, file), expected, file)
