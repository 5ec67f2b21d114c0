"""A command in a process of its own that SIGKILL ends at a named moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from okto_change import pipeline
from okto_change.journal.store import Journal
from okto_change.model import Entry, Event
from okto_change.pipeline import running as running  # so that the processes are forked with everything imported

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


def run(path: Path, change: str, command: str, kind: str, moment: str, nth: int) -> int | None:
    """Run ``apply``, ``rollback`` (``--only-clean``), ``redo`` or ``resume RUN`` until it dies; return the exit code, -9 for SIGKILL.

    It dies before or after (``moment``) the ``nth`` journal entry of that ``kind`` is durable, which is where its effect
    follows, or has just happened.
    """
    process = _processes.Process(target=_die, args=(dict(os.environ), path, change, command, kind, moment, nth))
    process.start()
    process.join(60)
    return process.exitcode


def _die(environ: Mapping[str, str], path: Path, change: str, command: str, kind: str, moment: str, nth: int) -> None:
    os.environ.clear()
    os.environ.update(environ)
    appended, left = Journal.append, nth

    def append(self: Journal, event: Event) -> Entry:
        nonlocal left
        left -= event.kind.value == kind
        due = event.kind.value == kind and left == 0
        if due and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        entry = appended(self, event)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return entry

    repo = pipeline.open_repository(path)
    with mock.patch.object(Journal, "append", append):
        if command == "apply":
            print(pipeline.apply(repo, change, "sandbox", watch=print))
        elif command.startswith("rollback"):
            print(pipeline.rollback(repo, change, "sandbox", only_clean="--only-clean" in command, watch=print))
        elif command == "redo":
            print(pipeline.redo(repo, change, "sandbox", watch=print))
        else:
            print(pipeline.resume(repo, command.removeprefix("resume "), watch=print))
