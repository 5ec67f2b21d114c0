"""A change repository as this command sees it: the working tree, the trusted policy, the files of a change."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Thread, active_count
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from okto_change.approval import opening, source
from okto_change.approval.mirror import SHORT_PATIENCE, Mirror
from okto_change.approval.safegit import GitFailed
from okto_change.approval.source import Clone
from okto_change.approval.workspace import Workspace
from okto_change.errors import NotAuthorised, OktoError, PlanError, UsageError, WorkspaceError

if TYPE_CHECKING:
    # What judges is imported when it is asked for: `verify` fetches meanwhile.
    from okto_change.approval.identity import Identity
    from okto_change.approval.memory import Mark
    from okto_change.approval.rulebook import Policy
    from okto_change.pipeline.apart import Apart

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

CHANGES = "changes"
COMPILES = frozenset({"running"})
"""modules of the journey whose functions compile a change or analyse it"""
POLICY = ".okto-change/policy/"
LARGEST_CHANGE = 8 * 1024 * 1024
"""bytes of all files of one change folder"""
SWITCH = 0.0005
"""seconds after which a thread that imports lets another go on: ours waits for git, and is to ask the next thing at once"""

Tell = Callable[[str], None]


def _keep_quiet(line: str) -> None:
    """Tell nobody."""


class Repository:
    """An open change repository. ``key`` names the signing key to prefer (a file), None to find it.

    ``tell`` is called with a line for the person at the keyboard: that what is known may be old. Close it at the end, or
    use it in a ``with`` statement: a git process answers for the mirror meanwhile.
    """

    def __init__(
        self,
        root: Path,
        *,
        key: str | None = None,
        environ: Mapping[str, str] | None = None,
        tell: Tell = _keep_quiet,
        clone: Clone | None = None,
        apart: Apart | None = None,
    ) -> None:
        self.root = root
        self._clone = clone
        self._apart = apart
        self.key = key
        self._tell = tell
        self._strict = False
        self.environ = os.environ if environ is None else environ

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def apart(self, work: Callable[[*Ts], T], *given: *Ts) -> T:
        """Return what a pure function returns, done by the process that was begun for it; here where there is none."""
        return work(*given) if self._apart is None else self._apart.call(work, *given)

    def prepare_apart(self, modules: Iterable[str]) -> None:
        """Have the process that was begun for pure work import modules that it will need next; nobody waits for it."""
        if self._apart is not None:
            self._apart.prepare(modules)

    def close(self) -> None:
        """End what runs for this repository; it may be used again all the same."""
        if self._apart is not None:
            self._apart.close()
        self._close_mirror()

    def _close_mirror(self) -> None:
        if "mirror" in self.__dict__:
            self.mirror.close()

    @cached_property
    def workspace(self) -> Workspace:
        """The user's clone, for its status, staging and configuration; never a source of trust."""
        return Workspace(self.root, found=self._clone is not None)

    @cached_property
    def mirror(self) -> Mirror:
        """The own bare copy that everything trusted is read from, fetched once per command.

        Where the remote cannot be reached, or shows a branch that went backwards, it stays as it was fetched last, and
        that is told. Raises WorkspaceError where nothing was ever fetched.
        """
        mirror = opening.open_mirror(self.root, fetch=False, clone=self._clone)
        known = mirror.tip(mirror.protected_ref) is not None
        try:
            mirror.refresh(patience=SHORT_PATIENCE if known else None)
        except (GitFailed, NotAuthorised) as error:
            if not known:
                raise
            self._tell(f"{error.message}; going by the policy and decisions fetched {_age(mirror)}")
        return mirror

    def demand_fetched(self, command: str) -> None:
        """Fetch, or raise: what ``command`` does rests on nobody having rejected or revoked anything meanwhile."""
        with self.fetching(command):
            pass

    @contextmanager
    def fetching(self, command: str, *, head: bool = False) -> Iterator[None]:
        """Fetch like ``demand_fetched`` while the block runs, which may not look at the repository yet.

        With ``head`` the clone is asked for its HEAD meanwhile.
        """
        self._strict = True
        if "mirror" in self.__dict__ and self.mirror.fetched:
            yield
            return
        self._close_mirror()
        for name in ("mirror", "protected_commit", "policy"):
            self.__dict__.pop(name, None)
        try:
            mirror = opening.open_mirror(self.root, fetch=False, clone=self._clone)
            try:
                with mirror.refreshing():
                    if head:
                        mirror.ask_head()
                    yield
            except BaseException:
                mirror.close()
                raise
            self.mirror = mirror
        except GitFailed as error:
            error.faults += (
                f"{command} needs the protected branch and the decisions as they are now: somebody may have rejected the "
                "change, or a key may have been revoked, since they were fetched last",
            )
            raise

    @cached_property
    def protected_commit(self) -> str:
        """The commit of the protected branch that this command is pinned to."""
        return self.mirror.commit(self.mirror.protected_ref)

    @cached_property
    def policy(self) -> Policy:
        """The policy of the protected branch: its highest version at the pinned commit.

        One that cannot be accepted stops what asks for a fresh word. Whatever else goes on by the one that was
        accepted last: nobody who may merge can hold somebody off a rollback.
        """
        from okto_change.approval import chain, trust

        def judge(files: Mapping[str, bytes], now: datetime, pin: Mark | None, seen: Mark | None) -> Policy:
            return self.apart(chain.current, files, now, pin, seen)

        try:
            return trust.read_policy(self.mirror, self.protected_commit, judge)
        except OktoError as error:
            accepted = self.mirror.memory.accepted
            if self._strict or accepted in ("", self.protected_commit):
                raise
            self._tell(f"{error.message}; going by the policy as it was accepted at {accepted[:12]}")
            return trust.read_policy(self.mirror, accepted, judge)

    def tell(self, line: str) -> None:
        """Tell the person at the keyboard."""
        self._tell(line)

    def ending(self) -> tuple[str, ...]:
        """Return a line for the policy and for each person whose last key ends soon."""
        from okto_change.approval.ending import ending

        return ending(self.policy, datetime.now(UTC))

    def tell_what_ends(self) -> tuple[str, ...]:
        """Tell what ends soon; return the lines."""
        found = self.ending()
        for line in found:
            self._tell(line)
        return found

    def signer(self, among: Policy | None = None) -> Identity:
        """Return who signs here: the person of the policy (or of ``among``) with a key at hand. Raises KeyUnusable."""
        from okto_change.approval import identity

        key = self.key or self.environ.get("OKTO_CHANGE_KEY") or None
        return identity.whoami(among or self.policy, key, configured=self.workspace.signing_key())

    def changes(self) -> tuple[str, ...]:
        """Return the ids of every change in the working tree, sorted."""
        folder = self.root / CHANGES
        return tuple(sorted(p.name for p in folder.iterdir() if (p / "plan.yaml").is_file())) if folder.is_dir() else ()

    def resolve(self, part: str) -> str:
        """Return the one change whose id is, or contains, ``part``: in the working tree, else on the protected branch.

        Raises UsageError naming the candidates.
        """
        found = _matching(part, self.changes()) or _matching(part, self._protected_changes())
        if len(found) == 1:
            return found[0]
        if found:
            hint = "say more of: " + ", ".join(found)
            raise UsageError(f"{part!r} may be any of {len(found)} changes", where=CHANGES, hint=hint)
        if (self.root / CHANGES / part).is_dir() and part:
            raise UsageError(
                f"{CHANGES}/{part} has no plan.yaml", where=CHANGES, hint="write one, or remove the folder"
            )
        known = ", ".join(self.changes()[-10:]) or "none yet; write one with `okto-change new TITLE`"
        raise UsageError(f"there is no change called {part!r}", where=CHANGES, hint=f"known: {known}")

    def _protected_changes(self) -> tuple[str, ...]:
        return self.mirror.folders(self.protected_commit, f"{CHANGES}/")

    def worktree_files(self, change: str) -> dict[str, bytes]:
        """Return the files of a change as they lie in the working tree, by path relative to the change's folder."""
        folder = self.root / CHANGES / change
        if not (folder / "plan.yaml").exists():
            raise WorkspaceError(
                f"{change} is on the protected branch, but not in this working tree",
                where=folder,
                hint="git pull, or switch to a branch that has it",
            )
        paths = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
        total = 0
        for path in paths:
            if path.is_symlink() or not path.is_file():
                kind = "a symbolic link" if path.is_symlink() else "no plain file"
                raise PlanError(
                    f"only plain files belong into a change, this is {kind}",
                    where=path.relative_to(self.root),
                    hint="put a copy of the file itself there, or remove it",
                )
            total += path.stat().st_size
            if total > LARGEST_CHANGE:
                raise PlanError(
                    f"the change is larger than {LARGEST_CHANGE // 2**20} MiB",
                    where=path.relative_to(self.root),
                    hint="put bulk data into a table of the target and let the change read it from there",
                )
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def committed_files(self, commit: str, change: str) -> dict[str, bytes]:
        """Return the files of a change at ``commit``, by path relative to the change's folder; {} if it is not there."""
        prefix = f"{CHANGES}/{change}/"
        return {name.removeprefix(prefix): content for name, content in self.mirror.files(commit, prefix).items()}

    def write(self, path: str, content: bytes) -> None:
        """Write a file of the working tree, making its folders; ``path`` is relative to the root. Raises WorkspaceError."""
        place = self.root / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        except OSError as error:
            raise unwritable(path, error) from error

    def remove(self, path: str) -> None:
        """Remove a file of the working tree, if it is there. Raises WorkspaceError."""
        try:
            (self.root / path).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(path, error) from error

    def demand_clean(self, change: str) -> None:
        """Raise WorkspaceError if files of the change differ from HEAD: only what is committed can be decided on."""
        edited = self.workspace.changed(f"{CHANGES}/{change}")
        if edited:
            raise WorkspaceError(
                f"the change has uncommitted edits: {', '.join(edited)}",
                where=f"{CHANGES}/{change}",
                hint=f"git add {CHANGES}/{change} && git commit, then run the command again",
            )


