"""What git can be made to show or run: rows 40 to 45."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.attacks.stage import CHANGE, FOLDER, LOCK, Stage
from tests.integration.approval_repos import alarm

LACKING = "step 7 (approvals): dba: 1 more (bruno)"


def _evil_lock(stage: Stage) -> tuple[str, str]:
    """Return the blob of the lock and that of one with another statement in it."""
    honest = stage.git("rev-parse", f"HEAD:{LOCK}")
    content = (stage.work / LOCK).read_bytes().replace(b"SETTLED", b"STOLEN")
    return honest, stage.run("git", "hash-object", "-w", "--stdin", feed=content).decode().strip()


def test_row_40_a_replace_ref_swaps_the_lock(stage: Stage) -> None:
    """In the clone and on the remote git shows the other bytes; what is judged is what the hash says."""
    stage.approve("bruno")
    honest, evil = _evil_lock(stage)
    stage.git("replace", honest, evil)
    stage.git("push", "--quiet", "origin", "refs/replace/*:refs/replace/*")
    assert "STOLEN" in stage.git("show", f"HEAD:{LOCK}")
    said = stage.cleared()
    assert stage.digest().removeprefix("sha256:") in said
    assert "replace" not in stage.refs(stage.mirror)
    _replace_in_mirror(stage, honest)
    assert stage.digest().removeprefix("sha256:") in stage.cleared()


def _replace_in_mirror(stage: Stage, honest: str) -> None:
    """Write a replace ref into the mirror itself, as somebody with the user's rights could."""
    content = (stage.work / LOCK).read_bytes().replace(b"SETTLED", b"STOLEN")
    evil = stage.run("git", f"--git-dir={stage.mirror}", "hash-object", "-w", "--stdin", feed=content).decode().strip()
    stage.run("git", f"--git-dir={stage.mirror}", "update-ref", f"refs/replace/{honest}", evil)


def test_row_40_an_object_of_the_mirror_holds_other_bytes(stage: Stage) -> None:
    """Its name is the hash of other bytes: a loose object that lies is found out, and removed it is cleared again."""
    stage.approve("bruno")
    stage.cleared()
    honest, evil = _evil_lock(stage)
    objects = stage.work / ".git/objects"
    place = stage.mirror / "objects" / honest[:2] / honest[2:]
    packs = list((stage.mirror / "objects/pack").iterdir())
    aside = stage.folder / "aside"
    aside.mkdir()
    for pack in packs:
        shutil.move(pack, aside)
    for pack in aside.glob("*.pack"):
        stage.run("git", f"--git-dir={stage.mirror}", "unpack-objects", "-q", feed=pack.read_bytes())
    place.chmod(0o644)
    shutil.copyfile(objects / evil[:2] / evil[2:], place)
    stage.refused(f"object {honest[:12]} does not hash to its name", code=1)
    shutil.copyfile(objects / honest[:2] / honest[2:], place)
    stage.cleared()


@pytest.mark.parametrize("what", ["shallow", "info/grafts", "objects/info/alternates", "promisor", "config", "hooks"])
def test_row_41_the_mirror_borrows_or_forgets(stage: Stage, what: str) -> None:
    """Grafts, alternates and a shallow end cut off the history of refusals; a mirror that is not as we make it is not read."""
    stage.approve("bruno")
    stage.publish(stage.signed("davi", "reject", age=30))
    stage.okto("verify", CHANGE, "--env", "prod")
    tip = stage.git("rev-parse", "okto-approvals", cwd=stage.origin)
    place = stage.mirror / what
    if what == "promisor":
        place = stage.mirror / "objects/pack/pack-0.promisor"
    if what == "config":
        place.write_text(place.read_text() + "[core]\n\tfsmonitor = touch /tmp/x\n")
    elif what == "hooks":
        place.mkdir()
    else:
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"{tip}\n" if what != "objects/info/alternates" else f"{stage.work}/.git/objects\n")
    stage.refused("our copy of the repository was changed by somebody else", code=1)
    shutil.rmtree(stage.mirror)
    stage.refused("step 6 (veto)")
    stage.publish(stage.signed("davi", "revoke", age=5))
    stage.cleared()


def test_row_42_attributes_show_other_bytes(stage: Stage) -> None:
    """Filters, ident, line ends and encodings rewrite files in the working tree and in archives; blobs stay."""
    stage.approve("bruno")
    attributes = "*.sql ident eol=crlf working-tree-encoding=UTF-16 filter=evil export-subst\n*.json filter=evil\n"
    stage.git("config", "filter.evil.smudge", "sed s/SETTLED/STOLEN/")
    stage.git("config", "filter.evil.clean", "cat")
    stage.write({".gitattributes": attributes})
    stage.git("add", ".gitattributes")
    stage.git("commit", "--quiet", "--message", "Attributes")
    stage.git("push", "--quiet", "origin", "HEAD:main")
    digest = stage.digest()
    shutil.rmtree(stage.work / FOLDER)
    stage.git("checkout", "--", FOLDER)
    assert b"STOLEN" in (stage.work / LOCK).read_bytes()
    assert digest.removeprefix("sha256:") in stage.cleared()


def test_row_43_the_clone_has_evil_settings_and_hooks(stage: Stage) -> None:
    """Nothing of them runs when decisions are judged, nor when one is signed and published."""
    script, fired = alarm(stage.folder)
    for name in (
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "gpg.ssh.program",
        "gpg.program",
        "diff.external",
        "core.alternateRefsCommand",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "credential.helper",
        "core.gitProxy",
        "uploadpack.packObjectsHook",
    ):
        stage.git("config", name, str(script))
    hooks = stage.work / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("pre-commit", "pre-push", "post-checkout", "reference-transaction", "post-index-change", "commit-msg"):
        shutil.copy(script, hooks / name)
    stage.refused(LACKING)
    stage.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person="bruno")
    stage.cleared()
    assert not fired.exists(), fired.read_text()


def test_row_44_the_remote_of_the_clone_is_another(stage: Stage) -> None:
    """A pinned machine takes the URL of its pin file; the clone's own settings only choose among those that are pinned."""
    fork = stage.folder / "fork.git"
    shutil.copytree(stage.origin, fork)
    told = json.loads(stage.okto("trust", "show", "--json").out)["fingerprint"]
    stage.cleared("trust", "init", str(stage.origin), "--expect", str(told))
    approval = stage.signed("bruno", "approve", "dba")
    place = stage.tampering()
    stage.git("remote", "set-url", "origin", str(fork), cwd=place)
    stage.publish(approval)
    stage.git("remote", "set-url", "origin", str(stage.origin), cwd=place)
    stage.git("config", f"url.{fork}.insteadOf", str(stage.origin))
    stage.refused(LACKING)
    stage.git("config", "--unset", f"url.{fork}.insteadOf")
    stage.git("remote", "set-url", "origin", str(fork))
    stage.refused("is not among the repositories that are trusted here")
    stage.git("remote", "set-url", "origin", str(stage.origin))
    stage.approve("bruno")
    stage.cleared()
