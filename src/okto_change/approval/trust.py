"""The door to what is trusted: the mirror of a clone's repository, and the policy that stands in it.

The mirror is fetched from the remote of the user's clone (or from the clone itself where there is no remote). The
clone's configuration, hooks, filters and replacements have no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from okto_change.approval import chain, sshkeygen
from okto_change.approval import mirror as mirrors
from okto_change.approval.memory import Mark
from okto_change.approval.mirror import APPROVALS, HEAD, SHORT_PATIENCE, Mirror
from okto_change.approval.opening import mirror_of, mirrors_folder, open_mirror, protected_branch
from okto_change.approval.rulebook import Policy
from okto_change.approval.source import Source
from okto_change.errors import NotAuthorised, WorkspaceError

__all__ = [
    "APPROVALS",
    "HEAD",
    "POLICIES",
    "SHORT_PATIENCE",
    "Mirror",
    "mirror_of",
    "open_mirror",
    "policy_files",
    "read_policy",
]

POLICIES = ".okto-change/policy/"
Judge = Callable[[Mapping[str, bytes], datetime, Mark | None, Mark | None], Policy]


def read_policy(mirror: Mirror, commit: str | None = None, judge: Judge = chain.current) -> Policy:
    """Return the policy with the highest number at ``commit`` (default: the tip of the protected branch).

    From then on the mirror reads decisions from the branches that the policy names. ``judge`` does what ``chain.current``
    does, perhaps in another process.
    Raises WorkspaceError if there is none, PlanError if it cannot be read, NotAuthorised if it was written for another
    branch than the one it is trusted from.
    """
    tip = mirror.commit(mirror.protected_ref)
    found = policy_files(mirror, commit or tip)
    pin, seen = (mirror.pin.mark if mirror.pin else None), mirror.memory.policy
    if not mirror.source.url:
        # Whoever owns the one clone that there is may rewrite it; nobody else could be deceived.
        pin = seen = None
    policy = judge(found, datetime.now(UTC), pin, seen if commit in (None, tip) else None)
    _demand_ours(mirror, policy)
    judged = seen if commit in (None, tip) else None
    _demand_second_opinion(found, max((mark.version for mark in (pin, judged) if mark), default=0))
    if commit in (None, tip):
        _remember(mirror, policy, tip)
    if policy.approvals_refs != mirror.approvals_refs:
        mirror.approvals_refs = policy.approvals_refs
        if mirror.fetched:
            mirror.refresh()
    return policy


def _demand_second_opinion(files: Mapping[str, bytes], after: int) -> None:
    """Raise NotAuthorised where ``ssh-keygen`` refuses a signature by a known key that is valid to us, over a newer version."""
    versions = {number: found for number, found in chain.versions(files).items() if number > after}
    armors = [(content, one) for number, (_, content) in versions.items() for one in chain.signatures(files, number)]
    if not armors:
        return
    keys = chain.keys(files)
    for content, armor in armors:
        key = chain.signing_key(content, armor)
        if key is not None and key in keys and sshkeygen.second_opinion(content, armor, key, chain.NAMESPACE) is False:
            raise NotAuthorised(
                f"ssh-keygen does not accept a signature by {key.fingerprint} over the policy, which looks valid here",
                where=POLICIES,
                hint="somebody may be attacking the verification itself; keep the file and report it",
            )


def newest(mirror: Mirror) -> Policy:
    """Return the newest version of the policy as it stands, whoever signed it; for people to compare."""
    found = chain.versions(policy_files(mirror, mirror.commit(mirror.protected_ref)))
    name, content = found[max(found)]
    from okto_change.approval import schema

    policy = schema.read(content, name)
    _demand_ours(mirror, policy)
    return policy


@contextmanager
def afresh(origin: Source) -> Iterator[Mirror]:
    """Give a mirror that remembers nothing, fetched now; it goes when the block is left, unless it was accepted."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix=".init-", dir=mirrors_folder()))
    try:
        mirrors.make(folder / "fresh")
        mirror = Mirror(folder / "fresh", origin, "")
        mirror.protected_ref = protected_branch(mirror, origin)
        mirror.refresh()
        with closing(mirror):
            yield mirror
    finally:
        shutil.rmtree(folder)


def accept(mirror: Mirror, policy: Policy) -> None:
    """Put a fresh mirror in the place of the one that was there, with this version of the policy as seen."""
    _remember(mirror, policy, mirror.commit(mirror.protected_ref))
    mirror.close()
    import shutil

    place = mirrors_folder() / f"{mirror.source.key}.git"
    shutil.rmtree(place, ignore_errors=True)
    mirror.folder.rename(place)


def policy_files(mirror: Mirror, commit: str) -> dict[str, bytes]:
    """Return the files of the policy's folder at ``commit``. Raises WorkspaceError where no version is among them."""
    found = mirror.files(commit, POLICIES)
    if not chain.versions(found):
        raise WorkspaceError(
            f"there is no policy {POLICIES}0001.yaml",
            where=mirror.protected_ref,
            hint="run okto-change init, then commit and push to the protected branch",
        )
    return found


def _demand_ours(mirror: Mirror, policy: Policy) -> None:
    if policy.protected_ref != mirror.protected_ref:
        raise NotAuthorised(
            f"the policy says that {policy.protected_ref} is protected, but stands on {mirror.protected_ref}",
            where=policy.file,
            hint="make it the default branch of the remote, or correct the policy",
        )
    if mirror.pin and policy.repo != mirror.pin.repo:
        raise NotAuthorised(
            f"{mirror.source.shown} has the policy of another repository than the one trusted under that address",
            where=policy.file,
            hint="find out who put it there; to trust it after all: okto-change trust init",
        )


def _remember(mirror: Mirror, policy: Policy, commit: str) -> None:
    mark = Mark(policy.version, policy.sha256, policy.policy_quorum is not None)
    kept = mirror.memory
    if (kept.policy, kept.accepted) != (mark, commit):
        mirror.remember(replace(kept, policy=mark, accepted=commit))
