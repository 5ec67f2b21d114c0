"""Where a clone comes from, read as data: its folder, the URL of its remote. Its configuration is not obeyed."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from okto_change.approval.safegit import SafeGit, failure, without_credentials
from okto_change.errors import WorkspaceError
from okto_change.model.base import record

_URL = re.compile(r"(https|ssh|file)://[^\s\x00-\x1f]+", re.ASCII)
_SCP = re.compile(r"([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*:[^:\s\x00-\x1f][^\s\x00-\x1f]*", re.ASCII)


@record
class Clone:
    """A user's clone: ``root`` of its work tree, and the git directory ``common`` that holds its configuration."""

    root: Path
    common: Path


@record
class Source:
    """A user's clone: ``root`` of its work tree, ``url`` of its remote ``origin`` (None: it has none)."""

    root: Path
    url: str | None

    @property
    def place(self) -> str:
        """What git fetches from and pushes to."""
        return self.url or str(self.root)

    @property
    def shown(self) -> str:
        """The place as it may be printed."""
        return without_credentials(self.place)

    @property
    def key(self) -> str:
        """A short name that is the same for every clone of one remote."""
        return hashlib.sha256(self.place.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def locate(path: Path) -> Clone:
    """Return the clone that ``path`` lies in. Raises WorkspaceError outside of one, and for one that git refuses to read."""
    asked = ("--path-format=absolute", "--show-toplevel", "--git-common-dir")
    ran = SafeGit(None, network=True).attempt("-C", str(path.absolute()), "rev-parse", *asked)
    if ran.code != 0 or len(ran.lines()) != 2:
        hint = "go to a clone of your change repository, or begin one: okto-change init"
        raise failure(f"{path} is not in a git work tree", ran.err, hint=hint)
    return Clone(*map(Path, ran.lines()))


def find(root: Path, clone: Clone | None = None) -> Source:
    """Return where the clone at ``root`` comes from; ``clone`` is what ``locate`` said of it.

    Raises WorkspaceError if it is none, or its URL cannot be used.
    """
    found = clone or locate(root)
    asked = ("config", "--file", str(found.common / "config"), "--no-includes", "--get-all", "remote.origin.url")
    urls = SafeGit(None, network=True).attempt(*asked).lines()
    return Source(found.root, _usable(urls[0], found.root) if urls else None)


def named(place: str) -> Source:
    """Return what ``place`` names: a clone's folder (then the remote of it), a bare repository's folder, or a URL."""
    folder = Path(place).absolute()
    if folder.is_dir() and not (folder / "HEAD").is_file():
        return find(folder)
    return Source(Path("/"), _usable(place, Path.cwd()))


def _usable(url: str, top: Path) -> str:
    if _URL.fullmatch(url):
        return url
    path = top / url
    if not url.startswith("-") and "://" not in url and "::" not in url:
        if url.startswith(("/", "./", "../")) or path.is_dir():
            return str(path.resolve())
        if _SCP.fullmatch(url):
            return url
    raise WorkspaceError(
        f"the remote origin has a URL that is not used here: {without_credentials(url)[:100]}",
        where=top,
        hint="okto-change fetches over https, ssh or from a folder",
    )


def state_folder() -> Path:
    """Return the folder for what okto-change keeps, made for its owner alone; raises WorkspaceError if it is not."""
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "okto-change"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise WorkspaceError(
            f"{folder} cannot be made: {error.strerror}", hint="set XDG_STATE_HOME to a folder that you can write to"
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise WorkspaceError(
            f"{folder} belongs to, or can be written by, somebody else", hint=f"run: chmod 700 {folder}, as its owner"
        )
    return folder