def unwritable(path: str, error: OSError) -> WorkspaceError:
    """Return the error for a file of the working tree that the system does not let us write."""
    return WorkspaceError(
        f"{path} cannot be written: {error.strerror or type(error).__name__}",
        state="no target was changed",
        hint="look at that path: its permissions, free space, and whether a file stands where a folder belongs",
    )


def _matching(part: str, known: tuple[str, ...]) -> tuple[str, ...]:
    return (part,) if part in known else tuple(change for change in known if part in change)


def _age(mirror: Mirror) -> str:
    """Return how old the mirror is: ``3 hours ago (2026-11-22 14:02Z)``."""
    at = mirror.memory.fetched_at
    if at is None:
        return "at an unknown time"
    minutes = max(0, int((datetime.now(UTC) - at).total_seconds() // 60))
    for size, unit in ((1440, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            number = minutes // size
            return f"{number} {unit}{'s' if number > 1 else ''} ago ({at:%Y-%m-%d %H:%MZ})"
    return f"just now ({at:%Y-%m-%d %H:%MZ})"


def _begin_apart() -> Apart | None:
    """Begin a process that compiles and analyses while this one does something else; None where a fork is not safe."""
    if sys.platform != "linux" or active_count() > 1:
        return None
    from okto_change.pipeline.apart import Apart

    return Apart()


def _import(module: str) -> None:
    """Import a module; what goes wrong there is told by whoever needs it."""
    with suppress(Exception):
        import_module(module)


def open_repository(
    path: Path, key: str | None = None, tell: Tell = _keep_quiet, *, ahead: str | None = None
) -> Repository:
    """Return the change repository that ``path`` lies in. Raises WorkspaceError outside of one.

    ``ahead`` names the module of the journey that is needed next: it is imported while git is asked.
    """
    apart = _begin_apart() if ahead in COMPILES else None
    if ahead is not None:
        sys.setswitchinterval(SWITCH)
        Thread(target=_import, args=(f"okto_change.pipeline.{ahead}",), daemon=True).start()
    try:
        clone = source.locate(path)
    except BaseException:
        if apart is not None:
            apart.close()
        raise
    return Repository(clone.root, key=key, tell=tell, clone=clone, apart=apart)
