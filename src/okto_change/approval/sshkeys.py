"""OpenSSH public keys as text and as wire format: what a policy may name. No cryptography here."""

from __future__ import annotations

import base64
import binascii
import hashlib

from okto_change.model.base import record

CURVES = {"nistp256": 32, "nistp384": 48, "nistp521": 66}
"""curve name -> bytes of a coordinate"""
SMALLEST_RSA = 3072
SECURITY_KEYS = frozenset({"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"})
ALGORITHMS = SECURITY_KEYS | {"ssh-ed25519", "ssh-rsa"} | {f"ecdsa-sha2-{curve}" for curve in CURVES}


class Wire:
    """Reads the length-prefixed fields of RFC 4251 strictly; every method raises ValueError on bad input."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes."""
        if count > len(self._data):
            raise ValueError("it ends too early")
        part, self._data = self._data[:count], self._data[count:]
        return part

    def number(self) -> int:
        """Return a uint32."""
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        """Return a length-prefixed byte string."""
        return self.take(self.number())

    def text(self) -> str:
        """Return a length-prefixed ASCII string."""
        return self.string().decode("ascii")

    def positive(self) -> int:
        """Return an mpint that is positive and in its shortest form."""
        raw = self.string()
        if not raw or raw[0] & 0x80 or (raw[0] == 0 and not (len(raw) > 1 and raw[1] & 0x80)):
            raise ValueError("a number in it is not positive or not in its shortest form")
        return int.from_bytes(raw, "big")

    def end(self) -> None:
        """Raise ValueError if bytes are left."""
        if self._data:
            raise ValueError(f"{len(self._data)} bytes follow its end")


def string(data: bytes) -> bytes:
    """Return ``data`` as a length-prefixed string."""
    return len(data).to_bytes(4, "big") + data


@record
class PublicKey:
    """A public key: its algorithm and its wire format; comments play no part in equality.

    ``application`` is the application of a security key ('' for any other).
    """

    algorithm: str
    blob: bytes
    application: str = ""

    @property
    def line(self) -> str:
        """The key as in an ``authorized_keys`` file, without a comment."""
        return f"{self.algorithm} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """``SHA256:`` and unpadded base64, as ``ssh-keygen -l`` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")

    @property
    def is_security_key(self) -> bool:
        """Whether the private half lives in a FIDO token."""
        return self.algorithm in SECURITY_KEYS


def parse_blob(blob: bytes) -> PublicKey:
    """Return the key in wire format ``blob``; ValueError says what is wrong (certificate, RSA below 3072 bits, ...)."""
    wire = Wire(blob)
    algorithm = wire.text()
    if algorithm not in ALGORITHMS:
        kind = "a certificate" if "-cert-" in algorithm else f"of the type {algorithm[:60]!r}"
        raise ValueError(f"it is {kind}; allowed are {', '.join(sorted(ALGORITHMS))}")
    _numbers(algorithm, wire)
    application = wire.text() if algorithm in SECURITY_KEYS else ""
    wire.end()
    return PublicKey(algorithm, blob, application)


def parse_line(line: str) -> PublicKey:
    """Return the key of ``<algorithm> <base64> [comment]``; ValueError says what is wrong. Options are not allowed."""
    words = line.split()
    if len(words) < 2 or (words[0] not in ALGORITHMS and not words[1].startswith("AAAA")):
        raise ValueError("expected '<type> <base64> [comment]', as in a .pub file")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except binascii.Error as error:
        raise ValueError("the base64 part is damaged") from error
    try:
        key = parse_blob(blob)
    except ValueError as error:
        raise ValueError(f"not a usable key: {error}") from error
    if key.algorithm != words[0]:
        raise ValueError(f"it says {words[0]} but holds {key.algorithm}")
    return key


def _numbers(algorithm: str, wire: Wire) -> None:
    if algorithm == "ssh-rsa":
        wire.positive()
        bits = wire.positive().bit_length()
        if bits < SMALLEST_RSA:
            raise ValueError(f"it is an RSA key of {bits} bits; at least {SMALLEST_RSA} are needed")
    elif "ed25519" in algorithm:
        if len(wire.string()) != 32:
            raise ValueError("an Ed25519 key has 32 bytes")
    else:
        curve = wire.text()
        if not algorithm.removesuffix("@openssh.com").endswith(curve) or curve not in CURVES:
            raise ValueError("its curve does not fit its type")
        point = wire.string()
        if len(point) != 1 + 2 * CURVES[curve] or point[0] != 4:
            raise ValueError("its point is not an uncompressed point of the curve")
