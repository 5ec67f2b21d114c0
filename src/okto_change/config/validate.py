"""Run the command that a plan names for judging an edited file: no shell, limited time, few variables."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from okto_change.errors import EditError

PLACE = "{file}"
TIMEOUT = 60.0
"""seconds"""
SHOWN = 4_000
"""characters of the command's output in an error"""
PASSED_ON = ("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME")
"""Variables that the command sees, and ``LC_*``; never those that hold connection strings."""


def run(command: str, path: str, file: str, *, cwd: Path, timeout: float = TIMEOUT) -> None:
    """Run ``command`` with ``{file}`` replaced by ``path``; raise EditError with its output unless it ends with 0.

    ``file`` is the config file's name for messages, ``timeout`` in seconds; the whole process group is ended with it.
    """
    arguments = [argument.replace(PLACE, path) for argument in _split(command, file)]
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=_environment(),
                start_new_session=True,
            )
        except OSError as error:
            raise _failed(command, f"cannot be started: {error.strerror}", "", file) from error
        verdict = _wait(process, timeout)
        output.seek(0, os.SEEK_END)
        output.seek(max(0, output.tell() - 4 * SHOWN))
        said = output.read().decode("utf-8", "replace").replace(path, file)[-SHOWN:].strip()
    if verdict is not None:
        raise _failed(command, verdict, said, file)


def _split(command: str, file: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise EditError(f"validate cannot be split into arguments: {error}", where=file) from error
    if not any(PLACE in argument for argument in arguments[1:]):
        raise EditError(f"validate needs {PLACE} where the file's path belongs: {command}", where=file)
    return arguments


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith("LC_")}


def _wait(process: subprocess.Popen[bytes], timeout: float) -> str | None:
    """Return why the command does not approve, None if it does. Its group is ended if it takes too long, or with us."""
    try:
        code = process.wait(timeout)
    except BaseException as reason:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(reason, subprocess.TimeoutExpired):
            return f"did not end within {timeout:g} seconds"
        raise
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return None if code == 0 else f"refused the file (exit code {code})"


def _failed(command: str, verdict: str, said: str, file: str) -> EditError:
    return EditError(
        f"the validate command {verdict}: {command}",
        where=file,
        faults=tuple(said.splitlines()),
        hint="the file was not replaced; change the edit, or the command if it is wrong",
    )
