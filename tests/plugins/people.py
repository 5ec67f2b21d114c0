"""Two people with SSH keys, and a git repository with a bare origin."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Person:
    """Somebody in the policy: ``key`` is the private key's file, ``public`` the line of the public key."""

    name: str
    key: Path

    @property
    def email(self) -> str:
        """The address in this person's commits."""
        return f"{self.name}@example.org"

    @property
    def public(self) -> str:
        """The public key as ``ssh-ed25519 AAAA... name``."""
        return self.key.with_suffix(".pub").read_text().strip()


@dataclass(frozen=True)
class Keys:
    """Ana writes changes, Bruno approves them, Mallory is in no policy."""

    ana: Person
    bruno: Person
    mallory: Person


def make_person(folder: Path, name: str) -> Person:
    """Generate an ed25519 key without passphrase in ``folder``."""
    key = folder / f"id_{name}"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return Person(name, key)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return the people, with keys made once for the whole run."""
    folder = tmp_path_factory.mktemp("keys")
    return Keys(*(make_person(folder, name) for name in ("ana", "bruno", "mallory")))


@dataclass(frozen=True)
class GitRepo:
    """A clone (``path``) of a bare repository (``origin``), on branch ``main``, with one commit pushed."""

    path: Path
    origin: Path

    def git(self, *arguments: str) -> str:
        """Run git in the clone; return what it printed, stripped."""
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        """Write files into the work tree; keys are paths relative to it."""
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str, files: Mapping[str, str | bytes] | None = None, *, push: bool = True) -> str:
        """Write ``files``, commit everything in the work tree, push the branch; return the commit's id."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        if push:
            self.git("push", "--quiet", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")


def make_repository(folder: Path, person: Person) -> GitRepo:
    """Create ``folder/origin.git`` and its clone ``folder/work``, committing and signing as ``person``."""
    origin, work = folder / "origin.git", folder / "work"
    for command in (
        ["git", "init", "--quiet", "--bare", "--initial-branch=main", str(origin)],
        ["git", "init", "--quiet", "--initial-branch=main", str(work)],
    ):
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    repository = GitRepo(work, origin)
    repository.git("remote", "add", "origin", str(origin))
    for name, value in (("user.name", person.name), ("user.email", person.email), ("user.signingkey", str(person.key))):
        repository.git("config", name, value)
    repository.commit("Begin", {"README.md": "# Changes\n"})
    return repository


@pytest.fixture
def git_repo(tmp_path: Path, home: Path, keys: Keys) -> GitRepo:
    """Return a fresh repository of Ana's with a bare origin, in an isolated home."""
    assert home.is_dir()
    return make_repository(tmp_path, keys.ana)
