"""The demo's world, small, on the test server: two people, two environments, and okto-change to run in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from okto_change.demo import example
from okto_change.demo.world import World, build
from tests.plugins import warm
from tests.plugins.server import Cluster


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything it said."""
        return self.out + self.err


@dataclass(frozen=True)
class Shop:
    """A change repository with a policy, its people and its databases, and okto-change to run in it.

    ``warm`` says that its commands are forks of a process that has started; else they are the installed command.
    """

    world: World
    warm: bool = False

    def okto(self, person: str, *arguments: str, expect: int | None = 0, **variables: str) -> Answer:
        """Run okto-change in a person's clone; ``expect`` None takes any exit code. ``variables`` are set for it."""
        environ = self.world.environ() | {"COLUMNS": "100"}
        if self.warm:
            done = warm.run(arguments, cwd=self.world.clone(person), env=environ, variables=variables)
        else:
            done = warm.installed(arguments, cwd=self.world.clone(person), env=environ | variables)
        answer = Answer(done.returncode, done.stdout, done.stderr)
        assert expect is None or answer.code == expect, f"{arguments} ended with {answer.code}:\n{answer.said}"
        return answer

    def change(self, person: str, change: str) -> Path:
        """Return the folder of a change in a person's clone."""
        return self.world.clone(person) / "changes" / change

    def propose(self, change: str, environment: str = "production") -> None:
        """Have Ana lock, dry-run, publish and submit one of the example changes."""
        example.copy_change(change, self.world.clone("ana"))
        self.okto("ana", "lock", change, "--env", environment)
        self.okto("ana", "dry-run", change, "--env", environment)
        self.world.publish("ana", f"Propose {change}")
        self.okto("ana", "submit", change, "--env", environment)

    def approve(self, change: str, environment: str = "production") -> None:
        """Have Bruno approve a change that was proposed."""
        self.world.git("bruno", "pull", "--quiet", "--ff-only")
        self.okto("bruno", "approve", change, "--env", environment, "--yes", change)

    def approve_again(self, change: str) -> None:
        """Have Bruno approve what he said no to before: in a later second, since of two in the same one the no stands."""
        time.sleep(1.0 - time.time() % 1.0)
        self.approve(change)


@contextmanager
def opened(folder: Path, server: Cluster, template: str, *, warm: bool = False) -> Iterator[Shop]:
    """Give a shop in ``folder`` on fresh copies of the payments database ``template``; they go when the block is left."""
    names = {environment: server.create(template) for environment in ("production", "sandbox")}
    databases = {
        environment: {key: str(value) for key, value in conninfo_to_dict(server.conninfo(name)).items() if value}
        for environment, name in names.items()
    }
    world = build(folder, databases)
    example.write_policy(world.clone("ana"), world.public_keys())
    (world.clone("ana") / "changes").mkdir()
    (world.clone("ana") / "changes" / "README.md").write_text("# Changes\n")
    world.publish("ana", "Begin a change repository")
    world.git("bruno", "pull", "--quiet")
    try:
        yield Shop(world, warm)
    finally:
        for name in names.values():
            server.drop(name)


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path, server: Cluster, payments_template: str) -> Iterator[Shop]:
    """Return a repository with the example policy, pushed, on fresh copies of the payments database."""
    with opened(tmp_path / "shop", server, payments_template, warm=warm.wanted(request)) as fresh:
        yield fresh
