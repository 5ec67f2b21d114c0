"""Publishing decisions: at once with others, without a checkout, and refused clearly."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from okto_change.approval import publish, trust
from okto_change.approval.safegit import GitFailed
from okto_change.approval.trust import Mirror
from okto_change.errors import WorkspaceError
from tests.integration.approval_repos import Scene, make_scene
from tests.plugins.people import GitRepo, Keys


@pytest.fixture
def scene(git_repo: GitRepo, keys: Keys) -> Scene:
    """Return a repository with a policy."""
    return make_scene(git_repo, keys)


def put(mirror: Mirror, path: str, content: bytes = b"content\n") -> str:
    """Publish one file."""
    return publish.publish(mirror, path, content, name="Ana", email="ana@example.org", message="A decision")


def listing(scene: Scene) -> list[str]:
    """Return the files on the remote's branch of decisions."""
    scene.repo.git("fetch", "--quiet", "origin", "okto-approvals")
    return scene.repo.git("ls-tree", "-r", "--name-only", "FETCH_HEAD").splitlines()


def test_the_branch_is_made_by_the_first_decision(scene: Scene) -> None:
    """It starts empty, without the project's files, and leaves the work tree alone."""
    before = scene.repo.git("status", "--porcelain", "--branch")
    put(scene.mirror(), "decisions/a/prod/x.signed")
    assert listing(scene) == ["decisions/a/prod/x.signed"]
    assert scene.repo.git("log", "--format=%an <%ae> %s", "FETCH_HEAD") == "Ana <ana@example.org> A decision"
    assert scene.repo.git("status", "--porcelain", "--branch") == before


def test_decisions_are_added_to_those_that_are_there(scene: Scene) -> None:
    """Nothing is ever replaced."""
    put(scene.mirror(), "decisions/a/prod/x.signed")
    put(scene.mirror(), "decisions/a/prod/y.signed")
    assert listing(scene) == ["decisions/a/prod/x.signed", "decisions/a/prod/y.signed"]


def test_publishing_again_changes_nothing(scene: Scene) -> None:
    """The same file twice is one; another content under its name is refused."""
    first = put(scene.mirror(), "decisions/a/prod/x.signed")
    assert put(scene.mirror(), "decisions/a/prod/x.signed") == first
    with pytest.raises(WorkspaceError, match="with other content"):
        put(scene.mirror(), "decisions/a/prod/x.signed", b"other\n")


@pytest.mark.parametrize("shared", [True, False], ids=["one mirror", "a mirror each"])
def test_simultaneous_publishers_all_succeed(
    scene: Scene, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever loses a race tries again; no decision is lost."""
    mirrors = []
    for number in range(4):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ("state" if shared else f"state{number}")))
        mirrors.append(scene.mirror())
    names = [f"decisions/a/prod/{number}.signed" for number in range(4)]
    threads = [threading.Thread(target=put, args=(mirror, name)) for mirror, name in zip(mirrors, names, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listing(scene) == names


def test_a_remote_that_refuses_is_told(scene: Scene) -> None:
    """A protected branch or a missing right ends at once, in words."""
    hook = scene.repo.origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'not for you' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitFailed, match=r"was signed, but .*\(pre-receive hook declined\)") as caught:
        put(scene.mirror(), "decisions/a/prod/x.signed")
    assert "the right to push to okto-approvals" in (caught.value.hint or "")


def test_a_remote_that_went_down_is_told(scene: Scene) -> None:
    """Between signing and publishing the network may fail."""
    mirror = scene.mirror()
    scene.repo.origin.rename(scene.repo.origin.with_name("gone.git"))
    with pytest.raises(GitFailed, match="cannot be read"):
        put(mirror, "decisions/a/prod/x.signed")


def test_without_a_remote_the_clone_keeps_the_branch(scene: Scene) -> None:
    """A repository of one works without a server."""
    scene.repo.git("remote", "remove", "origin")
    put(trust.open_mirror(scene.repo.path), "decisions/a/prod/x.signed")
    assert scene.repo.git("ls-tree", "-r", "--name-only", "okto-approvals") == "decisions/a/prod/x.signed"


def test_the_branch_must_not_be_checked_out_where_it_is_written(scene: Scene) -> None:
    """Git would leave the work tree behind; we refuse, whatever the clone's settings."""
    scene.repo.git("remote", "remove", "origin")
    scene.repo.git("config", "receive.denyCurrentBranch", "updateInstead")
    put(trust.open_mirror(scene.repo.path), "decisions/a/prod/x.signed")
    scene.repo.git("switch", "--quiet", "okto-approvals")
    with pytest.raises(GitFailed, match="branch is currently checked out"):
        put(trust.open_mirror(scene.repo.path), "decisions/a/prod/y.signed")
