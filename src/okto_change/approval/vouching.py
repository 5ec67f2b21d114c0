"""Who vouches for a stored dry run: a signature over the report's bytes, by somebody whom the policy names for that. Pure.

Approvals bind the digest of a report, so nobody exchanges what was approved. That its figures were true is another
matter: whoever commits the file could have written them. The signature of a machine that makes dry runs says that it did.
"""

from __future__ import annotations

from datetime import datetime

from okto_change.approval import signature
from okto_change.approval.rulebook import Environment, Person, PersonKey, Policy
from okto_change.approval.sshkeys import PublicKey
from okto_change.model.base import record

NAMESPACE = "dry-run@okto-change"
LARGEST = 4096
"""bytes of a signature"""


@record
class Voucher:
    """Who signed a stored dry run, with which key; ``fault`` says why that counts for nothing, None if it does."""

    person: str | None
    fault: str | None
    key: PublicKey | None = None


UNSIGNED = Voucher(None, "it is not signed")


def vouch(policy: Policy, content: bytes, armor: bytes | None, at: datetime, now: datetime) -> Voucher:
    """Return who signed the report ``content``, which says that it was made ``at``, with a key that counts then and now."""
    if armor is None:
        return UNSIGNED
    try:
        signed = signature.verify(content, armor[: LARGEST + 1], NAMESPACE)
    except ValueError as error:
        return Voucher(None, f"its signature does not hold: {error}")
    owner = policy.owner(signed.key)
    if owner is None:
        return Voucher(None, f"it is signed with the unknown key {signed.key.fingerprint}")
    person, key = owner
    return Voucher(person.name, _fault(person, key, signed.proven, (now, at)), signed.key)


def _fault(person: Person, key: PersonKey, proven: tuple[str, ...], moments: tuple[datetime, ...]) -> str | None:
    found = (key.fault(moment) for moment in moments)
    fault = next((fault for fault in found if fault is not None), None)
    if fault is None and (lacking := key.lacks(proven)) is not None:
        fault = f"it was signed {lacking}"
    return f"{person.name} signed it, but {fault}" if fault else None


def objection(policy: Policy, environment: Environment, voucher: Voucher | None, writers: frozenset[str]) -> str | None:
    """Say why a stored dry run (``voucher`` None: there is none) is not what the environment asks for; None if it is.

    ``writers`` wrote or submitted the change: their signature would be the author's word again.
    """
    groups = environment.dry_run_signers
    if not groups:
        return None
    asked = f"{environment.name} asks for a dry run signed by {' or '.join(groups)}"
    if voucher is None:
        return f"{asked}; none of this version is stored"
    fault = voucher.fault
    if fault is None and voucher.person not in policy.members(groups):
        fault = f"{voucher.person} signed it"
    if fault is None and voucher.person in writers:
        fault = f"{voucher.person}, who signed it, wrote or submitted this change"
    return f"{asked}; of the one that is stored, {fault}" if fault else None
