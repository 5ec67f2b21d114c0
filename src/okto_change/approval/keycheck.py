"""Whether a key made a signature over some bytes: ed25519, ECDSA, RSA, and security keys. The arithmetic is cryptography's."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from okto_change.approval.sshkeys import Wire

if TYPE_CHECKING:
    from okto_change.approval.sshsig import Signature

_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {"rsa-sha2-256": hashes.SHA256(), "rsa-sha2-512": hashes.SHA512()}
_CURVES: dict[str, tuple[ec.EllipticCurve, hashes.HashAlgorithm]] = {
    "nistp256": (ec.SECP256R1(), hashes.SHA256()),
    "nistp384": (ec.SECP384R1(), hashes.SHA384()),
    "nistp521": (ec.SECP521R1(), hashes.SHA512()),
}


def check(signature: Signature, signed: bytes) -> None:
    """Raise ValueError unless the signature is one of its key over ``signed``."""
    try:
        _check(signature, signed)
    except InvalidSignature as error:
        raise ValueError("it is none of this key") from error


def _check(signature: Signature, signed: bytes) -> None:
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
