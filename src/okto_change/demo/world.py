"""The world of the demo: two people with keys and clones of one repository, two environments, all in one folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from okto_change.database.session import Session, connect
from okto_change.demo import payments
from okto_change.demo.server import Server

PEOPLE = ("ana", "bruno")
ENVIRONMENTS = {"production": 200_000, "sandbox": 2_000}
"""Each environment with the number of transactions in its payments database."""
FOREIGN = ("PG", "GIT_", "OKTO_", "SANDBOX_", "PRODUCTION_", "SSH_", "XDG_")
"""Prefixes of variables that would let the outside in."""
PARTS = ("home", "origin.git", "ana", "bruno", "routing")


@dataclass(frozen=True)
class World:
    """Where everything is. ``folder`` holds a home, the bare repository, each person's clone and the config files."""

    folder: Path
    server: Server

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

    def database(self, environment: str) -> Session:
        """Open a session to the payments database of an environment."""
        return connect(environment, self.server.conninfo(environment))

    def variables(self) -> dict[str, str]:
        """Return the variables that make a command see this world and nothing else."""
        home = self.home
        return {
            "XDG_CONFIG_HOME": str(home / ".config"), "XDG_STATE_HOME": str(home / ".local" / "state"),
            "XDG_CACHE_HOME": str(home / ".cache"), "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "PGSERVICEFILE": str(home / ".pg_service.conf"),
            "SANDBOX_LEDGER": self._conninfo("sandbox"), "SANDBOX_ROUTING": str(self.config("sandbox").parent),
            "PRODUCTION_ROUTING": str(self.config("production").parent),
        }  # fmt: skip

    def environ(self) -> dict[str, str]:
        """Return the whole environment of a command in this world."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return kept | {"HOME": str(self.home), "TZ": "UTC"} | self.variables()

    def _conninfo(self, database: str) -> str:
        return f"host='{self.server.sockets}' port={self.server.port} dbname={database} user={self.server.user}"

    def services(self) -> str:
        """Return the text of a libpq service file."""
        return (
            f"[production-ledger]\nhost={self.server.sockets}\nport={self.server.port}\n"
            f"dbname=production\nuser={self.server.user}\n"
        )

    def git(self, person: str, *arguments: str) -> str:
        """Run git in a person's clone; return what it printed. Raises CalledProcessError."""
        return run(["git", "-C", str(self.clone(person)), *arguments], self.environ())


def build(folder: Path, server: Server) -> World:
    """Fill ``folder`` and ``server``: databases with payments, config files, keys, a bare repository and its clones."""
    world = World(folder, server)
    world.home.mkdir(mode=0o700, parents=True)
    (world.home / ".pg_service.conf").write_text(world.services(), encoding="utf-8")
    (world.home / ".gitconfig").write_text("[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n")
    for person in PEOPLE:
        _make_key(world, person)
    run(["git", "init", "--quiet", "--bare", str(folder / "origin.git")], world.environ())
    for person in PEOPLE:
        _make_clone(world, person)
    for environment, transactions in ENVIRONMENTS.items():
        world.config(environment).parent.mkdir(parents=True)
        shutil.copyfile(Path(__file__).with_name("acquirers.yaml"), world.config(environment))
        with connect("postgres", server.conninfo()) as session:
            session.run(f"CREATE DATABASE {environment}")
        payments.load(server.conninfo(environment), transactions=transactions)
    return world


def run(command: list[str], environ: Mapping[str, str]) -> str:
    """Run a command to its end; return its standard output. Raises CalledProcessError."""
    done = subprocess.run(
        command, env=environ, check=True, capture_output=True, text=True, encoding="utf-8", stdin=subprocess.DEVNULL
    )
    return done.stdout


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
