"""Pinning a repository, and a policy that only its owners change, with the installed command."""

from __future__ import annotations

import json
import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from okto_change.demo import example
from okto_change.demo.example import RELEASE
from tests.plugins.world import Shop

WARM = True
FOLDER = Path(".okto-change/policy")


def fingerprint(shop: Shop, person: str = "ana") -> str:
    """Return what a person reads out."""
    shown = json.loads(shop.okto(person, "trust", "show", "--json").out)
    return str(shown["fingerprint"])


def pin(shop: Shop) -> None:
    """Pin the repository for everybody in the world: they share a home."""
    shop.okto("bruno", "trust", "init", "--expect", fingerprint(shop))


def write_version(shop: Shop, number: int, *, owners: str = "[ana, bruno]", quorum: int | None = 2) -> Path:
    """Write a strong version of the policy on top of the last one into Ana's clone."""
    folder = shop.world.clone("ana") / FOLDER
    last = (folder / f"{number - 1:04}.yaml").read_bytes()
    lines = [
        line
        for line in last.decode().splitlines()
        if not line.startswith(("version:", "policy_quorum:", "previous_sha256:", "  policy-owners:"))
    ]
    at = lines.index("groups:") + 1
    lines.insert(at, f"  policy-owners: {owners}")
    head = [f"version: {number}", f"previous_sha256: {sha256(last).hexdigest()}"]
    head += [f"policy_quorum: {quorum}"] if quorum else []
    file = folder / f"{number:04}.yaml"
    file.write_text("\n".join([*head, *lines]) + "\n")
    return file


def hand_over(shop: Shop, message: str) -> None:
    """Merge what Ana has, and have Bruno pull it."""
    shop.world.publish("ana", message)
    shop.world.git("bruno", "pull", "--quiet", "--ff-only")


def test_pinning_takes_the_fingerprint_that_was_read_out(shop: Shop) -> None:
    """Another one pins nothing; afterwards everything works as before, and other places are refused."""
    told = fingerprint(shop)
    said = shop.okto("bruno", "trust", "init", "--expect", "0000 " + told[5:], expect=2)
    assert "not the expected one" in said.err
    assert "nothing was pinned" in said.err
    shop.okto("bruno", "trust", "init", str(shop.world.folder / "origin.git"), "--expect", told)
    shown = json.loads(shop.okto("ana", "trust", "show", "--json").out)
    assert (shown["pinned_fingerprint"], shown["pinned_version"], shown["system"]) == (told, 1, False)
    shop.propose(RELEASE)
    shop.approve(RELEASE)
    shop.okto("bruno", "apply", RELEASE, "--env", "production")
    shop.world.git("bruno", "clone", "--quiet", "--bare", str(shop.world.folder / "origin.git"), "../fork.git")
    shop.world.git("bruno", "remote", "set-url", "origin", str(shop.world.folder / "fork.git"))
    assert "not among the repositories that are trusted here" in shop.okto("bruno", "check", RELEASE, expect=3).err


def test_without_a_terminal_nothing_is_pinned_unread(shop: Shop) -> None:
    """There is nobody to compare."""
    assert "--expect FINGERPRINT" in shop.okto("bruno", "trust", "init", expect=2).err


def test_a_rewritten_branch_is_accepted_by_pinning_again(shop: Shop) -> None:
    """The way back after a rightful force-push."""
    pin(shop)
    shop.world.git("ana", "commit", "--quiet", "--amend", "--message", "Reword")
    shop.world.git("ana", "push", "--quiet", "--force", "origin", "HEAD:main")
    shop.okto("ana", "new", "Something")
    said = shop.okto("ana", "submit", "something", "--env", "sandbox", expect=3).err
    assert "went backwards" in said
    assert "okto-change trust init" in said
    pin(shop)
    assert "went backwards" not in shop.okto("ana", "trust", "show").err


