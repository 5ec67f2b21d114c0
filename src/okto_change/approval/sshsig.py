"""OpenSSH signatures in the namespace ``decision@okto-change``: strict armor and native verification.

Native verification is needed because ``ssh-keygen -Y verify`` accepts what we must not: trailing bytes, a second
signature, security keys that nobody touched. Signing and the second opinion are in ``sshkeygen``.
"""

from __future__ import annotations

import base64
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

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
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}


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
    signed = _signed(statement, signature)
    try:
        _check(signature, signed)
    except (InvalidSignature, ValueError) as error:
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


def _check(signature: Signature, signed: bytes) -> None:
    """Raise InvalidSignature or ValueError unless the signature is one of its key over ``signed``."""
    key = signature.key
    if key.algorithm == "ssh-rsa":
        _check_rsa(signature, signed)
        return
    if signature.kind != key.algorithm:
        raise ValueError("the signature's algorithm is not the key's")
    if key.is_security_key:
        flags = bytes([signature.flags]) + signature.counter.to_bytes(4, "big")
        signed = hashlib.sha256(key.application.encode("ascii")).digest() + flags + hashlib.sha256(signed).digest()
    wire = Wire(key.blob)
    wire.string()
    if "ed25519" in key.algorithm:
        Ed25519PublicKey.from_public_bytes(wire.string()).verify(signature.value, signed)
    else:
        _check_ecdsa(wire.text(), wire.string(), signature.value, signed)


def _check_ecdsa(curve: str, point: bytes, value: bytes, signed: bytes) -> None:
    group, digest = _CURVES[curve]
    wire = Wire(value)
    encoded = utils.encode_dss_signature(wire.positive(), wire.positive())
    wire.end()
    ec.EllipticCurvePublicKey.from_encoded_point(group, point).verify(encoded, signed, ec.ECDSA(digest))


def _check_rsa(signature: Signature, signed: bytes) -> None:
    if signature.kind not in _RSA_HASHES:
        raise ValueError("an RSA signature must use SHA-2")
    wire = Wire(signature.key.blob)
    wire.string()
    exponent, modulus = wire.positive(), wire.positive()
    public = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if len(signature.value) != (modulus.bit_length() + 7) // 8:
        raise ValueError("the RSA signature has the wrong length")
    public.verify(signature.value, signed, padding.PKCS1v15(), _RSA_HASHES[signature.kind])
