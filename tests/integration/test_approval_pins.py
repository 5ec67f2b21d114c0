"""The pin file: what is trusted, from where, from which version on; and branches and policies that go back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from okto_change import digest
from okto_change.approval import pinfile, pins, trust
from okto_change.approval.pins import Pin
from okto_change.errors import NotAuthorised, PlanError, WorkspaceError
from tests.integration.approval_repos import POLICY, REPO, Scene, is_root, make_scene, policy_text, run
from tests.plugins.people import GitRepo, Keys

SECOND = POLICY.replace("0001", "0002")


@pytest.fixture
def scene(git_repo: GitRepo, keys: Keys) -> Scene:
    """Return a repository with a policy, nothing pinned."""
    return make_scene(git_repo, keys)


def pin(scene: Scene, **other: str) -> Pin:
    """Pin the scene's repository for its user; ``other`` says what is pinned differently."""
    content = (scene.repo.path / POLICY).read_bytes()
    values = {"repo": REPO, "url": str(scene.repo.origin), "protected_ref": "refs/heads/main"} | other
    made = Pin(**values, version=1, sha256=digest.sha256(content))
    pins.save(pins.user_file(), made)
    return made


def test_what_is_pinned_is_trusted(scene: Scene) -> None:
    """And everything reads as before."""
    made = pin(scene)
    assert pins.load().pins == (made,)
    assert scene.mirror().pin == made
    assert scene.policy().version == 1


def test_another_remote_in_the_clone_leads_nowhere(scene: Scene, tmp_path: Path) -> None:
    """Whoever edits .git/config chooses among the pinned repositories, no more."""
    pin(scene)
    run("git", "clone", "--quiet", "--bare", str(scene.repo.origin), str(tmp_path / "fork.git"))
    scene.repo.git("remote", "set-url", "origin", str(tmp_path / "fork.git"))
    with pytest.raises(NotAuthorised, match=r"fork\.git is not among the repositories that are trusted here") as caught:
        scene.mirror()
    assert str(scene.repo.origin) in caught.value.faults[0]


def test_another_repository_under_the_pinned_address_is_refused(scene: Scene) -> None:
    """Its id is pinned too."""
    pin(scene, repo="8d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f")
    with pytest.raises(NotAuthorised, match="has the policy of another repository"):
        scene.policy()


def test_a_pinned_version_is_not_edited_in_place(scene: Scene, keys: Keys) -> None:
    """A new version is; both by whoever may write the protected branch, as simple mode has it."""
    pin(scene)
    old = policy_text(keys.ana, keys.bruno)
    scene.repo.commit("Edit", {POLICY: policy_text(keys.ana, keys.bruno, need=2)})
    with pytest.raises(NotAuthorised, match="version 1 of the policy is not the one that was trusted before"):
        scene.policy()
    second = policy_text(keys.ana, keys.bruno, need=2).replace("version: 1", "version: 2")
    scene.repo.commit("A new version", {POLICY: old, SECOND: second})
    assert scene.policy().version == 2


def test_a_policy_that_was_seen_stays_the_least(scene: Scene, keys: Keys) -> None:
    """Removing the newer version in a later commit, which is no force-push, brings nothing back."""
    second = policy_text(keys.ana, keys.bruno, need=2).replace("version: 1", "version: 2")
    scene.repo.commit("A new version", {SECOND: second})
    assert scene.policy().version == 2
    scene.repo.git("rm", "--quiet", SECOND)
    scene.repo.commit("Remove it")
    with pytest.raises(NotAuthorised, match="went back to version 1; version 2 was there before"):
        scene.policy()


def test_the_system_s_pin_file_wins(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where root's is there, the user's says nothing, and a clone without a remote is refused too."""
    monkeypatch.setattr(pins, "SYSTEM", tmp_path / "etc" / "trust.yaml")
    made = pin(scene, url="/srv/other.git")
    if not is_root():
        pytest.skip("only root can make root's file")
    pins.save(pins.SYSTEM, made)
    pin(scene)
    with pytest.raises(NotAuthorised, match="is not among"):
        scene.mirror()
    scene.repo.git("remote", "remove", "origin")
    with pytest.raises(NotAuthorised, match="is not among"):
        scene.mirror()


@pytest.mark.parametrize("place", ["file", "folder", "link"])
def test_a_pin_file_that_others_may_write_is_refused(scene: Scene, tmp_path: Path, place: str) -> None:
    """Nor is it skipped in favour of another."""
    pin(scene)
    file = pins.user_file()
    if place == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        (file if place == "file" else file.parent).chmod(0o777)
    with pytest.raises(NotAuthorised, match="somebody else may change it"):
        scene.mirror()


def test_somebody_else_s_file_in_the_system_s_place_is_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must be root's, and so must its folder."""
    monkeypatch.setattr(pins, "SYSTEM", tmp_path / "etc" / "trust.yaml")
    pins.save(pins.SYSTEM, pin(scene))
    if is_root():
        os.chown(pins.SYSTEM, 65_534, 65_534)
    with pytest.raises(NotAuthorised, match="the pin file says whom to trust") as caught:
        scene.mirror()
    assert "a plain file of root" in (caught.value.hint or "")


def test_every_fault_of_a_pin_file_is_told(home: Path) -> None:
    """With its line."""
    text = "format: 1\nrepositories:\n  - {repo: x, url: --upload-pack=x, protected_ref: main, policy: {version: 0}}\n"
    with pytest.raises(PlanError) as caught:
        pinfile.read(text.encode(), "trust.yaml")
    assert len(caught.value.faults) == 5


@pytest.mark.parametrize("url", ["https://bot:t0ken@host/x.git", 'a"b', "--x"])
def test_a_url_that_has_no_place_in_a_pin_is_refused(scene: Scene, url: str) -> None:
    """No passwords, nothing that YAML or git could take for something else."""
    with pytest.raises(WorkspaceError) as caught:
        pin(scene, url=url)
    assert "t0ken" not in caught.value.message


def test_a_pin_replaces_the_older_one_of_its_repository(scene: Scene) -> None:
    """Others stay."""
    first = pin(scene)
    other = pin(scene, repo="8d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f", url="git@host.example:team/x.git")
    moved = pin(scene, url="https://host.example/x.git")
    assert pins.load().pins == (other, moved)
    assert first not in pins.load().pins
    assert trust.APPROVALS
