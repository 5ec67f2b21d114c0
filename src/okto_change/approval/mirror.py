"""Our own bare mirror of a change repository, and the branches in it that only move forward.

It is fetched with explicit refspecs into names of our own: what arrives (``refs/okto/incoming``) becomes what is trusted
(``refs/okto/seen``) unless a branch of a remote went backwards or vanished, which could hide a rejection.
"""

from __future__ import annotations

import fcntl
import os
import re
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from okto_change.approval import memory, tree
from okto_change.approval.decisionfile import DecisionFile
from okto_change.approval.memory import Memory
from okto_change.approval.pins import Pin
from okto_change.approval.safegit import GitFailed, Ran, Running, SafeGit, failure
from okto_change.approval.source import Source
from okto_change.errors import NotAuthorised, WorkspaceError

APPROVALS = "refs/heads/okto-approvals"
HEAD = "refs/okto/head"
PACKS = 40
"""files of objects, one a fetch that found something new; git itself puts more than 50 together"""
SHORT_PATIENCE = 20
"""seconds for a fetch that a command can do without"""
_CONFIG = b"""\
[core]
\trepositoryformatversion = 0
\tbare = true
[fetch]
\tfsckObjects = true
\tunpackLimit = 1
[log]
\tshowRoot = true
"""
_FOREIGN = (
    "shallow",
    "commondir",
    "config.worktree",
    "info/grafts",
    "info/attributes",
    "objects/info/alternates",
    "objects/info/http-alternates",
    "hooks",
)
"""files by which git would borrow, cut off, reinterpret or run something; ours has none"""
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The other side of a fetch from the user's own clone runs there. Whose clone it is, git has judged when we found it.
_THERE = "git -c core.hooksPath=/dev/null -c core.alternateRefsCommand=true -c 'safe.directory=*'"
UPLOAD = f"{_THERE} upload-pack"
RECEIVE = f"{_THERE} -c receive.autogc=false -c receive.denyCurrentBranch=refuse receive-pack"


