"""One way to run git for anything that is trusted: fixed arguments, a clean environment, a time limit, hashes checked.

Two profiles. *Offline* reads our own mirror and no configuration but the mirror's. *Network* fetches and pushes, and so
may use the person's own global configuration (credential helper, proxy, ``safe.directory``), but never asks, forwards
no agent and speaks only https, ssh and the file system. Neither reads the configuration or runs the hooks of the clone
at hand.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from okto_change.approval.objects import Objects
from okto_change.errors import WorkspaceError
from okto_change.model.base import record

PATIENCE = 60
"""seconds for a command on our own mirror"""
NETWORK_PATIENCE = 180
"""seconds for a fetch or a push"""
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=true",
    "log.showRoot=true",
    "gc.autoDetach=false",
    "maintenance.auto=false",
    "gc.pruneExpire=never",
    "credential.interactive=false",
)
_FIXED = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PROTOCOL_FROM_USER": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
}
_OFFLINE = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_ALLOW_PROTOCOL": "none", "HOME": "/nonexistent"}
_NETWORK = {
    "GIT_ALLOW_PROTOCOL": "https:ssh:file",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oForwardAgent=no -oConnectTimeout=15",
}
_PADDING = ("hint:", "warning:", "Please make sure", "and the repository exists")
_KEPT = ("PATH", "TMPDIR")
_KEPT_ONLINE = (
    "HOME",
    "USER",
    "LOGNAME",
    "SUDO_UID",
    "XDG_CONFIG_HOME",
    "GIT_CONFIG_GLOBAL",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "https_proxy",
    "HTTPS_PROXY",
    "no_proxy",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
)


@record
class Ran:
    """A git command that ended: exit code, and what it printed."""

    code: int
    out: bytes
    err: str

    def lines(self) -> list[str]:
        """Return the lines of its output."""
        return self.out.decode("utf-8", "replace").splitlines()


class GitFailed(WorkspaceError):
    """A git command failed; ``said`` is what it printed to standard error."""

    def __init__(self, message: str, *, said: str = "", hint: str | None = None, where: object | None = None) -> None:
        super().__init__(message, hint=hint, where=where)
        self.said = said


class SafeGit:
    """Runs git on one git directory (None: none, for commands that need no repository).

    ``patience`` is in seconds; None takes the usual for the profile.
    """

    def __init__(self, git_dir: Path | None, *, network: bool = False, patience: int | None = None) -> None:
        self.git_dir = git_dir
        self._network = network
        self._patience = patience or (NETWORK_PATIENCE if network else PATIENCE)

    def run(self, *arguments: str, feed: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
        """Return what the command printed; raises GitFailed unless it exits with 0."""
        ran = self.attempt(*arguments, feed=feed, extra=extra)
        if ran.code != 0:
            raise failure(f"git {arguments[0]} failed", ran.err)
        return ran.out

    def attempt(self, *arguments: str, feed: bytes = b"", extra: Mapping[str, str] | None = None) -> Ran:
        """Run a command to its end, whatever its exit code; raises GitFailed without git, or if it takes too long."""
        return self.begin(*arguments, extra=extra).end(feed)

    def begin(self, *arguments: str, extra: Mapping[str, str] | None = None) -> Running:
        """Start a command that goes on while we do something else; raises GitFailed without git."""
        return Running([*self._command(), *arguments], self._environment() | dict(extra or {}), self._patience)

    def close(self) -> None:
        """End the process that answers for objects; another is started when one is asked for again."""
        if "objects" in self.__dict__:
            self.__dict__.pop("objects").close()

    def _command(self) -> list[str]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        place = [] if self.git_dir is None else [f"--git-dir={self.git_dir}"]
        return ["git", *place, *settings]

    def _environment(self) -> dict[str, str]:
        kept = (*_KEPT, *(_KEPT_ONLINE if self._network else ()))
        inherited = {name: os.environ[name] for name in kept if name in os.environ}
        return inherited | _FIXED | (_NETWORK if self._network else _OFFLINE)

    def blobs(self, ids: Iterable[str], most: int) -> dict[str, bytes | None]:
        """Return the content of blobs by object id, hashed again; None for a blob larger than ``most`` bytes.

        Raises BadObject for an object that is missing, is no blob, or whose content does not hash to its id.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        sizes = self.objects.sizes(wanted)
        small = [oid for oid in wanted if sizes[oid] <= most]
        found = dict(zip(small, self.objects.contents(small, "blob"), strict=True))
        return {oid: found.get(oid) for oid in wanted}

    @cached_property
    def objects(self) -> Objects:
        """The process that answers for objects, started when first asked."""
        return Objects(self._command(), self._environment(), self._patience)


def failure(message: str, said: str, *, where: object | None = None, hint: str | None = None) -> GitFailed:
    """Return the error for a failed command, explained where git's words are known; secrets in URLs are cut out."""
    said = without_credentials(said.strip())
    owner = re.search(r"dubious ownership in repository at '([^'\n]+)'", said)
    if owner:
        return GitFailed(
            "the repository belongs to another user, and git refuses to read it",
            said=said,
            where=owner[1],
            hint=f"run as its owner, or trust it: git config --global --add safe.directory {owner[1]}",
        )
    if "No space left on device" in said:
        hint = (
            "make room on the disk of ~/.local/state/okto-change (or XDG_STATE_HOME), where the repository is mirrored"
        )
    words = [line for line in said.splitlines() if line.strip() and not line.startswith(_PADDING)]
    reason = f": {words[0].removeprefix('fatal: ').removeprefix('error: ')}" if words else ""
    return GitFailed(message + reason, said=said, where=where, hint=hint)


def without_credentials(text: str) -> str:
    """Return ``text`` with user names and passwords taken out of its URLs."""
    return re.sub(r"(\w+://)[^/@\s]*@", r"\1", text)


class Running:
    """A git command that was started; ``end`` it, or ``stop`` it."""

    def __init__(self, command: list[str], environment: dict[str, str], patience: int) -> None:
        self._patience = patience
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise GitFailed("git is not installed", hint="install git 2.36 or newer") from error

    def end(self, feed: bytes = b"") -> Ran:
        """Give it ``feed`` and wait for its end; raises GitFailed if it takes too long."""
        try:
            out, err = self._process.communicate(feed, timeout=self._patience)
        except BaseException as error:
            self.stop()
            if isinstance(error, subprocess.TimeoutExpired):
                message = f"git gave no answer for {self._patience} s"
                raise GitFailed(message, hint="check the network, then try again") from error
            raise
        self._shut()
        return Ran(self._process.returncode, out, err.decode("utf-8", "replace"))

    def stop(self) -> None:
        """Kill it, unless it has ended."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._shut()

    def _shut(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
