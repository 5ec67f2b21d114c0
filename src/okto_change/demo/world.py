"""The world of the demo: two people with keys and clones of one repository, two environments, all in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from okto_change.demo.server import connection_string

PEOPLE = ("ana", "bruno")
FOREIGN = ("PG", "GIT_", "OKTO_", "SANDBOX_", "PRODUCTION_", "SSH_", "XDG_")
"""Prefixes of variables that would let the outside in."""
PARTS = ("home", "origin.git", "ana", "bruno", "routing")


@dataclass(frozen=True)
class World:
    """Where everything is. ``folder`` holds a home, the bare repository, each person's clone and the config files.

    ``databases`` maps each environment to the libpq parameters of its payments database.
    """

    folder: Path
    databases: Mapping[str, Mapping[str, str]]

    @property
    def home(self) -> Path:
        """The folder of keys, git settings and libpq services."""
        return self.folder / "home"

    def clone(self, person: str) -> Path:
        """Return the person's clone of the repository."""
        return self.folder / person

    def key(self, person: str) -> Path:
        """Return the file of the person's private key."""
        return self.home / f"id_{person}"

    def public_keys(self) -> dict[str, str]:
        """Return each person's public key line."""
        return {person: self.key(person).with_suffix(".pub").read_text(encoding="ascii") for person in PEOPLE}

    def config(self, environment: str) -> Path:
        """Return the routing config file of an environment."""
        return self.folder / "routing" / environment / "acquirers.yaml"

    def dsn(self, environment: str) -> str:
        """Return the connection string of an environment's database."""
        return connection_string(self.databases[environment])

    def variables(self) -> dict[str, str]:
        """Return the variables that make a command see this world and nothing else."""
        home = self.home
        return {
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_STATE_HOME": str(home / ".local" / "state"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "PGSERVICEFILE": str(home / ".pg_service.conf"),
            "SANDBOX_LEDGER": self.dsn("sandbox"),
            "SANDBOX_ROUTING": str(self.config("sandbox").parent),
            "PRODUCTION_ROUTING": str(self.config("production").parent),
        }

    def environ(self) -> dict[str, str]:
        """Return the whole environment of a command in this world."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return kept | {"HOME": str(self.home), "TZ": "UTC"} | self.variables()

    def git(self, person: str, *arguments: str) -> str:
        """Run git in a person's clone; return what it printed. Raises CalledProcessError."""
        return run(["git", "-C", str(self.clone(person)), *arguments], self.environ())

    def publish(self, person: str, message: str) -> None:
        """Commit all of a person's clone and push it to the protected branch, as a merged pull request does."""
        self.git(person, "add", "--all")
        self.git(person, "commit", "--quiet", "--message", message)
        self.git(person, "push", "--quiet", "origin", "HEAD:main")


def build(folder: Path, databases: Mapping[str, Mapping[str, str]]) -> World:
    """Fill ``folder`` with config files, keys, a bare repository and its clones, around databases that are there."""
    world = World(folder, databases)
    world.home.mkdir(mode=0o700, parents=True)
    _write_private(world.home / ".pg_service.conf", _service("production-ledger", databases["production"]))
    _write_private(world.home / ".gitconfig", "[init]\n\tdefaultBranch = main\n")
    for environment in databases:
        world.config(environment).parent.mkdir(parents=True)
        shutil.copyfile(Path(__file__).with_name("acquirers.yaml"), world.config(environment))
    run(["git", "init", "--quiet", "--bare", str(folder / "origin.git")], world.environ())
    for person in PEOPLE:
        _make_key(world, person)
        _make_clone(world, person)
    return world


def run(command: list[str], environ: Mapping[str, str]) -> str:
    """Run a command to its end; return its standard output. Raises CalledProcessError."""
    done = subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL
    )
    return done.stdout


def _service(name: str, parameters: Mapping[str, str]) -> str:
    lines = (f"{key}={value}\n" for key, value in parameters.items())
    return f"[{name}]\n{''.join(lines)}"


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def _make_key(world: World, person: str) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", str(world.key(person))]
    run(command, world.environ())


def _make_clone(world: World, person: str) -> None:
    clone = world.clone(person)
    run(["git", "init", "--quiet", str(clone)], world.environ())
    for name, value in (
        ("user.name", person),
        ("user.email", f"{person}@example.org"),
        ("user.signingkey", str(world.key(person))),
        ("remote.origin.url", str(world.folder / "origin.git")),
        ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ("branch.main.remote", "origin"),
        ("branch.main.merge", "refs/heads/main"),
    ):
        world.git(person, "config", name, value)
