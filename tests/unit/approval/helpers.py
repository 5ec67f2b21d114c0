"""Keys in memory that sign as OpenSSH does, and small policies, locks and decisions to judge."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from okto_change import digest
from okto_change.approval import statement
from okto_change.approval.decisions import Decision, DecisionFile, examine
from okto_change.approval.rulebook import Policy
from okto_change.approval.schema import read
from okto_change.approval.sshkeys import string
from okto_change.approval.sshsig import BEGIN, END, NAMESPACE
from okto_change.model import Lock, Risk

NOW = datetime(2026, 11, 22, 17, 0, tzinfo=UTC)
REPO = "7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f"
APPLICATION = b"ssh:"
CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}
Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def mpint(value: int) -> bytes:
    """Return a positive number as SSH writes it."""
    return string(value.to_bytes(value.bit_length() // 8 + 1, "big"))


@dataclass(frozen=True)
class SoftKey:
    """A key pair in memory. ``algorithm`` is OpenSSH's name; a security key is imitated."""

    algorithm: str
    private: Private

    @property
    def curve(self) -> str:
        """The curve of an ECDSA key."""
        return self.algorithm.removesuffix("@openssh.com").rsplit("-", 1)[-1]

    @property
    def blob(self) -> bytes:
        """The public half in wire format."""
        name = string(self.algorithm.encode())
        tail = string(APPLICATION) if self.algorithm.startswith("sk-") else b""
        public = self.private.public_key()
        match public:
            case ed25519.Ed25519PublicKey():
                return name + string(public.public_bytes_raw()) + tail
            case rsa.RSAPublicKey():
                numbers = public.public_numbers()
                return name + mpint(numbers.e) + mpint(numbers.n)
            case _:
                point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
                return name + string(self.curve.encode()) + string(point) + tail

    @property
    def line(self) -> str:
        """The public half as in a ``.pub`` file."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()} comment"

    def sign(self, content: bytes, namespace: str = NAMESPACE, *, flags: int = 1, kind: str = "") -> bytes:
        """Return the armored signature over ``content``."""
        message = string(namespace.encode()) + string(b"") + string(b"sha512")
        signed = b"SSHSIG" + message + string(hashlib.sha512(content).digest())
        value = string((kind or self._kind()).encode()) + self._raw(signed, flags)
        return armor(b"SSHSIG" + (1).to_bytes(4, "big") + string(self.blob) + message + string(value))

    def _kind(self) -> str:
        return "rsa-sha2-512" if self.algorithm == "ssh-rsa" else self.algorithm

    def _raw(self, signed: bytes, flags: int) -> bytes:
        if not self.algorithm.startswith("sk-"):
            return string(self._value(signed))
        counter = bytes([flags]) + (7).to_bytes(4, "big")
        inner = hashlib.sha256(APPLICATION).digest() + counter + hashlib.sha256(signed).digest()
        return string(self._value(inner)) + counter

    def _value(self, signed: bytes) -> bytes:
        match self.private:
            case ed25519.Ed25519PrivateKey():
                return self.private.sign(signed)
            case rsa.RSAPrivateKey():
                return self.private.sign(signed, padding.PKCS1v15(), hashes.SHA512())
            case _:
                encoded = self.private.sign(signed, ec.ECDSA(CURVES[self.curve][1]))
                first, second = utils.decode_dss_signature(encoded)
                return mpint(first) + mpint(second)


def armor(blob: bytes) -> bytes:
    """Return ``blob`` between the lines of an SSH signature."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "".join(f"{line}\n" for line in (BEGIN, *lines, END)).encode()


def ed25519_key() -> SoftKey:
    """Return a fresh Ed25519 key."""
    return SoftKey("ssh-ed25519", ed25519.Ed25519PrivateKey.generate())


def security_key() -> SoftKey:
    """Return a fresh imitation of a FIDO key."""
    return SoftKey("sk-ssh-ed25519@openssh.com", ed25519.Ed25519PrivateKey.generate())


PEOPLE = {name: ed25519_key() for name in ("ana", "bruno", "carla", "davi", "eva")}
"""ana and eva are engineers; bruno and carla dba; carla, davi and eva owners; davi is security"""
MALLORY = ed25519_key()

