"""The user's own clone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from okto_change.approval.workspace import Workspace
from okto_change.errors import WorkspaceError
from tests.integration.approval_repos import run
from tests.plugins.people import GitRepo, Keys


def test_the_root_is_found_from_any_folder(git_repo: GitRepo) -> None:
    """Commands work from anywhere in the clone."""
    (git_repo.path / "changes" / "a").mkdir(parents=True)
    assert Workspace.discover(git_repo.path / "changes" / "a") == git_repo.path


def test_a_relative_path_starts_where_the_person_stands(git_repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git runs elsewhere, but paths mean what they mean on the command line."""
    monkeypatch.chdir(git_repo.path)
    assert Workspace.discover(Path(".")) == git_repo.path
    assert Workspace.begin(Path("new")).root == git_repo.path
    monkeypatch.chdir(git_repo.path.parent)
    assert Workspace.begin(Path("fresh")).root == git_repo.path.parent / "fresh"
    assert (git_repo.path.parent / "fresh" / ".git").is_dir()


def test_outside_of_a_clone_the_hint_is_init(tmp_path: Path, home: Path) -> None:
    """A folder without git is not a change repository yet."""
    with pytest.raises(WorkspaceError, match="is not in a git work tree") as caught:
        Workspace.discover(tmp_path)
    assert "okto-change init" in (caught.value.hint or "")


def test_a_bare_repository_is_no_workspace(git_repo: GitRepo) -> None:
    """There is nothing to work in."""
    with pytest.raises(WorkspaceError, match="is not in a git work tree"):
        Workspace.discover(git_repo.origin)


def test_edits_of_every_kind_are_seen(git_repo: GitRepo) -> None:
    """New, edited, staged and deleted files; elsewhere does not matter."""
    workspace = Workspace(git_repo.path)
    git_repo.commit("Add", {"changes/a/plan.yaml": "x\n", "changes/b/plan.yaml": "x\n", "changes/a/ö.sql": "x\n"})
    assert not workspace.is_dirty("changes/a")
    git_repo.write({"changes/a/new file": "x\n"})
    git_repo.write({"changes/a/plan.yaml": "y\n"})
    (git_repo.path / "changes/a/ö.sql").unlink()
    git_repo.git("add", "changes/a/plan.yaml")
    assert set(workspace.changed("changes/a")) == {"changes/a/new file", "changes/a/plan.yaml", "changes/a/ö.sql"}
    assert not workspace.is_dirty("changes/b")
    assert workspace.is_dirty("changes")


def test_configuration_is_read_as_data(git_repo: GitRepo, keys: Keys) -> None:
    """Name, address and signing key; a GPG key's id is no key of ours."""
    workspace = Workspace(git_repo.path)
    assert workspace.user() == ("ana", "ana@example.org")
    assert workspace.signing_key() == str(keys.ana.key)
    git_repo.git("config", "user.signingkey", f"key::{keys.ana.public}")
    assert Workspace(git_repo.path).signing_key() == keys.ana.public
    git_repo.git("config", "user.signingkey", "0xDEADBEEF")
    assert Workspace(git_repo.path).signing_key() is None


def test_variables_of_another_repository_lead_nowhere(
    git_repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inside a hook or ``git rebase --exec`` of another clone, GIT_DIR and friends point there."""
    other = tmp_path / "other"
    run("git", "init", "--quiet", str(other))
    for name, value in (
        ("GIT_DIR", str(other / ".git")),
        ("GIT_WORK_TREE", str(other)),
        ("GIT_INDEX_FILE", str(other / ".git" / "index")),
        ("GIT_OBJECT_DIRECTORY", str(other / ".git" / "objects")),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "user.name"),
        ("GIT_CONFIG_VALUE_0", "mallory"),
    ):
        monkeypatch.setenv(name, value)
    workspace = Workspace(git_repo.path)
    (git_repo.path / "a").write_text("1\n")
    assert (workspace.changed(), workspace.user()[0]) == (("a",), "ana")
    assert Workspace.discover(git_repo.path) == git_repo.path
    assert not (other / ".git" / "index").exists()
    assert os.environ["GIT_DIR"] == str(other / ".git")
