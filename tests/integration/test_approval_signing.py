"""Signing with ssh-keygen, its second opinion, and who is at the keyboard."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from okto_change.approval import identity, signature
from okto_change.approval.rulebook import Policy
from okto_change.approval.schema import read
from okto_change.approval.signature import BadSignature
from okto_change.errors import KeyUnusable
from tests.integration.approval_repos import policy_text, run
from tests.plugins.people import Keys, Person
from tests.unit.approval.helpers import security_key

CONTENT = b"a statement\n"


@pytest.fixture
def policy(keys: Keys) -> Policy:
    """Return a policy of Ana and Bruno."""
    return read(policy_text(keys.ana, keys.bruno).encode(), "policy.yaml")


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run an ssh-agent for the length of the test."""
    socket = home / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    for _ in range(200):
        if socket.exists():
            break
        time.sleep(0.01)
    yield
    process.terminate()
    process.wait()


def make_key(folder: Path, *options: str, passphrase: str = "") -> Path:
    """Generate a key with ssh-keygen."""
    run("ssh-keygen", "-q", "-N", passphrase, "-f", str(folder / "key"), *options)
    return folder / "key"


@pytest.mark.parametrize(
    "options",
    [("-t", "ed25519"), ("-t", "ecdsa", "-b", "256"), ("-t", "ecdsa", "-b", "521"), ("-t", "rsa", "-b", "3072")],
    ids=lambda options: "-".join(options[1::2]),
)
def test_what_ssh_keygen_signs_verifies_natively(home: Path, options: tuple[str, ...]) -> None:
    """Both readers agree on a good signature, and on a bad one."""
    armor = signature.sign(CONTENT, make_key(home, *options))
    key = signature.verify(CONTENT, armor).key
    assert signature.second_opinion(CONTENT, armor, key) is True
    assert signature.second_opinion(CONTENT + b"\n", armor, key) is False
    with pytest.raises(BadSignature):
        signature.verify(CONTENT + b"\n", armor)


def test_a_signature_for_another_namespace_convinces_nobody(keys: Keys) -> None:
    """A signature for git is none for a decision."""
    armor = signature.sign(CONTENT, keys.ana.key, namespace="git")
    with pytest.raises(BadSignature, match="was made for 'git'"):
        signature.verify(CONTENT, armor)
    assert signature.second_opinion(CONTENT, armor, identity.public_key(keys.ana.key)) is False


def test_we_refuse_what_ssh_keygen_lets_through(keys: Keys) -> None:
    """Bytes after the signature are the reason for a reader of our own."""
    armor = signature.sign(CONTENT, keys.ana.key) + b"trailing garbage\n"
    assert signature.second_opinion(CONTENT, armor, identity.public_key(keys.ana.key)) is True
    with pytest.raises(BadSignature, match="strict form"):
        signature.verify(CONTENT, armor)


def test_ssh_keygen_agrees_on_security_keys() -> None:
    """An imitated FIDO signature is accepted by both; whether it was touched only we tell."""
    key = security_key()
    for flags in (0, 1, 5):
        armor = key.sign(CONTENT, flags=flags)
        signed = signature.verify(CONTENT, armor)
        assert signed.flags == flags
        assert signature.second_opinion(CONTENT, armor, signed.key) is True


def test_a_passphrase_without_a_terminal_fails_at_once(home: Path) -> None:
    """No prompt that nobody sees; the hint says what to do."""
    key = make_key(home, "-t", "ed25519", passphrase="open sesame")
    with pytest.raises(KeyUnusable, match="passphrase") as caught:
        signature.sign(CONTENT, key, interactive=False)
    assert "ssh-add" in (caught.value.hint or "")


def test_a_key_in_the_agent_signs_by_its_public_half(agent: None, home: Path) -> None:
    """Passphrase keys and hardware keys work through the agent; the private file is not needed."""
    key = make_key(home, "-t", "ed25519")
    run("ssh-add", "-q", str(key))
    public = key.with_suffix(".pub").read_text().strip()
    key.unlink()
    for spec in (public, key.with_suffix(".pub")):
        assert signature.verify(CONTENT, signature.sign(CONTENT, spec)).key.line in public


