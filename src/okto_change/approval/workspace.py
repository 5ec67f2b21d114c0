"""The user's own clone: where it is, what is committed and what is not. The only GitPython.

Nothing that it says is trusted, and nothing that anybody signs depends on it.
Configuration is read as data. Nothing from outside reaches git as an option: paths follow ``--``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from okto_change.approval import source
from okto_change.approval.safegit import SafeGit, failure
from okto_change.errors import WorkspaceError

if TYPE_CHECKING:
    from git import Repo

_QUIET = ("core.fsmonitor=false", "core.quotePath=false")
_LOOKING = ("-c", "core.hooksPath=/dev/null", "--no-optional-locks", "status")
"""what only looks runs no hook (post-index-change) and writes no index: approvers look at clones that others had in hand"""
_OWN = (
    "GIT_AUTHOR_",
    "GIT_COMMITTER_",
    "GIT_CONFIG_GLOBAL",
    "GIT_SSH",
    "GIT_EDITOR",
    "GIT_TERMINAL_PROMPT",
    "GIT_TRACE",
)
"""what a person may set for git in their own clone; any other ``GIT_*`` would lead to another repository or other settings"""


class Workspace:
    """A work tree at ``root``. Raises WorkspaceError on first use where ``root`` is none, unless git ``found`` it just now."""

    def __init__(self, root: Path, *, found: bool = False) -> None:
        self.root = root
        self._found = found
        self._open: Repo | None = None
        self._made: tuple[Path, ...] = ()

    @staticmethod
    def discover(path: Path) -> Path:
        """Return the root of the work tree that ``path`` lies in. Raises WorkspaceError outside of one."""
        return source.locate(path).root

    @classmethod
    def begin(cls, path: Path) -> Workspace:
        """Return the work tree at ``path``, made with ``git init`` (branch ``main``) where there is none."""
        path = path.absolute()
        fresh = tuple(folder for folder in (path, *path.parents) if not folder.exists())
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            hint = "choose another folder"
            raise WorkspaceError(f"{path} cannot be made: {error.strerror}", hint=hint) from error
        git = SafeGit(None, network=True)
        ran = git.attempt("-C", str(path), "rev-parse", "--path-format=absolute", "--show-toplevel")
        if ran.code == 0 and ran.lines():
            return cls(Path(ran.lines()[0]))
        made = git.attempt("init", "--quiet", "--initial-branch=main", "--", str(path))
        if made.code != 0:
            raise failure(f"git cannot make a repository in {path}", made.err, hint="choose another folder")
        workspace = cls(path.resolve())
        workspace._made = (path / ".git", *fresh)
        return workspace

    def abandon(self) -> None:
        """Remove the repository and the folders that ``begin`` made, those with something in them excepted."""
        import shutil

        for place in self._made:
            if place.name == ".git":
                shutil.rmtree(place, ignore_errors=True)
            elif not any(place.iterdir()):
                place.rmdir()

    def is_dirty(self, prefix: str) -> bool:
        """Whether anything under ``prefix`` differs from HEAD: edited, staged, deleted or not added yet."""
        return bool(self.changed(prefix))

    def changed(self, prefix: str = ".") -> tuple[str, ...]:
        """Return the paths under ``prefix`` that differ from HEAD, ignored files excepted."""
        listing = self._git(*_LOOKING, "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", prefix)
        return tuple(line[3:] for line in listing.split("\0") if line)

    def signing_key(self) -> str | None:
        """Return ``user.signingkey``: a file or a public key line; None if there is none, or it is a GPG key's id."""
        value = self._setting("user.signingkey")
        if value is None or not (value.startswith(("key::", "ssh-", "sk-", "ecdsa-")) or "/" in value or "\\" in value):
            return None
        return value.removeprefix("key::")

    def user(self) -> tuple[str, str]:
        """Return ``user.name`` and ``user.email``, '' where there is none. They give no authority."""
        return self._setting("user.name") or "", self._setting("user.email") or ""

    def _setting(self, name: str) -> str | None:
        """Return a setting as git itself reads it, the machine's own configuration (``/etc/gitconfig``) excepted."""
        git = SafeGit(None, network=True)
        ran = git.attempt("-C", str(self._look()), "config", "--get", name)
        return (ran.lines() or [""])[0] or None

    def _look(self) -> Path:
        """Return the root, which git itself was asked about once: it knows whose repositories are safe to open."""
        if not self._found:
            self.discover(self.root)
            self._found = True
        return self.root

    def _git(self, *arguments: str) -> str:
        """Run git in the clone as the user would, hooks included unless told otherwise."""
        from git.exc import GitCommandError

        settings = [word for setting in _QUIET for word in ("-c", setting)]
        try:
            with _scrubbed():
                runner = self._repository().git
                return str(runner.execute(["git", *settings, *arguments], strip_newline_in_stdout=False))
        except GitCommandError as error:
            said = str(error.stderr).strip().removeprefix("stderr: ").strip("'")
            raise failure(f"git {_command(arguments)} failed", said, where=self.root) from error

    def _repository(self) -> Repo:
        """Open the clone, asking git itself first: it knows whose repositories are safe to open."""
        if self._open is None:
            from git import Repo
            from git.exc import GitError

            self._look()
            try:
                self._open = Repo(self.root)
            except GitError as error:
                raise WorkspaceError("the clone cannot be opened", where=self.root) from error
        return self._open


def _command(arguments: Sequence[str]) -> str:
    """Return the command among git's arguments."""
    return "status" if arguments[0] == "-c" else arguments[0]


@contextmanager
def _scrubbed() -> Iterator[None]:
    """Keep GitPython, which reads and passes on the whole environment, from what was set for another repository.

    ``git rebase --exec`` and hooks set GIT_DIR and GIT_INDEX_FILE; ``/etc/gitconfig`` is read by nobody here.
    """
    foreign = {
        name: value for name, value in os.environ.items() if name.startswith("GIT_") and not name.startswith(_OWN)
    }
    for name in foreign:
        del os.environ[name]
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    try:
        yield
    finally:
        os.environ.pop("GIT_CONFIG_NOSYSTEM", None)
        os.environ.update(foreign)
