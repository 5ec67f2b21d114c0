"""OpenSSH signatures, verified strictly."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from okto_change.approval.sshsig import BEGIN, END, BadSignature, parse, verify
from tests.unit.approval.helpers import CURVES, SoftKey, armor, ed25519_key, security_key

CONTENT = b"the statement\n"
RSA = rsa.generate_private_key(65537, 3072)
KEYS = [
    ed25519_key(),
    security_key(),
    SoftKey("ssh-rsa", RSA),
    *(SoftKey(f"ecdsa-sha2-{name}", ec.generate_private_key(curve)) for name, (curve, _) in CURVES.items()),
    SoftKey("sk-ecdsa-sha2-nistp256@openssh.com", ec.generate_private_key(ec.SECP256R1())),
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_every_allowed_kind_of_key_verifies(key: SoftKey) -> None:
    """A signature over exactly the statement is accepted and tells its key."""
    assert verify(CONTENT, key.sign(CONTENT)).key.line == key.line.removesuffix(" comment")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_an_edited_statement_does_not_verify(key: SoftKey) -> None:
    """One byte more, less or other is another statement."""
    signature = key.sign(CONTENT)
    for edited in (CONTENT + b"\n", CONTENT[:-1], CONTENT.replace(b"s", b"z", 1), CONTENT.replace(b"\n", b"\r\n")):
        with pytest.raises(BadSignature, match="does not fit"):
            verify(edited, signature)


def test_a_signature_for_another_purpose_is_refused() -> None:
    """The same key signs commits and files; their namespaces are not ours."""
    for namespace in ("git", "file", "", "decision@okto-changes"):
        with pytest.raises(BadSignature, match="was made for"):
            verify(CONTENT, ed25519_key().sign(CONTENT, namespace))


def test_another_key_in_the_armor_does_not_verify() -> None:
    """Replacing the key that a signature names breaks the signature."""
    ours, theirs = ed25519_key(), ed25519_key()
    forged = SoftKey("ssh-ed25519", theirs.private).sign(CONTENT)
    blob = base64.b64decode(b"".join(forged.splitlines()[1:-1])).replace(theirs.blob, ours.blob)
    with pytest.raises(BadSignature, match="does not fit"):
        verify(CONTENT, armor(blob))


def test_a_signature_of_another_algorithm_is_refused() -> None:
    """The signature's algorithm must be the key's; RSA with SHA-1 is none."""
    for key, kind in ((ed25519_key(), "ssh-rsa"), (SoftKey("ssh-rsa", RSA), "ssh-rsa")):
        with pytest.raises(BadSignature, match="does not fit"):
            verify(CONTENT, key.sign(CONTENT, kind=kind))


def test_flags_of_a_security_key_are_part_of_what_is_signed() -> None:
    """Touch cannot be claimed afterwards."""
    key = security_key()
    assert verify(CONTENT, key.sign(CONTENT, flags=0)).flags == 0
    blob = base64.b64decode(b"".join(key.sign(CONTENT, flags=0).splitlines()[1:-1]))
    touched = blob[:-5] + b"\x01" + blob[-4:]
    with pytest.raises(BadSignature, match="does not fit"):
        verify(CONTENT, armor(touched))


def mangled() -> dict[str, bytes]:
    """Return one valid signature, mangled in many ways."""
    good = ed25519_key().sign(CONTENT)
    lines = good.decode().splitlines()
    blob = base64.b64decode("".join(lines[1:-1]))
    body = "".join(lines[1:-1])
    return {
        "nothing": b"",
        "two of them": good + good,
        "bytes after": good + b"\n",
        "bytes before": b"\n" + good,
        "carriage returns": good.replace(b"\n", b"\r\n"),
        "no last line feed": good[:-1],
        "one long line": f"{BEGIN}\n{body}\n{END}\n".encode(),
        "short lines": f"{BEGIN}\n{body[:60]}\n{body[60:]}\n{END}\n".encode(),
        "an empty line": good.replace(b"\n", b"\n\n", 1),
        "a space": good.replace(b"\n", b" \n", 1),
        "bytes after the blob": armor(blob + b"\0"),
        "a cut blob": armor(blob[:-1]),
        "another magic": armor(b"SSHSIH" + blob[6:]),
        "another version": armor(blob[:9] + b"\2" + blob[10:]),
        "not ASCII": good.replace(b"A", "Ā".encode(), 1),
        "another hash": armor(blob.replace(b"sha512", b"sha384")),
    }


@pytest.mark.parametrize("how", mangled())
def test_a_mangled_signature_is_refused(how: str) -> None:
    """Only one form of a signature exists; every other is refused, without a crash."""
    with pytest.raises(BadSignature):
        verify(CONTENT, mangled()[how])


def test_every_cut_and_flip_of_the_blob_is_refused() -> None:
    """No prefix and no single changed byte of a signature verifies."""
    key = ed25519_key()
    blob = base64.b64decode(b"".join(key.sign(CONTENT).splitlines()[1:-1]))
    for at in range(len(blob)):
        for broken in (blob[:at], blob[:at] + bytes([blob[at] ^ 0x41]) + blob[at + 1 :]):
            with pytest.raises(BadSignature):
                verify(CONTENT, armor(broken))


def test_parsing_needs_no_statement() -> None:
    """A signature tells key and namespace before anything is verified."""
    key = SoftKey("ssh-ed25519", ed25519.Ed25519PrivateKey.generate())
    assert parse(key.sign(CONTENT, "git")).namespace == "git"
