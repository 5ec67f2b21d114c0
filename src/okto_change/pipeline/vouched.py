"""Signing the dry run that was just made, where the environment asks for that or somebody wants it."""

from __future__ import annotations

from okto_change.approval import identity, vouching
from okto_change.approval.identity import Identity
from okto_change.approval.policy import Environment
from okto_change.errors import KeyUnusable, NotAuthorised
from okto_change.pipeline.repository import CHANGES, Repository
from okto_change.pipeline.stored import report_path, signature_path


def find_signer(repo: Repository, environment: Environment, author: str, *, sign: bool) -> tuple[Identity | None, str]:
    """Return who signs a dry run here, else why nobody does ('' where nobody has to).

    With ``sign`` somebody must: raises KeyUnusable without a key, NotAuthorised where the signature would not count.
    """
    if not environment.dry_run_signers and not sign:
        return None, ""
    try:
        signer = repo.signer()
        _demand_counting(repo, environment, signer.person, author)
    except (KeyUnusable, NotAuthorised) as error:
        if sign:
            raise
        return None, error.message
    return signer, ""


def _demand_counting(repo: Repository, environment: Environment, person: str, author: str) -> None:
    groups = environment.dry_run_signers
    may = repo.policy.members(groups) - {author} if groups else frozenset(repo.policy.people)
    if person in may:
        return
    why = "who wrote this change" if person == author else f"who is not in {' or '.join(groups)}"
    raise NotAuthorised(
        f"a dry run signed by {person}, {why}, would not count",
        where=repo.policy.file,
        hint=f"who may: {', '.join(sorted(may)) or 'nobody; the policy decides who is'}",
    )


def store(repo: Repository, change: str, environment: str, content: bytes, signer: Identity | None) -> tuple[str, ...]:
    """Write the report beside its lock, signed by ``signer`` if there is one; return the paths written.

    A signature over the report that was there before is taken away: it says nothing of this one.
    """
    folder = f"{CHANGES}/{change}"
    report, signature = f"{folder}/{report_path(environment)}", f"{folder}/{signature_path(environment)}"
    armor = None if signer is None else identity.sign(content, signer, namespace=vouching.NAMESPACE)
    repo.write(report, content)
    if armor is None:
        repo.remove(signature)
        return (report,)
    repo.write(signature, armor)
    return report, signature
