"""``okto-change demo``: build the demo's world, walk through it, leave nothing behind; with ``--keep``, everything."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from okto_change.database.session import connect
from okto_change.demo import payments, scenes
from okto_change.demo import server as servers
from okto_change.demo.stage import Mishap, Stage, installed_command
from okto_change.demo.world import PARTS, World, build
from okto_change.errors import OktoError, Refused, UsageError

SIZE = "OKTO_DEMO_TRANSACTIONS"
"""The variable that sets the number of transactions in production, for slow machines."""
SCENES = (
    scenes.repository,
    scenes.good_change,
    scenes.change_that_breaks_an_invariant,
    scenes.change_that_was_edited,
    scenes.take_back,
)


def main(keep: str | None = None, out: TextIO | None = None) -> int:
    """Walk through the demo; return 0. ``keep`` names a new folder where everything stays, the server running.

    Raises UsageError when that folder is not empty, Refused when a program is missing or no PostgreSQL starts.
    """
    out = out or sys.stdout
    began = time.monotonic()
    _demand_tools()
    with _world(keep, out) as (server, world):
        try:
            for scene in SCENES:
                scene(Stage(world, out))
        except (Mishap, subprocess.CalledProcessError) as error:
            raise _told(error) from error
        took = time.monotonic() - began
        if keep is None:
            out.write(f"\n\nThat was all, in {took:.0f} seconds; the server is stopped and every file removed.\n")
        else:
            server.keep()
            out.write(_page(server, world))
    return 0


def _demand_tools() -> None:
    missing = [tool for tool in ("git", "ssh-keygen") if shutil.which(tool) is None]
    if missing:
        hint = "install git 2.36 or newer and the OpenSSH client, or add their folder to PATH"
        raise Refused(f"found no {' and no '.join(missing)} to show the demo with", hint=hint)


@contextmanager
def _world(keep: str | None, out: TextIO) -> Iterator[tuple[servers.Server, World]]:
    """Start a server and build a world; both go when the block is left or this process ends, unless kept."""
    with _signals_raise():
        folder = _new_folder(keep)
        ours = [folder] if keep is None else [folder / part for part in PARTS]
        try:
            with servers.running(folder=folder / "server", remove=ours) as server:
                yield server, _built(folder, server, out)
        finally:
            with suppress(OSError):
                folder.rmdir()


def _new_folder(keep: str | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="okto-change-demo-")).resolve()
    folder = Path(keep).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and is not an empty folder", hint="name a new folder: --keep DIR")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _built(folder: Path, server: servers.Server, out: TextIO) -> World:
    began = time.monotonic()
    programs = server.binaries
    out.write(f"PostgreSQL {programs.version} ({programs.origin}) runs in {server.folder}.\n")
    out.flush()
    sizes = {"production": int(os.environ.get(SIZE, "200000")), "sandbox": 2_000}
    for environment, transactions in sizes.items():
        with connect("postgres", server.conninfo()) as session:
            session.run(f"CREATE DATABASE {environment}")
        payments.load(server.conninfo(environment), transactions=transactions)
    world = build(folder, {environment: server.parameters(environment) for environment in sizes})
    took = time.monotonic() - began
    out.write(
        f"Two payments databases are loaded: production has {sizes['production']:,} transactions, the sandbox fewer.\n"
        f"Ana and Bruno have an SSH key and a clone each of one git repository. That took {took:.0f} seconds.\n"
        f"Everything but the server lies in {folder}.\n"
    )
    return world


@contextmanager
def _signals_raise() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave the block the way Ctrl-C does, so that everything is cleaned up."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _leave) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _told(error: Mishap | subprocess.CalledProcessError) -> OktoError:
    message = str(error) if isinstance(error, Mishap) else f"{error}: {error.stderr}"
    return OktoError(
        f"the demo did not go as it should: {message}", state="nothing outside the demo was touched, and it is removed"
    )


def _page(server: servers.Server, world: World) -> str:
    """Write the scripts that belong to a kept demo; return the page of commands to try."""
    folder = world.folder
    lines = [f"export {name}={shlex.quote(value)}" for name, value in world.variables().items()]
    lines.append(f"export PATH={shlex.quote(str(Path(installed_command()[0]).parent))}:$PATH")
    _script(folder / "env.sh", lines)
    removed = " ".join(shlex.quote(str(folder / part)) for part in (*PARTS, "env.sh", "stop.sh"))
    places = [shlex.quote(str(place)) for place in (server.pid_file, server.folder / "data", server.folder, folder)]
    _script(folder / "stop.sh", STOP.format(*places, removed=removed).splitlines())
    shown = shlex.quote(str(folder))
    psql = shutil.which("psql") or str(server.binaries.folder / "psql")
    return PAGE.format(folder=shown, psql=shlex.quote(psql))


def _script(file: Path, lines: list[str]) -> None:
    with open(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o700), "w", encoding="utf-8") as script:
        script.write("\n".join(lines) + "\n")


STOP = """\
#!/bin/sh
# A process id that is left over may be somebody else's by now: only a server of this folder is stopped.
pid=$(head -n 1 {0} 2>/dev/null)
ours() {{ {{ tr '\\0' ' ' <"/proc/$pid/cmdline" || ps -p "$pid" -o args=; }} 2>/dev/null | grep -qF -e {1}; }}
if [ -n "$pid" ] && ours && kill -INT "$pid"; then
    while [ -e {0} ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
else
    echo "the server was gone already"
fi
rm -rf {2} {removed}
rmdir {3} 2>/dev/null || true
"""
PAGE = """

Everything is left running. To try things, in a shell of your own:

    . {folder}/env.sh     # only sets variables
    cd {folder}/ana
    okto-change status
    okto-change show release-stuck
    okto-change approvals release-stuck --env production      # its approval served the run above
    okto-change -C ../bruno approve release-stuck --env production
    okto-change apply release-stuck --env production
    okto-change rollback release-stuck --env production
    okto-change audit log --env production
    {psql} service=production-ledger

Edit changes/*/plan.yaml or an SQL file, commit, and see what check, dry-run and apply say.
To stop the server and remove everything:

    {folder}/stop.sh
"""
