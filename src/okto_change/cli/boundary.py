"""The one place that turns errors into output: a message for people, an object for machines, an exit code for both."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, TextIO

import click

from okto_change import __version__
from okto_change.errors import NOTHING_CHANGED, OktoError, UsageError

OUR_BUG = 70
INTERRUPTED = 130
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
NO_TARGET_TOUCHED = "no target was touched; files or decisions may have been written"


class Interrupted(OktoError):
    """Somebody pressed Ctrl-C; ``state`` says what that leaves."""

    exit_code: ClassVar[int] = INTERRUPTED


class Bug(OktoError):
    """Something that we did not foresee; the traceback is in a file that the message names."""

    exit_code: ClassVar[int] = OUR_BUG


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell of ``error`` on stderr, with ``--json`` also as an object on stdout; return the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    if isinstance(error, BrokenPipeError):
        silence()
        return 0
    from okto_change.report import data, fault

    known = _known(error, arguments)
    verbose = "-v" in arguments or "--verbose" in arguments
    with contextlib.suppress(OSError):
        sys.stderr.write(fault.error(known, colour=coloured(sys.stderr), causes=verbose))
        sys.stderr.flush()
    if "--json" in arguments:
        show_json(data.error(known, known.exit_code))
    return known.exit_code


def show_json(value: object) -> None:
    """Write one JSON object to stdout; a reader that is gone is no error."""
    show(json.dumps(value, indent=2, ensure_ascii=True) + "\n")


def show(text: str) -> None:
    """Write to stdout; a reader that is gone (``| head``) is no error, a full disk is told. Neither changes the exit code."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        silence()
        with contextlib.suppress(OSError):
            sys.stderr.write(f"warning: the answer could not be written: {error.strerror}; what was done stands\n")


def warn(line: str) -> None:
    """Tell something on stderr that is no error; a reader that is gone is none either."""
    from okto_change.report import fault

    with contextlib.suppress(OSError):
        sys.stderr.write(fault.warning(line, colour=coloured(sys.stderr)))
        sys.stderr.flush()


def silence(stream: TextIO | None = None) -> None:
    """Point ``stream`` (default: stdout) nowhere, so that nothing more is written to a closed pipe, not even at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())


def coloured(stream: object) -> bool:
    """Whether ``stream`` is a terminal that may show colours; ``NO_COLOR`` and ``TERM=dumb`` say no."""
    terminal = getattr(stream, "isatty", lambda: False)()
    return bool(terminal) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _known(error: BaseException, arguments: Sequence[str]) -> OktoError:
    if isinstance(error, OktoError):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, click.Abort | KeyboardInterrupt | EOFError):
        return Interrupted("interrupted", state=NOTHING_CHANGED)
    if isinstance(error, OSError) and error.errno in FULL:
        return _full(error)
    return _bug(error, arguments)


def _full(error: OSError) -> OktoError:
    """Say that there is no room to write to, stdout or a file of ours: nobody's bug."""
    silence()
    return OktoError(
        f"could not write: {error.strerror}",
        where=error.filename,
        state=_left(error),
        hint="make room where stdout, the change repository or the temporary folder lie, then run the command again",
    )


def _left(error: BaseException) -> str:
    """Return what a command that was running when ``error`` came says it left, else that no target was touched."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes[0] if notes else NO_TARGET_TOUCHED


def _usage(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = "okto-change" if context is None else context.command_path
    return UsageError(error.format_message(), hint=f"{path} --help")


def _bug(error: BaseException, arguments: Sequence[str]) -> Bug:
    told = Bug(
        f"{type(error).__name__} inside okto-change: this is our bug, not yours",
        where=write_log(error, arguments),
        state=_left(error),
        hint="okto-change status says what state changes are in; send the file named above with your report",
    )
    told.__cause__ = error
    return told


def write_log(error: BaseException, arguments: Sequence[str]) -> str:
    """Write the traceback to a file that only its owner may read; return its path, or why there is none."""
    import tempfile

    from okto_change.masking import mask

    now = datetime.now(UTC)
    lines = [
        f"okto-change {__version__}, Python {sys.version.split()[0]}, {now.isoformat()}",
        f"arguments: {list(arguments)!r}",
    ]
    content = mask("\n".join([*lines, "", _trace(error)]))
    for folder in (log_folder(), Path(tempfile.gettempdir())):
        path = folder / f"okto-change-{now:%Y%m%dT%H%M%S}-{os.getpid()}.log"
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(content)
            return str(path)
    return "no log file could be written"


def _trace(error: BaseException) -> str:
    """Return the traceback; what messages quote is left out, because it may come from rows."""
    import traceback

    lines = "".join(traceback.format_exception(error)).split("\n")
    return "\n".join(line if line.startswith("  ") else QUOTED.sub("'...'", line) for line in lines)


def log_folder() -> Path:
    """Return the folder of log files: ``$XDG_STATE_HOME/okto-change/log``, by default under ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "okto-change" / "log"