class Mirror:
    """A bare repository that only okto-change writes.

    ``protected_ref`` is the branch that trust is read from, ``approvals_refs`` are those of decisions: the usual one
    until a policy was read that names others.
    """

    def __init__(self, folder: Path, origin: Source, protected_ref: str) -> None:
        self.folder = folder
        self.source = origin
        self.protected_ref = protected_ref
        self.approvals_refs: tuple[str, ...] = memory.load(folder).approvals_refs or (APPROVALS,)
        self.fetched = False
        self.pin: Pin | None = None
        self.git = SafeGit(folder)
        self.network = SafeGit(folder, network=True)
        self._refs: dict[str, str] | None = None
        self._head: Running | None = None
        self._tidying: Callable[[], object] = _nothing

    @property
    def memory(self) -> Memory:
        """What is remembered beside the mirror."""
        return memory.load(self.folder)

    def remember(self, kept: Memory) -> None:
        """Replace what is remembered."""
        memory.save(self.folder, kept)

    def refresh(self, *, patience: int | None = None) -> None:
        """Fetch the protected branch and those of decisions. Raises GitFailed; NotAuthorised if one went backwards."""
        with self.refreshing(patience=patience):
            pass

    @contextmanager
    def refreshing(self, *, patience: int | None = None) -> Iterator[None]:
        """Fetch like ``refresh`` while the block runs; what was fetched counts when it is left."""
        with self.locked():
            fetching = self._fetch([self.protected_ref], self.approvals_refs, patience)
            try:
                yield
            except BaseException:
                fetching.stop()
                raise
            self._demand_fetched(fetching.end())
            self._refs = None
            self._accept((self.protected_ref, *self.approvals_refs))
            now = datetime.now(UTC).replace(microsecond=0)
            self.remember(replace(self.memory, approvals_refs=self.approvals_refs, fetched_at=now))
        self.fetched = True

    def close(self) -> None:
        """End what runs for this mirror; it may be used again all the same."""
        self.git.close()
        if self._head is not None:
            self._head.stop()
            self._head = None
        self._tidy(None)

    def _tidy(self, tidying: Running | None) -> None:
        """Wait for the process that was tidying, and let another one do it; whether it succeeds matters to nobody.

        It is never stopped half-way: git would find its lock files and never tidy again.
        """
        before, self._tidying = self._tidying, weakref.finalize(self, tidying.end) if tidying else _nothing
        with suppress(GitFailed):
            before()

    def commit(self, ref: str) -> str:
        """Return the commit that a branch (``refs/heads/...``) stood at when fetched. Raises WorkspaceError."""
        found = self.tip(ref)
        if found is None:
            raise WorkspaceError(f"{self.source.shown} has no branch {ref.removeprefix('refs/heads/')}")
        return found

    def tip(self, ref: str) -> str | None:
        """Return like ``commit``; None where there is no such branch."""
        return self._known().get(_seen(ref))

    def head_commit(self) -> str:
        """Return the commit at HEAD of the user's own clone, fetched now. Raises WorkspaceError if there is none."""
        self.ask_head()
        assert self._head is not None
        asked, self._head = self._head.end(), None
        head = (asked.lines() or [""])[0]
        if asked.code == 0 and head in self._known().values():
            return head
        with self.locked():
            ran = self.network.attempt(*_fetching(local=True), "--", str(self.source.root), f"+HEAD:{HEAD}")
        self._refs = None
        if ran.code != 0:
            message, hint = "HEAD of the clone cannot be read", "commit something first"
            raise failure(message, ran.err, where=self.source.root, hint=hint)
        return self._known().get(HEAD, "")

    def ask_head(self) -> None:
        """Begin to ask the user's clone for its HEAD, as ``head_commit`` will need it; the answer may come meanwhile."""
        if self._head is None:
            asking = ("-C", str(self.source.root), "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
            self._head = SafeGit(None, network=True).begin(*asking)
            weakref.finalize(self, self._head.stop)

    def is_ancestor(self, earlier: str, later: str) -> bool:
        """Whether the commit ``earlier`` is ``later`` or lies in its past."""
        return self.git.attempt("merge-base", "--is-ancestor", _commit(earlier), _commit(later)).code == 0

    def files(self, commit: str, prefix: str) -> dict[str, bytes]:
        """Return the files under the folder ``prefix`` at ``commit``, by path from the repository's root.

        Raises PlanError for symlinks, submodules, executable files, odd names, names that differ only in case, and for
        more than 1 MiB a file, 8 MiB or 2 000 files in all.
        """
        return tree.files(self.git, _commit(commit), prefix)

    def folders(self, commit: str, prefix: str) -> tuple[str, ...]:
        """Return the names of the folders right under ``prefix`` (ending in ``/``) at ``commit``, whatever is in them."""
        return tuple(sorted(tree.names(self.git, _commit(commit), prefix)))

    def decision_files(self, change: str, environment: str, *, commit: str | None = None) -> list[DecisionFile]:
        """Return every decision file of a change in an environment: those that stand, then those that once stood.

        They are read from the branches of decisions and, with ``commit``, from the change's own folder there.
        """
        tips = [tip for ref in self.approvals_refs if (tip := self.tip(ref))]
        places = [(tip, f"decisions/{change}/{environment}") for tip in tips]
        if commit is not None:
            places.append((_commit(commit), f"changes/{change}/approvals/{environment}"))
        return tree.decision_files(self.git, places)

    def decided(self, environment: str, *decisions: str) -> set[str]:
        """Return the changes of which the names of standing files say that one of ``decisions`` was made on them.

        Names carry no authority; they only say where to look. What okto-change publishes has such a name.
        """
        kinds = "|".join(map(re.escape, decisions))
        name = re.compile(
            rf"decisions/([a-z0-9][a-z0-9-]*)/{re.escape(environment)}/[^/]*-(?:{kinds})-[0-9a-f]{{12}}\.signed"
        )
        tips = [tip for ref in self.approvals_refs if (tip := self.tip(ref))]
        listings = [
            self.git.run("ls-tree", "-r", "-z", "--name-only", "--full-tree", tip, "--", "decisions/") for tip in tips
        ]
        names = (found.decode("utf-8", "replace") for listing in listings for found in listing.split(b"\0"))
        return {match[1] for found in names if (match := name.fullmatch(found))}

    def find_version(self, path: str, digest: str, *, commit: str | None = None) -> bytes | None:
        """Return the version of a file with this sha256, anywhere in the history of ``commit`` (default: protected)."""
        start = commit or self.commit(self.protected_ref)
        for content in tree.versions(self.git, _commit(start), path):
            if sha256(content).hexdigest() == digest.removeprefix("sha256:"):
                return content
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from fetching into this mirror meanwhile."""
        with (self.folder / "okto-change.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def moved(self, ref: str, commit: str) -> None:
        """Remember that we pushed ``commit`` to ``ref``, unless somebody's later push was seen already."""
        with self.locked():
            self._refs = None
            seen = self.tip(ref)
            if seen is None or self.is_ancestor(seen, commit):
                self._set({_seen(ref): _commit(commit)})

    def _known(self) -> dict[str, str]:
        """Return the commit of each ref of ours; what points to no commit is no branch."""
        if self._refs is None:
            listing = self.git.run("for-each-ref", "--format=%(objecttype) %(objectname) %(refname)", "refs/okto/")
            words = [line.split(" ", 2) for line in listing.decode("utf-8", "replace").splitlines()]
            self._refs = {name: oid for kind, oid, name in words if kind == "commit"}
        return self._refs

    def _set(self, refs: dict[str, str | None]) -> None:
        lines = [f"delete {name}" if oid is None else f"update {name} {oid}" for name, oid in refs.items()]
        if lines:
            self.git.run("update-ref", "--stdin", feed="".join(f"{line}\n" for line in lines).encode("ascii"))
            self._refs = None

    def _fetch(self, exact: Sequence[str], optional: Sequence[str], patience: int | None) -> Running:
        """Fetch branches into ``refs/okto/incoming``; an optional one is asked for by a pattern: it may be missing."""
        wanted = [f"+{ref}:{_incoming(ref)}" for ref in exact] + [f"+{ref}*:{_incoming(ref)}*" for ref in optional]
        fetching = _fetching(local=self.source.url is None)
        git = SafeGit(self.folder, network=True, patience=patience)
        return git.begin(*fetching, "--prune", "--", self.source.place, *wanted)

    def _demand_fetched(self, ran: Ran) -> None:
        if ran.code == 0:
            return
        if "couldn't find remote ref" in ran.err:
            raise GitFailed(
                f"{self.source.shown} has no branch {self.protected_ref.removeprefix('refs/heads/')} yet",
                said=ran.err,
                hint="commit and push the policy to the protected branch",
            )
        raise failure(
            f"{self.source.shown} cannot be read",
            ran.err,
            hint="check the network and your access: git ls-remote origin",
        )

    def _accept(self, refs: Sequence[str]) -> None:
        """Take what was fetched as seen, unless a branch of a remote went backwards or vanished."""
        known, moves = self._known(), dict[str, str | None]()
        for ref in refs:
            new, old = known.get(_incoming(ref)), known.get(_seen(ref))
            if new == old:
                continue
            if self.source.url and old and (new is None or not self.is_ancestor(old, new)):
                raise self._backwards(ref, old, new)
            moves[_seen(ref)] = new
        if not moves:
            return
        self._set(moves)
        self._refs = {name: oid for name, oid in (known | moves).items() if oid is not None}
        # With it a scan of one folder's history skips commits that cannot have touched it; without it, it is slow.
        graph = ("commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress")
        self._tidy(self.git.begin(*graph))
        if len(list((self.folder / "objects/pack").glob("*.pack"))) > PACKS:
            self._tidy(None)
            self.git.attempt("maintenance", "run", "--auto", "--quiet")

    def _backwards(self, ref: str, old: str, new: str | None) -> NotAuthorised:
        return NotAuthorised(
            f"the branch {ref.removeprefix('refs/heads/')} of {self.source.shown} "
            + ("was deleted" if new is None else f"went backwards: {old[:12]} is not in the past of {new[:12]}"),
            hint="find out who rewrote it; if that was right, compare fingerprints again: okto-change trust init",
        )


def _nothing() -> None:
    """Nothing is being tidied."""


def make(folder: Path) -> None:
    """Make an empty mirror in ``folder``, unless there is one."""
    if folder.is_dir():
        return
    import shutil
    import tempfile

    folder.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    SafeGit(None).run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(fresh))
    (fresh / "config").write_bytes(_CONFIG)
    try:
        fresh.rename(folder)
    except OSError as error:
        # Another process was faster; its mirror serves as well.
        shutil.rmtree(fresh)
        if not folder.is_dir():
            raise WorkspaceError(f"{folder} cannot be made: {error.strerror}") from error


def demand_ours(folder: Path) -> None:
    """Raise WorkspaceError unless the mirror is as we make it: nothing borrowed, nothing cut off, no other settings."""
    odd = [name for name in _FOREIGN if os.path.lexists(folder / name)]
    odd += [path.name for path in (folder / "objects" / "pack").glob("*.promisor")]
    if odd or (folder / "config").read_bytes() != _CONFIG or folder.lstat().st_uid != os.geteuid():
        raise WorkspaceError(
            "our copy of the repository was changed by somebody else",
            where=folder,
            faults=tuple(odd),
            hint=f"remove {folder}; it is made again by the next command",
        )


def _fetching(*, local: bool) -> tuple[str, ...]:
    upload = (f"--upload-pack={UPLOAD}",) if local else ()
    return ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", *upload)


def _commit(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(f"no commit id: {value[:80]!r}")
    return value


def _incoming(ref: str) -> str:
    return ref.replace("refs/", "refs/okto/incoming/", 1)


def _seen(ref: str) -> str:
    return ref.replace("refs/", "refs/okto/seen/", 1)
