"""Add one decision file to the branch of decisions: without a checkout, safe against others doing the same at once."""

from __future__ import annotations

import time
from pathlib import Path

from okto_change.approval.mirror import RECEIVE, Mirror
from okto_change.approval.safegit import GitFailed, failure
from okto_change.errors import WorkspaceError

TRIES = 25
_RACES = (
    "stale info",
    "fetch first",
    "non-fast-forward",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value",
    "reference already exists",
    "failed to lock",
)
"""what git calls a push that somebody else's push came before"""


def publish(mirror: Mirror, path: str, content: bytes, *, name: str, email: str, message: str) -> str:
    """Commit ``content`` as ``path`` on the (first) branch of decisions and push it; return the commit's id.

    Tries again while others push first. A file that is there already, with the same bytes, is left as it is. ``name``
    and ``email`` are the commit's author and give no authority. Raises GitFailed, WorkspaceError.
    """
    ref = mirror.approvals_refs[0]
    for attempt in range(TRIES):
        mirror.refresh()
        tip = mirror.tip(ref)
        commit = _commit(mirror, tip, path, content, _identity(name, email), message)
        if commit == tip or _push(mirror, ref, tip, commit):
            return commit
        from random import uniform

        time.sleep(uniform(0.01, 0.05) * min(attempt + 1, 10))  # noqa: S311
    raise GitFailed(
        f"the decision could not be pushed in {TRIES} tries: others pushed first every time",
        hint="run it again",
        where=mirror.source.shown,
    )


def _identity(name: str, email: str) -> dict[str, str]:
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email))
    }


def _commit(mirror: Mirror, tip: str | None, path: str, content: bytes, identity: dict[str, str], message: str) -> str:
    """Return a commit on top of ``tip`` that adds the file; ``tip`` itself if it is there already."""
    git = mirror.git
    blob = git.run("hash-object", "-w", "--stdin", feed=content).decode("ascii").strip()
    import tempfile

    with tempfile.TemporaryDirectory(prefix="okto-change-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        if tip is not None:
            git.run("read-tree", tip, extra=index)
        there = git.run("ls-files", "--stage", "--", path, extra=index).decode("utf-8", "replace")
        if there and there.split()[1] == blob and tip is not None:
            return tip
        if there:
            raise WorkspaceError(f"{path} is on the branch already, with other content", where=mirror.source.shown)
        git.run("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", extra=index)
        tree = git.run("write-tree", extra=index).decode("ascii").strip()
    parents = () if tip is None else ("-p", tip)
    made = git.run("commit-tree", tree, *parents, feed=f"{message}\n".encode(), extra=identity)
    return made.decode("ascii").strip()


def _push(mirror: Mirror, ref: str, tip: str | None, commit: str) -> bool:
    """Push ``commit``; False if somebody else was faster. Raises GitFailed when it was refused for another reason."""
    receive = () if mirror.source.url else (f"--receive-pack={RECEIVE}",)
    lease = f"--force-with-lease={ref}:{tip or ''}"
    ran = mirror.network.attempt(
        "push",
        "--porcelain",
        "--no-verify",
        "--no-follow-tags",
        "--no-signed",
        "--no-recurse-submodules",
        *receive,
        lease,
        "--",
        mirror.source.place,
        f"{commit}:{ref}",
    )
    if ran.code == 0:
        mirror.moved(ref, commit)
        return True
    said = "\n".join([ran.err, *ran.lines()])
    if any(race in said for race in _RACES):
        return False
    rejected = [line.split("\t")[-1] for line in ran.lines() if line.startswith("!")]
    raise failure(
        f"the decision was signed, but {mirror.source.shown} did not take it",
        rejected[0] if rejected else ran.err,
        hint=f"you need the right to push to {ref.removeprefix('refs/heads/')}; then run the command again",
    )
