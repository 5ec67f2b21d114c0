"""OpenSSH signatures in the namespace ``decision@okto-change``: strict armor and native verification.

Native verification is needed because ``ssh-keygen -Y verify`` accepts what we must not: trailing bytes, a second
signature, security keys that nobody touched. Signing and the second opinion are in ``sshkeygen``.
"""

from __future__ import annotations

import base64
import hashlib
import re

from okto_change.approval.sshkeys import PublicKey, Wire, parse_blob, string
from okto_change.model.base import record

NAMESPACE = "decision@okto-change"
BEGIN = "-----BEGIN SSH SIGNATURE-----"
END = "-----END SSH SIGNATURE-----"
TOUCHED = 0x01
PIN_GIVEN = 0x04
PROOFS = {"touch": TOUCHED, "pin": PIN_GIVEN}
"""what a policy may ask of a signature -> the flag of a security key that says so"""

_ARMOR = re.compile(rf"{BEGIN}\n((?:[A-Za-z0-9+/]{{70}}\n)*[A-Za-z0-9+/=]{{1,70}}\n){END}\n", re.ASCII)
_MAGIC = b"SSHSIG"
_MESSAGE_HASHES = {"sha512": hashlib.sha512, "sha256": hashlib.sha256}


class BadSignature(ValueError):
    """The armor is not in strict form, or the signature is not one of this key over these bytes in this namespace."""


@record
class Signature:
    """A parsed sshsig: ``kind`` is the signature's algorithm, ``value`` its raw bytes.

    ``flags`` and ``counter`` are a security key's, 0 for any other.
    """

    key: PublicKey
    namespace: str
    message_hash: str
    kind: str
    value: bytes
    flags: int = 0
    counter: int = 0

    @property
    def proven(self) -> tuple[str, ...]:
        """What a security key vouches for: that it was touched, that its PIN was given; nothing for any other key."""
        return tuple(word for word, flag in PROOFS.items() if self.key.is_security_key and self.flags & flag)


def parse(armor: bytes) -> Signature:
    """Return the one signature in ``armor``; raises BadSignature for anything but exactly one, in canonical form."""
    try:
        return _parse(armor)
    except BadSignature:
        raise
    except ValueError as error:
        raise BadSignature(f"the signature cannot be read: {error}") from error


def verify(statement: bytes, armor: bytes, namespace: str = NAMESPACE) -> Signature:
    """Return the signature if it is a valid one over exactly ``statement`` in ``namespace``; raises BadSignature.

    Whose key it is, and whether it may be used now, is for the policy to say.
    """
    signature = parse(armor)
    if signature.namespace != namespace:
        raise BadSignature(f"the signature was made for {signature.namespace[:60]!r}, not for {namespace!r}")
    from okto_change.approval import keycheck  # not every command meets a signature

    try:
        keycheck.check(signature, _signed(statement, signature))
    except ValueError as error:
        raise BadSignature("the signature does not fit the statement") from error
    return signature


def _parse(armor: bytes) -> Signature:
    match = _ARMOR.fullmatch(armor.decode("ascii"))
    if match is None:
        raise BadSignature("the signature block is not in strict form: one block, lines of 70, nothing before or after")
    text = match[1].replace("\n", "")
    blob = base64.b64decode(text, validate=True)
    if base64.b64encode(blob).decode("ascii") != text:
        raise BadSignature("the signature block is not canonical base64")
    wire = Wire(blob)
    if wire.take(len(_MAGIC)) != _MAGIC or wire.number() != 1:
        raise BadSignature("it is no SSH signature of version 1")
    key = parse_blob(wire.string())
    namespace, reserved, message_hash = wire.text(), wire.string(), wire.text()
    inner = Wire(wire.string())
    wire.end()
    if reserved or message_hash not in _MESSAGE_HASHES:
        raise BadSignature("the signature uses a reserved field or an unknown hash")
    kind, value = inner.text(), inner.string()
    flags, counter = (inner.take(1)[0], inner.number()) if key.is_security_key else (0, 0)
    inner.end()
    return Signature(key, namespace, message_hash, kind, value, flags, counter)


def _signed(statement: bytes, signature: Signature) -> bytes:
    digest = _MESSAGE_HASHES[signature.message_hash](statement).digest()
    parts = (signature.namespace.encode("ascii"), b"", signature.message_hash.encode("ascii"), digest)
    return _MAGIC + b"".join(map(string, parts))
