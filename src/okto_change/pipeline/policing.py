"""A new version of the policy: what it would change, the owners' signatures over it, and its keys for ssh-keygen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from okto_change.approval import chain, effects, identity, schema, signers
from okto_change.approval.comparing import describe_change
from okto_change.approval.policy import Policy
from okto_change.approval.rulebook import OWNERS
from okto_change.errors import KeyUnusable, NotAuthorised, PlanError, Refused, WorkspaceError
from okto_change.model import PolicyCheck, PolicySigned
from okto_change.pipeline.repository import POLICY, Repository

Confirm = Callable[[PolicyCheck], bool]


def policy_check(repo: Repository) -> PolicyCheck:
    """Compare the newest version in the working tree with the policy in force. Raises PlanError with every fault."""
    files = _files(repo)
    return _compare(repo, _newest(files), files)


def policy_sign(repo: Repository, *, confirm: Confirm) -> PolicySigned:
    """Sign the newest version in the working tree as one of its owners, or of those of the version in force.

    Raises NotAuthorised for anybody else, Refused where ``confirm`` says no.
    """
    files = _files(repo)
    new = _newest(files)
    old = _in_force(repo)
    _demand_follows(old, new)
    signer = _owner(repo, old, new)
    if not confirm(_compare(repo, new, files)):
        raise Refused("not signed", where=new.file)
    path = f"{POLICY}{new.version:04}.{signer.person}.sig"
    armor = identity.sign(new.content, signer, namespace=chain.NAMESPACE)
    repo.write(path, armor)
    lacking = chain.lacking(old or new, new, chain.signatures(files | {path: armor}, new.version), datetime.now(UTC))
    return PolicySigned(version=new.version, person=signer.person, path=path, lacking=lacking)


def policy_signers(repo: Repository) -> str:
    """Return the keys of the policy in force as OpenSSH's ``allowed_signers``."""
    return signers.allowed_signers(repo.policy)


def _files(repo: Repository) -> dict[str, bytes]:
    folder = repo.root / POLICY
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    files = {f"{POLICY}{path.name}": path.read_bytes() for path in found if path.is_file() and not path.is_symlink()}
    if not chain.versions(files):
        raise WorkspaceError(f"there is no policy {POLICY}0001.yaml in this working tree", hint="okto-change init")
    return files


def _newest(files: dict[str, bytes]) -> Policy:
    name, content = chain.versions(files)[max(chain.versions(files))]
    return schema.read(content, name)


def _in_force(repo: Repository) -> Policy | None:
    """Return the policy in force; None before the first one is pushed."""
    try:
        return repo.policy
    except (NotAuthorised, PlanError):
        raise
    except WorkspaceError:
        return None


def _compare(repo: Repository, new: Policy, files: dict[str, bytes]) -> PolicyCheck:
    old = _in_force(repo)
    return PolicyCheck(
        file=new.file,
        version=new.version,
        old=old.version if old else None,
        differences=describe_change(old, new) if old else (),
        effects=effects.describe_effect(old, new),
        warnings=effects.dead_ends(new),
        lacking=_lacking(old, new, files),
    )


def _lacking(old: Policy | None, new: Policy, files: dict[str, bytes]) -> tuple[str, ...]:
    if old is not None and old.content == new.content:
        return ()
    strong = new.policy_quorum is not None or (old is not None and old.policy_quorum is not None)
    if strong and old is not None and _previous(old) != new.previous_sha256:
        return (f"it must say: previous_sha256: {_previous(old)}",)
    return chain.lacking(old or new, new, chain.signatures(files, new.version), datetime.now(UTC))


def _demand_follows(old: Policy | None, new: Policy) -> None:
    if old is None:
        return
    if new.version != old.version + 1 or new.previous_sha256 != _previous(old):
        raise Refused(
            f"version {new.version} does not follow on version {old.version}, which is in force",
            where=new.file,
            hint=f"write it as {POLICY}{old.version + 1:04}.yaml, with: previous_sha256: {_previous(old)}",
        )


def _previous(old: Policy) -> str:
    return old.sha256.removeprefix("sha256:")


def _owner(repo: Repository, old: Policy | None, new: Policy) -> identity.Identity:
    faults: list[str] = []
    for policy in filter(None, (old, new)):
        try:
            signer = repo.signer(policy)
        except KeyUnusable as error:
            faults.append(f"version {policy.version}: {error.message}")
            continue
        if signer.person in policy.groups.get(OWNERS, ()):
            return signer
        faults.append(f"version {policy.version}: {signer.person} is not in {OWNERS}")
    raise NotAuthorised(
        "you own neither the policy in force nor the new one",
        faults=tuple(dict.fromkeys(faults)),
        hint=f"its owners are the people in the group {OWNERS}",
    )