def test_a_key_that_cannot_sign_says_why(home: Path, keys: Keys) -> None:
    """Missing, not a key, readable by others, only the public half."""
    copy = home / "copy"
    copy.write_bytes(keys.ana.key.read_bytes())
    copy.chmod(0o644)
    garbage, lonely = home / "garbage", home / "lonely.pub"
    garbage.write_text("no key\n")
    garbage.chmod(0o600)
    lonely.write_text(keys.ana.public + "\n")
    for key, words in ((home / "none", "no such file"), (garbage, "no OpenSSH key"), (lonely, "private half")):
        with pytest.raises(KeyUnusable, match=words):
            signature.sign(CONTENT, key)
    if os.geteuid() == copy.stat().st_uid:
        with pytest.raises(KeyUnusable, match="read by others"):
            signature.sign(CONTENT, copy)


def test_a_named_key_tells_the_person(policy: Policy, keys: Keys) -> None:
    """``--key`` names a private file, a public file or a line."""
    for key in (keys.bruno.key, keys.bruno.key.with_suffix(".pub"), keys.bruno.public):
        assert identity.whoami(policy, key).person == "bruno"


def test_an_unknown_key_is_told_how_to_be_enrolled(policy: Policy, keys: Keys) -> None:
    """The hint holds the lines for the policy."""
    with pytest.raises(KeyUnusable, match="belongs to nobody in the policy") as caught:
        identity.whoami(policy, keys.mallory.key)
    assert " ".join(keys.mallory.public.split()[:2]) in (caught.value.hint or "")


def test_a_revoked_key_cannot_be_used(keys: Keys) -> None:
    """Whoever lost a key hears of it before signing."""
    text = policy_text(keys.ana, keys.bruno).replace("valid_from", "revoked: 2026-01-01T00:00:00Z, valid_from")
    with pytest.raises(KeyUnusable, match=r"ana cannot sign with .* was revoked"):
        identity.whoami(read(text.encode(), "policy.yaml"), keys.ana.key)


def install(home: Path, *people: Person) -> None:
    """Put keys into ``~/.ssh``."""
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    for person in people:
        for suffix in ("", ".pub"):
            file = folder / f"id_{person.name}{suffix}"
            file.write_bytes(person.key.with_name(person.key.name + suffix).read_bytes())
            file.chmod(0o600)


def test_without_a_named_key_the_usual_places_are_searched(home: Path, policy: Policy, keys: Keys) -> None:
    """First git's signing key, then the agent and ``~/.ssh``; strangers' keys there do not matter."""
    with pytest.raises(KeyUnusable, match="no key of yours is in the policy"):
        identity.whoami(policy)
    install(home, keys.mallory, keys.bruno)
    assert identity.whoami(policy).person == "bruno"
    assert identity.whoami(policy, configured=str(keys.ana.key)).person == "ana"
    assert identity.whoami(policy, configured=str(keys.mallory.key)).person == "bruno"


def test_keys_of_several_people_need_a_choice(home: Path, policy: Policy, keys: Keys) -> None:
    """On a shared machine nobody signs as somebody else by accident."""
    install(home, keys.ana, keys.bruno)
    with pytest.raises(KeyUnusable, match="several people are at hand: ana, bruno"):
        identity.whoami(policy)


def test_the_agent_s_key_tells_the_person(agent: None, policy: Policy, keys: Keys) -> None:
    """A key that only the agent holds is found."""
    run("ssh-add", "-q", str(keys.bruno.key))
    assert identity.whoami(policy).person == "bruno"


def test_a_public_half_alone_proves_nothing(home: Path, policy: Policy, keys: Keys) -> None:
    """Presence is proven by signing a challenge."""
    identity.prove(identity.whoami(policy, keys.ana.key))
    lonely = home / "ana.pub"
    lonely.write_text(keys.ana.public + "\n")
    with pytest.raises(KeyUnusable, match="private half"):
        identity.prove(identity.whoami(policy, lonely))


def test_another_key_cannot_sign_in_a_person_s_name(home: Path, policy: Policy, keys: Keys) -> None:
    """A private file beside somebody else's public file is found out before anything is published."""
    forged = home / "forged"
    forged.write_bytes(keys.mallory.key.read_bytes())
    forged.chmod(0o600)
    forged.with_name("forged.pub").write_text(keys.ana.public + "\n")
    with pytest.raises(KeyUnusable):
        identity.sign(CONTENT, identity.whoami(policy, forged))
