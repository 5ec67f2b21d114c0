"""A command that SIGKILL ends at a named moment: ``doomed.py REPOSITORY CHANGE COMMAND KIND before|after NTH``.

COMMAND is ``apply``, ``rollback`` or ``resume RUN``. The process dies before or after the NTH journal entry of that KIND
is durable, which is where its effect follows, or has just happened.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from unittest import mock

from okto_change import pipeline
from okto_change.journal.store import Journal
from okto_change.model import Entry, Event


def main(path: str, change: str, command: str, kind: str, moment: str, nth: str) -> None:
    """Run the command and die on the way."""
    appended, left = Journal.append, int(nth)

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

    repo = pipeline.open_repository(Path(path))
    with mock.patch.object(Journal, "append", append):
        if command == "apply":
            print(pipeline.apply(repo, change, "sandbox", watch=print))
        elif command == "rollback":
            print(pipeline.rollback(repo, change, "sandbox", only_clean=False, watch=print))
        else:
            print(pipeline.resume(repo, command.removeprefix("resume "), watch=print))


if __name__ == "__main__":
    main(*sys.argv[1:])
