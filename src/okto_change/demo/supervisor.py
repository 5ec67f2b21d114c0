"""Own one PostgreSQL server for as long as a pipe stays open. Run by path, as a process of its own, without packages.

``python supervisor.py '{"folder": ..., "prepare": ..., ...}'`` runs the preparing commands, starts the server, prints
``ready`` and waits. When standard input ends, because the parent stopped it or died (SIGKILL included), or on SIGTERM,
it stops the server and removes the folders. A line ``keep`` on standard input makes it leave both alone instead.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

POLL = 0.02
"""Seconds between two looks at the server and the pipe."""
PATIENCE = 10.0
"""Seconds for each kind of shutdown: fast, then immediate, then SIGKILL."""


class Ended(Exception):
    """The parent is gone or wants the server gone."""


def main(spec: dict[str, Any]) -> int:
    """Run ``spec``: folder, remove (folders), prepare (argvs), server (argv), user, group, environ, timeout (s)."""
    server: subprocess.Popen[bytes] | None = None
    keep = False
    try:
        for command in spec["prepare"]:
            _prepare(command, spec)
        server = _start(spec["server"], spec)
        _wait_until_ready(server, spec)
        print("ready", flush=True)
        keep = _wait_for_parent(server)
    except Ended:
        pass
    except (OSError, RuntimeError) as error:
        print(f"failed {error}", flush=True)
    finally:
        if not keep:
            _stop(server)
            _remove(spec["remove"])
    return 0


def _start(command: list[str], spec: dict[str, Any]) -> subprocess.Popen[bytes]:
    account: dict[str, Any] = {}
    if spec["user"] is not None:
        account = {"user": spec["user"], "group": spec["group"], "extra_groups": []}
    with _log(spec).open("ab") as log:
        return subprocess.Popen(
            command,
            cwd=spec["folder"],
            env=spec["environ"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
            **account,
        )


def _prepare(command: list[str], spec: dict[str, Any]) -> None:
    process = _start(command, spec)
    try:
        while process.poll() is None:
            _look_for_parent(POLL)
    except Ended:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {process.returncode}: {_tail(spec)}")


def _wait_until_ready(server: subprocess.Popen[bytes], spec: dict[str, Any]) -> None:
    deadline = time.monotonic() + spec["timeout"]
    while not _is_ready(spec, server.pid):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}: {_tail(spec)}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server was not ready after {spec['timeout']} s: {_tail(spec)}")
        _look_for_parent(POLL)


def _is_ready(spec: dict[str, Any], pid: int) -> bool:
    """Whether ``postmaster.pid`` is this server's and its status line says ready."""
    with contextlib.suppress(OSError):
        lines = (Path(spec["folder"]) / "data" / "postmaster.pid").read_text().split("\n")
        return lines[0] == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"
    return False


def _wait_for_parent(server: subprocess.Popen[bytes]) -> bool:
    """Return True when told to keep the server, False when it ended by itself; raises Ended at the pipe's end."""
    while server.poll() is None:
        if _look_for_parent(1.0):
            return True
    return False


def _look_for_parent(seconds: float) -> bool:
    readable, _, _ = select.select([0], [], [], seconds)
    if not readable:
        return False
    if os.read(0, 64).startswith(b"keep"):
        return True
    raise Ended


def _remove(folders: list[str]) -> None:
    """Remove folders, again for a while when something still writes into them."""
    deadline = time.monotonic() + PATIENCE
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        while os.path.lexists(folder) and time.monotonic() < deadline:
            time.sleep(POLL)
            shutil.rmtree(folder, ignore_errors=True)


def _stop(server: subprocess.Popen[bytes] | None) -> None:
    if server is None:
        return
    for way in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(way)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(PATIENCE)


def _log(spec: dict[str, Any]) -> Path:
    return Path(spec["folder"]) / "log"


def _tail(spec: dict[str, Any]) -> str:
    """The last lines of the server's log, on one line."""
    return " | ".join(_log(spec).read_text(errors="replace").strip().splitlines()[-4:])


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Ended


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    sys.exit(main(json.loads(sys.argv[1])))
