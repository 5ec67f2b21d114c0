"""Our own bare mirror of a change repository: the only place that policy, plans and decisions are read from.

It is fetched from the remote of the user's clone (or from the clone itself where there is no remote) with explicit
refspecs into names of our own. The clone's configuration, hooks, filters and replacements have no part in it. A remote
branch that was seen once may only move forward: a branch that went backwards could hide a rejection.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from okto_change.approval import schema, source, tree
from okto_change.approval.decisions import DecisionFile
from okto_change.approval.rulebook import Policy
from okto_change.approval.safegit import GitFailed, SafeGit, failure
from okto_change.approval.source import Source
from okto_change.errors import NotAuthorised, WorkspaceError

APPROVALS = "refs/heads/okto-approvals"
HEAD = "refs/okto/head"
POLICIES = ".okto-change/policy/"
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
        self.approvals_refs: tuple[str, ...] = (APPROVALS,)
        self.git = SafeGit(folder)
        self.network = SafeGit(folder, network=True)

    def refresh(self) -> None:
        """Fetch the protected branch and those of decisions. Raises GitFailed; NotAuthorised if one went backwards."""
        with self.locked():
            self._fetch(self.source.place, [self.protected_ref], self.approvals_refs)
            for ref in (self.protected_ref, *self.approvals_refs):
                self._accept(ref)

    def commit(self, ref: str) -> str:
        """Return the commit that a branch (``refs/heads/...``) stood at when fetched. Raises WorkspaceError."""
        found = self.tip(ref)
        if found is None:
            raise WorkspaceError(f"{self.source.shown} has no branch {ref.removeprefix('refs/heads/')}")
        return found

    def tip(self, ref: str) -> str | None:
        """Return like ``commit``; None where there is no such branch."""
        return self._resolve(_seen(ref))

    def head_commit(self) -> str:
        """Return the commit at HEAD of the user's own clone, fetched now. Raises WorkspaceError if there is none."""
        with self.locked():
            ran = self.network.attempt(*_fetching(local=True), "--", str(self.source.root), f"+HEAD:{HEAD}")
        if ran.code != 0:
            message, hint = "HEAD of the clone cannot be read", "commit something first"
            raise failure(message, ran.err, where=self.source.root, hint=hint)
        return self._resolve(HEAD) or ""

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
        found = tree.entries(self.git, _commit(commit), prefix)
        parts = (blob.path.removeprefix(prefix).split("/") for blob in found)
        return tuple(sorted({part[0] for part in parts if len(part) > 1}))

    def decision_files(
        self, change: str, environment: str, *, commit: str | None = None
    ) -> list[DecisionFile]:  # fmt: skip
        """Return every decision file of a change in an environment: those that stand, then those that once stood.

        They are read from the branches of decisions and, with ``commit``, from the change's own folder there.
        """
        tips = [tip for ref in self.approvals_refs if (tip := self.tip(ref))]
        places = [(tip, f"decisions/{change}/{environment}") for tip in tips]
        if commit is not None:
            places.append((_commit(commit), f"changes/{change}/approvals/{environment}"))
        return tree.decision_files(self.git, places)

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
            seen = self.tip(ref)
            if seen is None or self.is_ancestor(seen, commit):
                self.git.run("update-ref", _seen(ref), _commit(commit))

    def _resolve(self, name: str) -> str | None:
        ran = self.git.attempt("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return ran.lines()[0] if ran.code == 0 else None

    def _fetch(self, place: str, exact: Sequence[str], optional: Sequence[str]) -> None:
        """Fetch branches into ``refs/okto/incoming``; an optional one is asked for by a pattern: it may be missing."""
        wanted = [f"+{ref}:{_incoming(ref)}" for ref in exact] + [f"+{ref}*:{_incoming(ref)}*" for ref in optional]
        fetching = _fetching(local=self.source.url is None)
        ran = self.network.attempt(*fetching, "--prune", "--", place, *wanted)
        if ran.code == 0:
            return
        if "couldn't find remote ref" in ran.err:
            raise GitFailed(
                f"{self.source.shown} has no branch {self.protected_ref.removeprefix('refs/heads/')} yet", said=ran.err,
                hint="commit and push the policy to the protected branch",
            )  # fmt: skip
        raise failure(
            f"{self.source.shown} cannot be read", ran.err,
            hint="check the network and your access: git ls-remote origin",
        )  # fmt: skip

    def _accept(self, ref: str) -> None:
        """Take what was fetched as seen, unless a branch of a remote went backwards or vanished."""
        new, old = self._resolve(_incoming(ref)), self._resolve(_seen(ref))
        if self.source.url and old and (new is None or not self.is_ancestor(old, new)):
            raise NotAuthorised(
                f"the branch {ref.removeprefix('refs/heads/')} of {self.source.shown} "
                + ("was deleted" if new is None else f"went backwards: {old[:12]} is not in the past of {new[:12]}"),
                hint=f"find out who rewrote it; if that was right, remove {self.folder} and run the command again",
            )
        if new is not None:
            self.git.run("update-ref", _seen(ref), new)
        elif old is not None:
            self.git.run("update-ref", "-d", _seen(ref))


def read_policy(mirror: Mirror, commit: str | None = None) -> Policy:
    """Return the policy with the highest number at ``commit`` (default: the tip of the protected branch).

    From then on the mirror reads decisions from the branches that the policy names.
    Raises WorkspaceError if there is none, PlanError if it cannot be read, NotAuthorised if it was written for another
    branch than the one it is trusted from.
    """
    found = mirror.files(commit or mirror.commit(mirror.protected_ref), POLICIES)
    names = sorted(name for name in found if schema.NUMBERED.search(name))
    if not names:
        raise WorkspaceError(
            f"there is no policy {POLICIES}0001.yaml", where=mirror.protected_ref,
            hint="run okto-change init, then commit and push to the protected branch",
        )  # fmt: skip
    policy = schema.read(found[names[-1]], names[-1])
    if policy.protected_ref != mirror.protected_ref:
        raise NotAuthorised(
            f"the policy says that {policy.protected_ref} is protected, but stands on {mirror.protected_ref}",
            where=policy.file, hint="make it the default branch of the remote, or correct the policy",
        )  # fmt: skip
    if policy.approvals_refs != mirror.approvals_refs:
        mirror.approvals_refs = policy.approvals_refs
        mirror.refresh()
    return policy


def open_mirror(root: Path, *, protected_ref: str | None = None, fetch: bool = True) -> Mirror:
    """Return the mirror for the clone at ``root``, made where there is none; fetched unless ``fetch`` is False.

    ``protected_ref`` None takes the remote's default branch, remembered from the first time; without a remote, the
    branch ``main`` or ``master``. Raises WorkspaceError (GitFailed when the remote cannot be reached).
    """
    origin = source.find(root)
    folder = source.state_folder() / "mirrors" / f"{origin.key}.git"
    _create(folder)
    _demand_ours(folder)
    mirror = Mirror(folder, origin, protected_ref or _protected(folder, origin))
    if fetch:
        mirror.refresh()
    return mirror


def _create(folder: Path) -> None:
    if folder.is_dir():
        return
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


def _demand_ours(folder: Path) -> None:
    """Raise WorkspaceError unless the mirror is as we make it: nothing borrowed, nothing cut off, no other settings."""
    odd = [name for name in ("shallow", "info/grafts", "objects/info/alternates") if (folder / name).exists()]
    if odd or (folder / "config").read_bytes() != _CONFIG or folder.stat().st_uid != os.geteuid():
        raise WorkspaceError(
            "our copy of the repository was changed by somebody else", where=folder,
            hint=f"remove {folder}; it is made again by the next command",
        )  # fmt: skip


def _protected(folder: Path, origin: Source) -> str:
    note = folder / "okto-change.protected"
    if note.is_file():
        return note.read_text("ascii").strip()
    found = _default_branch(origin) if origin.url else _local_branch(origin)
    note.write_text(f"{found}\n", "ascii")
    return found


def _default_branch(origin: Source) -> str:
    ran = SafeGit(None, network=True).attempt("ls-remote", "--symref", "--", origin.place, "HEAD")
    if ran.code != 0:
        hint = "check the network and your access: git ls-remote origin"
        raise failure(f"{origin.shown} cannot be read", ran.err, hint=hint)
    named = [line.split("\t")[0].removeprefix("ref: ") for line in ran.lines() if line.startswith("ref: ")]
    if not named:
        raise WorkspaceError(f"{origin.shown} is empty", hint="commit and push the policy to its default branch")
    return named[0]


def _local_branch(origin: Source) -> str:
    git = SafeGit(None, network=True)
    names = ("refs/heads/main", "refs/heads/master")
    ran = git.attempt("-C", str(origin.root), "for-each-ref", "--format=%(refname)", *names)
    found = [name for name in names if name in ran.lines()]
    if not found:
        raise WorkspaceError(
            "there is neither a remote nor a branch main or master", where=origin.root,
            hint="commit the policy to the branch main",
        )  # fmt: skip
    return found[0]


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
