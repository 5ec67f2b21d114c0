"""Events as they happen: a live line on a terminal, one plain line each elsewhere. Talk, so it never stops a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import IO, Any

from okto_change.model import Event, EventKind
from okto_change.report import batches, units
from okto_change.report.escape import clean

PASSING = frozenset(
    [
        EventKind.STATEMENT_STARTED,
        EventKind.IMAGES_KEPT,
        EventKind.EDITING,
        EventKind.COMMITTING,
        EventKind.UNDO_COMMITTING,
        EventKind.CHUNK_STARTED,
    ]
)
"""Events that a terminal shows only until the next one."""

IN_DOUBT = frozenset([EventKind.COMMITTING, EventKind.EDITING, EventKind.UNDO_COMMITTING])


QUIET = 10.0
"""seconds between two lines about chunks where there is no terminal"""


class Progress:
    """Shows events on ``stream`` and remembers enough of them to say what state an interruption leaves.

    ``first`` is called at the first event, when a server has begun to work.
    """

    def __init__(
        self,
        stream: IO[str],
        *,
        live: bool,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
        first: Callable[[], None] | None = None,
    ) -> None:
        self._stream = stream
        self._first = first
        self._live = live
        self._verbose = verbose
        self._status: Any = None
        self._last: Event | None = None
        self._committed = 0
        self._pace = batches.Pace()
        self._clock = clock
        self._told = -QUIET

    def __call__(self, event: Event) -> None:
        """Show ``event``; a stream that is gone is no reason to stop what is running."""
        if self._first is not None and self._last is None:
            self._first()
        if event.kind is not EventKind.WAITING:  # it changes nothing, and hides nothing that was announced before it
            self._last = event
        self._committed += event.kind is EventKind.COMMITTED
        with contextlib.suppress(OSError, ValueError):
            self._show(event)

    def close(self) -> None:
        """Take the live line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def state(self) -> str:
        """Return what state things are in when the run is interrupted now."""
        if self._last is None:
            return "nothing was changed"
        ask = f"okto-change status --env {self._last.environment}"
        if self._last.kind in IN_DOUBT:
            return f"interrupted while committing: `{ask}` finds out what happened"
        if self._committed:
            return f"{units.plural(self._committed, 'part')} committed before the interruption: see `{ask}`"
        return "rolled back; nothing was changed"

    def _show(self, event: Event) -> None:
        line = clean(words(event))
        if "chunk" in event.data and not self._verbose:
            self._chunk(event)
            return
        if not self._live:
            print(line, file=self._stream, flush=True)
            return
        if event.kind not in PASSING or self._verbose:
            self._console().print(f"  {line}", markup=False, highlight=False, emoji=False)
        self._console_status(line)

    def _chunk(self, event: Event) -> None:
        """Show a chunk that is done: a bar on a terminal, elsewhere a line every ten seconds at most."""
        undo = event.kind is EventKind.UNDONE
        if event.kind is not EventKind.COMMITTED and not undo:
            return
        now = self._clock()
        line = clean(self._pace.line(event.step, event.data, now, undo=undo))
        if self._live:
            self._console_status(line)
        elif now - self._told >= QUIET or _ends_batch(event, undo=undo):
            self._told = now
            print(line, file=self._stream, flush=True)

    def _console(self) -> Any:
        return self._started().console

    def _console_status(self, line: str) -> None:
        from rich.text import Text

        width = self._console().width - 3  # what the spinner leaves
        short = line if len(line) <= width else line[: width - 1] + "…"
        self._started().update(Text(short, style="dim"))
        if event_ends(self._last):
            self.close()

    def _started(self) -> Any:
        if self._status is None:
            from rich.console import Console

            self._status = Console(file=self._stream, highlight=False).status("", spinner="line")
            self._status.start()
        return self._status


def event_ends(event: Event | None) -> bool:
    """Whether nothing follows ``event``."""
    return event is not None and event.kind is EventKind.RUN_FINISHED


def words(event: Event) -> str:
    """Return an event in a few words."""
    about = WORDS.get(event.kind)
    step = f" {event.step}" if event.step else ""
    return f"{event.kind.value}{step}{about(event.data) if about else ''}"


def _run(data: Any) -> str:
    who = data.get("person")
    return f" by {who}" if who else ""


def _check(data: Any) -> str:
    if "expected" not in data or data["expected"] == data.get("found"):
        return f" ({data.get('phase', 'check')})"
    return f" ({data.get('phase', 'check')}): expected {data['expected']}, found {data.get('found')}"


def _statement(data: Any) -> str:
    rows = "" if data.get("rows") is None else f", {units.plural(data['rows'], 'row')}"
    took = "" if data.get("milliseconds") is None else f", {units.duration(data['milliseconds'])}"
    return f" #{data.get('index', 0) + 1}{rows}{took}"


def _target(data: Any) -> str:
    return f" on {data['target']}" if data.get("target") else ""


def _reason(data: Any) -> str:
    return f": {data['reason']}" if data.get("reason") else ""


WORDS: dict[EventKind, Callable[[Any], str]] = {
    EventKind.RUN_STARTED: _run,
    EventKind.CHECK_PASSED: _check,
    EventKind.CHECK_FAILED: _check,
    EventKind.STEP_STARTED: _target,
    EventKind.STATEMENT_STARTED: _statement,
    EventKind.STATEMENT_DONE: _statement,
    EventKind.RETRYING: _reason,
    EventKind.WAITING: _reason,
    EventKind.EDITING: _target,
    EventKind.COMMITTING: _target,
    EventKind.COMMITTED: _target,
    EventKind.ROLLED_BACK: _reason,
    EventKind.UNDO_STARTED: _reason,
    EventKind.UNDONE: _target,
    EventKind.RUN_FINISHED: lambda data: f": {data['result']}" if data.get("result") else "",
}


def _ends_batch(event: Event, *, undo: bool) -> bool:
    """Whether this chunk is the last one that an undo has to take back, or about the last one of a run."""
    return event.data.get("more") == 0 if undo else event.data["chunk"] == event.data.get("of")
