"""The hook of docs/howto/forge.md, in a real bare repository, against real pushes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.approval_repos import POLICY, Scene, make_scene, policy_text
from tests.plugins.docs import ROOT
from tests.plugins.people import GitRepo, Keys


@pytest.fixture
def scene(git_repo: GitRepo, keys: Keys) -> Scene:
    """Return a repository whose origin has the hook, with a policy and two decisions."""
    page = (ROOT / "docs/howto/forge.md").read_text(encoding="utf-8")
    found = re.search(r"```sh\n(.*?)```", page, re.DOTALL)
    assert found is not None
    hook = git_repo.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(found[1], encoding="utf-8")
    hook.chmod(0o755)
    scene = make_scene(git_repo, keys)
    scene.decide(keys.ana, "submit")
    scene.decide(keys.bruno, "approve", "approvers")
    return scene


def push(clone: GitRepo, *what: str) -> str:
    """Push; return what the hook said, '' if it took it."""
    command = ["git", "-C", str(clone.path), "push", "--quiet", "origin", *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    said = [line for line in done.stderr.splitlines() if "okto-change: " in line]
    assert bool(done.returncode) == bool(said), done.stderr
    return said[0] if said else ""


def test_the_daily_work_goes_through(scene: Scene, keys: Keys) -> None:
    """Changes, edits of changes, new versions of the policy, decisions, branches of one's own."""
    scene.repo.commit("A change", {"changes/x/plan.yaml": "a\n"})
    scene.repo.commit("Edit it", {"changes/x/plan.yaml": "b\n"})
    second = policy_text(keys.ana, keys.bruno, need=2).replace("version: 1", "version: 2")
    scene.repo.commit("A version", {POLICY.replace("0001", "0002"): second})
    assert push(scene.repo, "HEAD:topic") == ""
    assert push(scene.repo, ":topic") == ""
    scene.decide(keys.bruno, "reject")
    assert [decision.person for decision in scene.decisions()] == ["ana", "bruno", "bruno"]


@pytest.mark.parametrize("branch", ["main", "okto-approvals"])
def test_no_branch_goes_back_or_away(scene: Scene, branch: str) -> None:
    """Neither by force nor by deletion."""
    scene.repo.git("fetch", "--quiet", "origin")
    assert "only moves forward" in push(scene.repo, f"+origin/{branch}~1:{branch}")
    scene.repo.git("-C", str(scene.repo.origin), "config", "receive.denyDeleteCurrent", "ignore")
    assert "never deleted" in push(scene.repo, f":{branch}")


def test_no_version_of_the_policy_is_edited_or_removed(scene: Scene) -> None:
    """It is added to."""
    file: Path = scene.repo.path / POLICY
    file.write_text(file.read_text() + "# softer\n")
    scene.repo.commit("Edit", push=False)
    said = push(scene.repo, "HEAD:main")
    assert "edited, removed or is none" in said and POLICY in said
    file.unlink()
    scene.repo.commit("Remove", push=False)
    assert "edited, removed or is none" in push(scene.repo, "HEAD:main")


def test_no_decision_is_edited_removed_or_hidden_among_other_things(scene: Scene) -> None:
    """Nor moved; and nothing else belongs on the branch."""
    clone = scene.on_approvals()
    (name,) = [name for name in clone.git("ls-files").split() if "bruno" in name]
    start = clone.git("rev-parse", "HEAD")
    for change in (["rm", "--quiet", name], ["mv", name, name.replace("bruno", "carla")]):
        clone.git(*change)
        clone.commit("Tamper", push=False)
        assert "edited, removed or is none" in push(clone, "HEAD:okto-approvals")
        clone.git("reset", "--quiet", "--hard", start)
    clone.commit("Tamper", {name: "garbage\n"}, push=False)
    assert "edited, removed or is none" in push(clone, "HEAD:okto-approvals")
    clone.git("reset", "--quiet", "--hard", start)
    clone.commit("Litter", {"README.md": "x\n"}, push=False)
    assert "only decisions belong" in push(clone, "HEAD:okto-approvals")


def test_no_replaced_history_makes_a_rewritten_branch_look_like_a_longer_one(scene: Scene) -> None:
    """A pushed ``refs/replace`` tells the server that the new tip has the old one in its past; the hook does not listen."""
    clone = scene.on_approvals()
    old, before = clone.git("rev-parse", "HEAD"), clone.git("rev-parse", "HEAD~1")
    rewritten = clone.git("commit-tree", f"{before}^{{tree}}", "-p", before, "-m", "As if nothing had been said")
    lie = clone.git("commit-tree", f"{before}^{{tree}}", "-p", old, "-m", "As if nothing had been said")
    assert push(clone, f"{lie}:refs/replace/{rewritten}") == ""
    assert clone.git("-C", str(scene.repo.origin), "merge-base", "--is-ancestor", old, rewritten) == ""
    assert "only moves forward" in push(clone, f"+{rewritten}:refs/heads/okto-approvals")


def test_only_plain_files_are_decisions_and_versions(scene: Scene) -> None:
    """No link, no executable, no submodule, whatever ``.gitmodules`` says of what is to be shown."""
    clone = scene.on_approvals()
    start = clone.git("rev-parse", "HEAD")
    blob = clone.git("rev-parse", f"HEAD:{clone.git('ls-files').split()[0]}")
    for mode, oid in (("120000", blob), ("100755", blob), ("160000", start)):
        clone.git("update-index", "--add", "--cacheinfo", f"{mode},{oid},decisions/x/prod/a.signed")
        clone.git("commit", "--quiet", "--message", "Odd")
        assert "edited, removed or is none" in push(clone, "HEAD:okto-approvals")
        clone.git("reset", "--quiet", "--hard", start)
    hidden = '[submodule "p"]\n\tpath = .okto-change/policy/0001.yaml\n\turl = ./p\n\tignore = all\n'
    scene.repo.commit("Ignore", {".gitmodules": hidden})
    scene.repo.git("update-index", "--add", "--cacheinfo", f"160000,{start},{POLICY}")
    scene.repo.git("commit", "--quiet", "--message", "Swap")
    assert "edited, removed or is none" in push(scene.repo, "HEAD:main")