GROUPS = """\
groups:
  engineers: [ana, eva]
  dba: [bruno, carla]
  owners: [carla, davi, eva]
  security: [davi]
"""
ENVIRONMENTS = """\
environments:
  prod:
    targets:
      ledger: {postgres: {service: pay-prod}, database: payments, system_identifier: "7301"}
      routing: {files: {root: /srv/routing}}
    dry_run: optional
    submit: [engineers]
    execute: {groups: [dba, engineers]}
  staging:
    targets: {ledger: {postgres: {dsn_env: STAGING_DSN}}}
    dry_run: optional
  sandbox:
    targets: {ledger: {postgres: {dsn_env: SANDBOX_DSN}}}
    from_head: true
    dry_run: optional
"""
RULES = """\
rules:
  - {id: prod, when: {env: [prod]}, require: {dba: 1, owners: 1}}
  - {id: sandbox, when: {env: [sandbox]}, require: {}}
  - {id: staging, when: {env: [staging]}, require: {dba: 1}}
"""


def people(keys: Mapping[str, str] | None = None, since: str = "2026-01-01T00:00:00Z", more: str = "") -> str:
    """Return the ``people:`` part; ``keys`` maps names to public lines, ``more`` follows in each key's braces."""
    lines = keys or {name: key.line for name, key in PEOPLE.items()}
    entries = [f'  {name}:\n    keys: [{{key: "{line}", valid_from: {since}{more}}}]\n' for name, line in lines.items()]
    return "people:\n" + "".join(entries)


def policy_text(
    *,
    who: str | None = None,
    groups: str = GROUPS,
    environments: str = ENVIRONMENTS,
    rules: str = RULES,
    head: str = "",
) -> str:
    """Return the text of a policy, any part of it exchanged."""
    start = f"version: 1\nrepo: {REPO}\nprotected_ref: refs/heads/main\napprovals_refs: [refs/heads/okto-approvals]\n"
    return start + head + (who or people()) + groups + environments + rules


def make_policy(*, policy_change: Literal["void", "keep"] = "keep", **parts: Any) -> Policy:
    """Return a policy, any part of its text exchanged; approvals given under other versions count unless ``void``."""
    found = parsed(policy_text(**parts))
    environments = {name: replace(entry, policy_change=policy_change) for name, entry in found.environments.items()}
    return replace(found, environments=environments)


@cache
def parsed(text: str) -> Policy:
    """Return what a policy's text says; most tests ask for the same few."""
    return read(text.encode(), ".okto-change/policy/0001.yaml")


def make_lock(**fields: Any) -> Lock:
    """Return a lock of a small change for ``prod``, any field exchanged; its digest follows its content."""
    values: dict[str, Any] = {
        "content": b"{}\n",
        "repo": REPO,
        "change": "fix-settlements",
        "environment": "prod",
        "title": "Fix them",
        "author": "ana",
        "steps": (),
        "statements": (),
        "checks": (),
        "risk": Risk.LOW,
        "risk_reasons": (),
        "objects": (),
    } | fields
    return Lock(**{"digest": digest.sha256(values["content"])} | values)


def make_file(
    who: str,
    decision: str,
    role: str = "",
    *,
    lock: Lock | None = None,
    key: SoftKey | None = None,
    age: int = 60,
    life: int = 3600,
    at_tip: bool = True,
    namespace: str = NAMESPACE,
    file: str = "",
    flags: int = 1,
    **fields: Any,
) -> DecisionFile:
    """Return a signed decision of ``who``, ``age`` seconds before NOW; ``fields`` go into the statement as they are."""
    lock = lock or make_lock()
    issued = NOW - timedelta(seconds=age)
    values: dict[str, Any] = {
        "repo": lock.repo,
        "change": lock.change,
        "environment": lock.environment,
        "plan_digest": lock.digest,
        "decision": decision,
        "signer": who,
        "role": role,
        "issued_at": issued,
        "expires_at": issued + timedelta(seconds=life),
        "policy_sha256": "0" * 64,
    } | fields
    content = statement.build(**values)
    signed = (key or PEOPLE[who]).sign(content, namespace, flags=flags)
    name = file or f"{who}-{decision}-{statement.identify(content)[:6]}.signed"
    return DecisionFile(file=name, content=statement.join(content, signed), at_tip=at_tip)


def judge(files: list[DecisionFile], policy: Policy | None = None) -> tuple[Decision, ...]:
    """Return decision files with their signatures checked."""
    return examine(policy or make_policy(), files)