def test_a_policy_becomes_strong_and_then_takes_two(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both owners sign; one alone changes nothing, whatever is merged. ``ssh-keygen`` must agree."""
    pin(shop)
    write_version(shop, 2)
    missing = shop.okto("ana", "policy", "check", expect=1)
    assert "2 policy owners of version 2 must sign version 2, 0 did" in " ".join(missing.out.split())
    assert "policy_quorum: none -> 2" in missing.out
    shop.okto("ana", "policy", "sign", "--yes", "2")
    hand_over(shop, "Make the policy strong")
    told = shop.okto("bruno", "trust", "show")
    assert "version 2 of the policy is not signed by its owners" in told.err
    assert "going by the policy as it was accepted at" in told.err
    assert '"version": 1' in shop.okto("bruno", "trust", "show", "--json").out
    shop.okto("bruno", "policy", "sign", "--yes", "2")
    shop.world.publish("bruno", "Sign it as well")
    refusing = tmp_path / "ssh-keygen"
    refusing.write_text("#!/bin/sh\nexit 255\n")
    refusing.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        told = shop.okto("ana", "trust", "show", "--json")
    assert "ssh-keygen does not accept a signature by" in told.err
    assert '"version": 1' in told.out
    assert '"version": 2' in shop.okto("ana", "trust", "show", "--json").out


def test_both_sign_before_the_merge(shop: Shop) -> None:
    """On a branch, as a pull request goes; then a third version by one of them is refused."""
    pin(shop)
    write_version(shop, 2)
    for person in ("ana", "bruno"):
        if person == "bruno":
            (shop.world.clone("bruno") / FOLDER / "0002.yaml").write_bytes(
                (shop.world.clone("ana") / FOLDER / "0002.yaml").read_bytes()
            )
            (shop.world.clone("bruno") / FOLDER / "0002.ana.sig").write_bytes(
                (shop.world.clone("ana") / FOLDER / "0002.ana.sig").read_bytes()
            )
        signed = json.loads(shop.okto(person, "policy", "sign", "--yes", "2", "--json").out)
    assert signed["lacking"] == []
    (shop.world.clone("ana") / FOLDER / "0002.bruno.sig").write_bytes(
        (shop.world.clone("bruno") / FOLDER / "0002.bruno.sig").read_bytes()
    )
    for file in ("0002.yaml", "0002.ana.sig", "0002.bruno.sig"):
        (shop.world.clone("bruno") / FOLDER / file).unlink()
    assert "it can be merged" in shop.okto("ana", "policy", "check").out
    hand_over(shop, "Make the policy strong")
    shown = json.loads(shop.okto("bruno", "trust", "show", "--json").out)
    assert (shown["version"], shown["quorum"], shown["pinned_version"]) == (2, 2, 1)
    write_version(shop, 3, owners="[ana]", quorum=1)
    shop.okto("ana", "policy", "sign", "--yes", "3")
    hand_over(shop, "Take over")
    assert '"version": 2' in shop.okto("bruno", "trust", "show", "--json").out
    example.copy_change(RELEASE, shop.world.clone("bruno"))
    shop.okto("bruno", "lock", RELEASE, "--env", "sandbox")
    shop.world.publish("bruno", "A change")
    said = shop.okto("bruno", "apply", RELEASE, "--env", "sandbox", expect=3).err
    assert "2 policy owners of version 2 must sign version 3, 1 did" in said


def test_who_owns_nothing_signs_nothing(shop: Shop) -> None:
    """Bruno is no owner in this version."""
    write_version(shop, 2, owners="[ana]", quorum=1)
    for file in (shop.world.clone("ana") / FOLDER).iterdir():
        (shop.world.clone("bruno") / FOLDER / file.name).write_bytes(file.read_bytes())
    said = shop.okto("bruno", "policy", "sign", "--yes", "2", expect=3)
    assert "bruno is not in policy-owners" in said.err


def test_a_version_that_follows_on_nothing_is_not_signed(shop: Shop) -> None:
    """The hint has the line to write."""
    file = write_version(shop, 2)
    text = file.read_text()
    digest = sha256((file.parent / "0001.yaml").read_bytes()).hexdigest()
    file.write_text(text.replace(digest, "0" * 64))
    said = shop.okto("ana", "policy", "sign", "--yes", "2", expect=1)
    assert f"previous_sha256: {digest}" in said.err


def test_a_decision_can_be_checked_by_hand(shop: Shop, tmp_path: Path) -> None:
    """One line of shell with the exported keys, as docs/howto says; an edited statement fails it."""
    shop.propose(RELEASE)
    shop.approve(RELEASE)
    shop.okto("bruno", "policy", "export-signers")
    (tmp_path / "signers").write_text(shop.okto("bruno", "policy", "export-signers").out)
    shop.world.git("bruno", "fetch", "--quiet", "origin", "okto-approvals")
    names = shop.world.git("bruno", "ls-tree", "-r", "--name-only", "FETCH_HEAD").split()
    name = next(name for name in names if "bruno-approve" in name)
    content = shop.world.git("bruno", "show", f"FETCH_HEAD:{name}")
    for text, code in ((content, 0), (content.replace("production", "Production"), 255)):
        (tmp_path / "f").write_text(text)
        line = (
            "sed '/^-----BEGIN SSH/,$d' f | ssh-keygen -Y verify -f signers -I bruno -n decision@okto-change "
            "-s <(sed -n '/^-----BEGIN SSH/,$p' f)"
        )
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr


@pytest.mark.parametrize("command", [("trust",), ("policy",)])
def test_a_group_alone_shows_its_help(shop: Shop, command: tuple[str, ...]) -> None:
    """As `audit` does."""
    assert "Usage: okto-change" in shop.okto("ana", *command).out
