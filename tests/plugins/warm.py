"""okto-change in a process of its own that was forked from one with everything imported: the command without its start.

Half a second less each time. Environment, folder, arguments, streams, exit code and exit handlers are those of a process.
A module asks for it with ``WARM = True``. The journey, the demo, attacks by git's settings and on runs under way, what is
interrupted and what is said of processes go on with the command as it is installed.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO, TYPE_CHECKING

import okto_change
from okto_change.demo.stage import installed_command

if TYPE_CHECKING:  # what is forked shall not hold more than a command does
    import pytest

ROOT = Path(__file__).parents[2]
FROM_THE_START = ("PYTHON", "LC_", "LANG")
"""Prefixes of variables that a process reads before it runs; who sets one gets the installed command."""
PATIENCE = 100.0
"""Seconds for one command."""
_ONE_AT_A_TIME = Lock()


def wanted(request: pytest.FixtureRequest) -> bool:
    """Whether the module of the test says ``WARM = True``: that nothing in it depends on how a process starts."""
    return bool(getattr(request.module, "WARM", False))


def run(
    arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run okto-change with ``arguments`` in ``cwd``; ``env`` is its whole environment, with ``variables`` on top."""
    whole = {**env, **(variables or {})}
    if any(name.startswith(FROM_THE_START) for name in variables or {}):
        return installed(arguments, cwd=cwd, env=whole)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _ask({"arguments": [*arguments], "cwd": str(cwd), "env": whole}, out, err)
        return subprocess.CompletedProcess([*arguments], code, _read(out), _read(err))


def installed(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run(
        [*installed_command(), *arguments],
        cwd=cwd,
        env=env,
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _ask(request: Mapping[str, object], out: IO[bytes], err: IO[bytes]) -> int:
    with _ONE_AT_A_TIME:
        return _talk(_parent(), json.dumps(request).encode(), out, err)


def _talk(asked: socket.socket, talk: bytes, out: IO[bytes], err: IO[bytes]) -> int:
    socket.send_fds(asked, [len(talk).to_bytes(4, "big")], [out.fileno(), err.fileno()])
    asked.sendall(talk)
    child = int.from_bytes(_exactly(asked, 4), "big")
    try:
        return int.from_bytes(_exactly(asked, 4), "big", signed=True)
    except TimeoutError:
        os.kill(child, signal.SIGKILL)
        _exactly(asked, 4)
        raise


@cache
def _parent() -> socket.socket:
    """Start the process that is forked; it ends with this one."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C.UTF-8"},
        )
    ours.settimeout(PATIENCE)
    atexit.register(_end, ours, process)
    return ours


def _end(ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    ours.close()
    process.wait()


def _exactly(talk: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        part = talk.recv(size - len(got))
        if not part:
            raise EOFError("nobody asks any more")
        got += part
    return got


def serve(talk: socket.socket) -> None:
    """Run what is asked for, each in a fork, until nobody asks any more."""
    for module in pkgutil.walk_packages(okto_change.__path__, "okto_change."):
        importlib.import_module(module.name)
    gc.freeze()
    while True:
        size, streams, _, _ = socket.recv_fds(talk, 4, 2)
        if not size:
            return
        request = json.loads(_exactly(talk, int.from_bytes(size, "big")))
        child = os.fork()
        if not child:
            talk.close()
            _become(request, *streams)
        talk.sendall(child.to_bytes(4, "big"))
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        talk.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _become(request: Mapping[str, object], out: int, err: int) -> None:
    from okto_change.cli.main import main

    code = 70
    try:
        os.chdir(str(request["cwd"]))
        os.environ.clear()
        os.environ.update(request["env"])  # type: ignore[call-overload]
        time.tzset()
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        sys.argv = [installed_command()[0], *request["arguments"]]  # type: ignore[misc]
        code = main()
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
