"""A policy's keys as OpenSSH's ``allowed_signers``, to check any signature with ssh-keygen alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from okto_change.approval.chain import NAMESPACE as POLICY
from okto_change.approval.rulebook import PersonKey, Policy
from okto_change.approval.sshsig import NAMESPACE as DECISION
from okto_change.approval.vouching import NAMESPACE as DRY_RUN

_EPOCH = 1970


def allowed_signers(policy: Policy) -> str:
    """Return one line a key, with when it counts; a revoked key is named in a comment only.

    With several lines for one key ssh-keygen takes the loosest, and a moment without ``Z`` is local time to it.
    """
    head = f"# policy version {policy.version} of {policy.repo}, {policy.sha256}\n"
    return head + "".join(f"{line}\n" for line in _lines(policy))


def _lines(policy: Policy) -> Iterator[str]:
    for person in policy.people.values():
        for key in person.keys:
            if key.revoked is not None:
                yield f"# {person.name}: {key.key.fingerprint} was revoked on {key.revoked:%Y-%m-%d}"
            else:
                yield f"{person.name} {_options(key)} {key.key.line}"


def _options(key: PersonKey) -> str:
    options = [f'namespaces="{DECISION},{POLICY},{DRY_RUN}"']
    if key.valid_from.year > _EPOCH:
        options.append(f'valid-after="{_moment(key.valid_from)}"')
    if key.valid_until is not None:
        options.append(f'valid-before="{_moment(key.valid_until)}"')
    return ",".join(options)


def _moment(at: datetime) -> str:
    return f"{at:%Y%m%d%H%M%SZ}"
