"""Who is at the keyboard, as far as keys can tell: a key that can sign, and the person it belongs to in the policy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from okto_change.approval import signature, sshkeygen
from okto_change.approval.rulebook import Policy
from okto_change.approval.sshkeys import ALGORITHMS, PublicKey, parse_line
from okto_change.approval.template import snippet
from okto_change.errors import KeyUnusable
from okto_change.model.base import record

PROOF = "presence@okto-change"
"""the namespace of a challenge; what is signed in it can never pass for a decision"""


@record
class Identity:
    """A person of the policy and the key to sign with; ``public`` is its public half."""

    person: str
    key: Path | str
    public: PublicKey


def whoami(
    policy: Policy, key: str | Path | None = None, *, configured: str | None = None, now: datetime | None = None
) -> Identity:
    """Return who may sign here.

    ``key`` (a file or a public key line) alone counts if given; else ``configured`` (git's ``user.signingkey``), then
    the agent and ``~/.ssh``. Raises KeyUnusable: no key, a key unknown to the policy (with the lines to enrol it), one
    that ended or was revoked, or keys of several people.
    """
    moment = now or datetime.now(UTC)
    if key is not None:
        return _named(policy, str(key), moment)
    if configured is not None and (mine := _known(policy, configured, moment)) is not None:
        return mine
    found = [known for spec in _candidates() if (known := _known(policy, spec, moment)) is not None]
    people = list(dict.fromkeys(identity.person for identity in found))
    if not found:
        raise KeyUnusable(
            "no key of yours is in the policy",
            where=policy.file,
            hint="name one with --key FILE, or make one with ssh-keygen -t ed25519 and have it enrolled",
        )
    if len(people) > 1:
        raise KeyUnusable(f"keys of several people are at hand: {', '.join(people)}", hint="choose one with --key FILE")
    return found[0]


def prove(identity: Identity) -> None:
    """Make the key sign a fresh challenge, so that its public half alone is not enough; raises KeyUnusable."""
    sign(os.urandom(32), identity, namespace=PROOF)


def sign(statement: bytes, identity: Identity, *, namespace: str = signature.NAMESPACE) -> bytes:
    """Return the armored signature over a statement, verified as any reader will; raises KeyUnusable."""
    armor = sshkeygen.sign(statement, identity.key, namespace=namespace)
    try:
        signed = signature.verify(statement, armor, namespace)
    except signature.BadSignature as error:
        raise KeyUnusable(f"the key of {identity.person} gave a signature that does not verify: {error}") from error
    if signed.key != identity.public:
        raise KeyUnusable(f"another key signed than the one of {identity.person}", hint="choose one with --key FILE")
    if signed.key.is_security_key and not signed.flags & signature.TOUCHED:
        raise KeyUnusable("the security key signed without being touched, which counts for nothing")
    return armor


def public_key(key: str | Path) -> PublicKey:
    """Return the public half of a key file, a ``.pub`` file or a public key line; raises KeyUnusable."""
    text = str(key)
    line = text if _is_line(text) else _read(Path(text).expanduser())
    try:
        return parse_line(line)
    except ValueError as error:
        raise KeyUnusable(f"the key {_shown(text)} cannot be used: {error}") from error


def enroll_snippet(person: str, key: str | Path, *, email: str | None = None, now: datetime | None = None) -> str:
    """Return the policy lines that enrol ``person`` with this key; raises KeyUnusable if a policy cannot name it."""
    return snippet(person=person, key=public_key(key).line, email=email, now=now)


def _named(policy: Policy, key: str, moment: datetime) -> Identity:
    public = public_key(key)
    owner = policy.owner(public)
    if owner is None:
        raise KeyUnusable(
            f"the key {_shown(key)} ({public.fingerprint}) belongs to nobody in the policy",
            where=policy.file,
            hint="have these lines put under `people:` on the protected branch:\n" + enroll_snippet("your-name", key),
        )
    person, entry = owner
    fault = entry.fault(moment)
    if fault:
        others = [one.key.fingerprint for one in person.keys if one.fault(moment) is None]
        hint = f"{person.name} has one that counts: {' or '.join(others)}; name it with --key FILE" if others else None
        raise KeyUnusable(f"{person.name} cannot sign with {_shown(key)}: {fault}", where=policy.file, hint=hint)
    return Identity(person.name, key if _is_line(key) else Path(key).expanduser(), public)


def _known(policy: Policy, spec: str, moment: datetime) -> Identity | None:
    """Return whose key this is, None where it cannot sign here."""
    try:
        return _named(policy, spec, moment)
    except KeyUnusable:
        return None


def _candidates() -> Iterator[str]:
    yield from (line for line in sshkeygen.agent_keys() if _is_line(line))
    folder = Path.home() / ".ssh"
    yield from (str(path.with_suffix("")) for path in sorted(folder.glob("id_*.pub")) if path.with_suffix("").is_file())


def _read(path: Path) -> str:
    """Return the public line of a key file: its own if it is public, else that of the ``.pub`` beside it."""
    public = path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")
    try:
        return public.read_text("utf-8", "replace").strip()[:16_384]
    except FileNotFoundError as error:
        made = f"write its public half: ssh-keygen -y -f {path} > {public}"
        hint = made if path.is_file() else "choose another with --key"
        raise KeyUnusable(f"there is no file {public}", hint=hint) from error
    except OSError as error:
        raise KeyUnusable(f"{public} cannot be read: {error.strerror}") from error


def _is_line(text: str) -> bool:
    return text.split(" ")[0] in ALGORITHMS


def _shown(text: str) -> str:
    return f"{text[:57]}..." if _is_line(text) else text
