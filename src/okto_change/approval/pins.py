"""The pin file: which repository is trusted, from where, and which version of its policy trust begins with.

``/etc/okto-change/trust.yaml`` (root's, for machines that hold credentials) or ``trust.yaml`` in the user's own
configuration. If the first is there, only it counts: no variable, option or file of the user leads around it. Where
neither is there, the remote of the clone is trusted on first use, as ssh trusts a host. Where one is there, what is not
in it is refused. Reading one is in `pinfile`, which most commands need not import.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from okto_change.approval.memory import Mark
from okto_change.approval.safegit import without_credentials
from okto_change.approval.source import Source
from okto_change.errors import NotAuthorised, WorkspaceError
from okto_change.model.base import record

SYSTEM = Path("/etc/okto-change/trust.yaml")
URL = re.compile(r"[^\s'\"#\\{}\[\]\x00-\x1f-][^\s'\"\\\x00-\x1f]*")
_HEAD = """\
# Which change repositories are trusted here, and what trust in each begins with. Written by `okto-change trust init`.
format: 1
repositories:
"""
_ENTRY = """\
  - repo: {repo}
    url: "{url}"
    protected_ref: {protected_ref}
    policy: {{version: {version}, sha256: {sha256}}}
"""


@record
class Pin:
    """A trusted repository: its id, where it is fetched from, its protected branch, a version of its policy."""

    repo: str
    url: str
    protected_ref: str
    version: int
    sha256: str

    @property
    def mark(self) -> Mark:
        """The version that trust begins with."""
        return Mark(self.version, self.sha256, True)


@record
class Pins:
    """What a pin file holds; ``file`` None: there is no pin file."""

    file: Path | None
    pins: tuple[Pin, ...] = ()

    @property
    def system(self) -> bool:
        """Whether it is the machine's, which users cannot change."""
        return self.file == SYSTEM


def user_file() -> Path:
    """Return the user's own pin file, whether or not it is there."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path.home() / ".config"
    return folder / "okto-change" / "trust.yaml"


def load() -> Pins:
    """Return the pins in force. Raises NotAuthorised for a file that somebody else may write, PlanError for its faults."""
    for file, owners in ((SYSTEM, {0}), (user_file(), {0, os.geteuid()})):
        if os.path.lexists(file):
            from okto_change.approval.pinfile import read

            _demand_owned(file, owners)
            return Pins(file, read(file.read_bytes(), str(file)))
    return Pins(None)


def choose(pins: Pins, origin: Source) -> Pin | None:
    """Return the pin of a clone's remote; None where nothing is pinned yet. Raises NotAuthorised for what is not pinned.

    The clone's URL only chooses among the pins: nothing is ever fetched from a place that none of them names. A user's
    own repository without a remote needs no pin; on a machine with root's pin file it is refused.
    """
    if pins.file is None or (origin.url is None and not pins.system):
        return None
    for pin in pins.pins:
        if pin.url == origin.url:
            return pin
    known = ", ".join(without_credentials(pin.url) for pin in pins.pins) or "none"
    option = " --system, as root" if pins.system else ""
    raise NotAuthorised(
        f"{origin.shown} is not among the repositories that are trusted here",
        where=pins.file,
        faults=(f"trusted: {known}",),
        hint=f"git remote set-url origin to one of them, or add it: okto-change trust init{option}",
    )


def text(pins: tuple[Pin, ...]) -> str:
    """Return the pin file with these pins in it."""
    return _HEAD + "".join(
        _ENTRY.format(
            repo=pin.repo,
            url=pin.url,
            protected_ref=pin.protected_ref,
            version=pin.version,
            sha256=pin.sha256.removeprefix("sha256:"),
        )
        for pin in pins
    )


def save(file: Path, pin: Pin) -> None:
    """Write a pin into ``file``, in the place of an older one of its repository or URL. Raises WorkspaceError."""
    if not URL.fullmatch(pin.url):
        raise WorkspaceError(f"{pin.url} cannot be pinned: its URL has characters that have no place in one")
    if without_credentials(pin.url) != pin.url and re.match(r"https?://", pin.url):
        raise WorkspaceError(
            f"{without_credentials(pin.url)} has a user or password in its URL, which has no place in a pin file",
            hint="use a credential helper, and a URL without them",
        )
    from okto_change.approval.pinfile import read

    held = read(file.read_bytes(), str(file)) if file.exists() else ()
    kept = tuple(one for one in held if pin.url != one.url and pin.repo != one.repo)
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        fresh.write_text(text((*kept, pin)), encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(file)
    except OSError as error:
        raise WorkspaceError(
            f"{file} cannot be written: {error.strerror}", hint="the machine's own pin file is written by root"
        ) from error


def _demand_owned(file: Path, owners: set[int]) -> None:
    """Raise NotAuthorised unless file and folder belong to one of ``owners`` and nobody else may write them."""
    for place, kind in ((file, stat.S_ISREG), (file.parent, stat.S_ISDIR)):
        found = place.lstat()
        if not kind(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o022:
            whom = "root" if owners == {0} else "you"
            raise NotAuthorised(
                "the pin file says whom to trust, and somebody else may change it",
                where=place,
                hint=f"see who did; it must be a plain file of {whom}: chown, and chmod go-w {place}",
            )
