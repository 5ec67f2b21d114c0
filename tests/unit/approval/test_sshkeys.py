"""What a policy may name as a key."""

from __future__ import annotations

import base64

import pytest

from okto_change.approval.sshkeys import Wire, parse_blob, parse_line, string
from tests.unit.approval.helpers import ed25519_key, mpint, security_key


def test_a_key_is_the_same_whatever_its_comment() -> None:
    """Comments play no part in whose key it is."""
    line = ed25519_key().line
    assert parse_line(line) == parse_line(line + " and more words")


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints() -> None:
    """The known answer is ``ssh-keygen -lf`` of a fixed key."""
    blob = string(b"ssh-ed25519") + string(bytes(32))
    assert parse_blob(blob).fingerprint == "SHA256:kmYcvdi2GkPeWxB6XLjrZB8JHsy2Hm8luHMFp9GMvqk"


def test_a_security_key_carries_its_application() -> None:
    """The application is part of what a FIDO signature covers."""
    key = parse_line(security_key().line)
    assert key.is_security_key
    assert key.application == "ssh:"


def test_a_small_rsa_key_is_refused() -> None:
    """RSA below 3072 bits is no key for approvals."""
    blob = string(b"ssh-rsa") + mpint(65537) + mpint(2**2047 + 1)
    with pytest.raises(ValueError, match="2048 bits"):
        parse_blob(blob)


def test_a_certificate_is_refused() -> None:
    """Certificates name principals, which policy does not know."""
    name = b"ssh-ed25519-cert-v01@openssh.com"
    line = f"{name.decode()} {base64.b64encode(string(name) + bytes(40)).decode()}"
    with pytest.raises(ValueError, match="a certificate"):
        parse_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 AAAA!!!!",
        "restrict ssh-ed25519 AAAA",
        "ssh-dss " + base64.b64encode(string(b"ssh-dss")).decode(),
        "ssh-ed25519 " + base64.b64encode(string(b"ssh-rsa") + mpint(3) + mpint(2**3100 + 1)).decode(),
        "ssh-ed25519 " + base64.b64encode(string(b"ssh-ed25519") + string(bytes(31))).decode(),
        "ssh-ed25519 " + base64.b64encode(string(b"ssh-ed25519") + string(bytes(32)) + b"x").decode(),
        "ecdsa-sha2-nistp256 "
        + base64.b64encode(string(b"ecdsa-sha2-nistp256") + string(b"nistp384") + string(bytes(97))).decode(),
        "ecdsa-sha2-nistp256 "
        + base64.b64encode(string(b"ecdsa-sha2-nistp256") + string(b"nistp256") + string(b"\2" + bytes(32))).decode(),
    ],
)
def test_what_is_no_key_is_refused(line: str) -> None:
    """Damaged, foreign and dressed-up keys raise ValueError, never anything else."""
    with pytest.raises(ValueError, match=r".+"):
        parse_line(line)


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\x00", b"\x00\x01"])
def test_a_number_must_be_positive_and_shortest(raw: bytes) -> None:
    """Two encodings of one number would be two signatures."""
    with pytest.raises(ValueError, match="shortest form"):
        Wire(string(raw)).positive()
