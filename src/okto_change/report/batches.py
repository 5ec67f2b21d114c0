"""A large fix in words: how far it is, how fast, how long it will take; and what a rehearsal lets expect of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okto_change.model import BatchRehearsal, Progress
from okto_change.report import units

WIDTH = 16
"""characters of the bar"""


def far(progress: Progress) -> str:
    """Return how far a batch got: ``release: chunk 12 of about 100, 60,000 rows so far (02:14:09 UTC)``."""
    what = "chunk {} is taken back, of {}" if progress.undo else "chunk {} of {}"
    of = "an unknown number" if progress.of is None else f"about {max(progress.of, progress.chunk):,}"
    rows = "" if progress.rows is None else f", {units.plural(progress.rows, 'row')} so far"
    return f"{progress.step}: {what.format(f'{progress.chunk:,}', of)}{rows}, {units.moment(progress.at)}"


class Pace:
    """How fast chunks go by, from the first one that was seen; seconds are those of any steady clock."""

    def __init__(self) -> None:
        self._step: tuple[str | None, bool] | None = None
        self._begun = 0.0
        self._chunks = 0
        self._rows = 0

    def line(self, step: str | None, data: Mapping[str, Any], now: float, *, undo: bool) -> str:
        """Return the line of a chunk that was committed, or with ``undo`` taken back, at ``now`` seconds.

        Rate and time left need a second chunk; without statistics of the table there is neither bar nor time left.
        """
        number, of, total = int(data["chunk"]), data.get("of"), data.get("total")
        if self._step != (step, undo):
            self._step, self._begun, self._chunks, self._rows = (step, undo), now, 0, total or 0
        else:
            self._chunks += 1
        done = number if not undo or of is None else int(of) - int(data.get("more", number - 1))
        seconds = now - self._begun
        parts = [_share(done, of)]
        if self._chunks and seconds > 0:
            parts += [] if of is None else [f"about {_left(seconds / self._chunks * max(int(of) - done, 0))} left"]
            parts += [] if total is None else [f"{round((total - self._rows) / seconds):,} rows/s"]
        parts += [
            _count(number, of, undo=undo, rest=bool(data.get("rest"))),
            "" if total is None else units.plural(total, "row"),
        ]
        return f"{step} {' · '.join(part for part in parts if part)}"


def _share(done: int, of: int | None) -> str:
    if of is None:
        return ""
    share = min(done / max(of, 1), 1.0)
    filled = round(share * WIDTH)
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {int(share * 100)} %"


def _count(number: int, of: int | None, *, undo: bool, rest: bool) -> str:
    what = ("took back what was left of chunk" if rest else "took back chunk") if undo else "chunk"
    return f"{what} {number:,}" + ("" if of is None else f" of {'' if undo else 'about '}{max(of, number):,}")


def _left(seconds: float) -> str:
    if seconds < 60:
        return f"{round(seconds)} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def expected(seen: BatchRehearsal) -> str:
    """Return what a rehearsal ran of a batch, and what is estimated from it."""
    if seen.whole:
        return f"{seen.step}: rehearsed whole, {units.plural(seen.chunks, 'chunk')} of at most {seen.size:,} rows of the table"
    if seen.of is None or seen.expected_milliseconds is None:
        why = "the table was never analysed, so how many there are is unknown"
        return f"{seen.step}: rehearsed {units.plural(seen.chunks, 'chunk')} of {seen.size:,} rows; {why}"
    rows = "" if seen.expected_rows is None else f"about {units.plural(seen.expected_rows, 'row')} and "
    return (
        f"{seen.step}: rehearsed {seen.chunks:,} of about {seen.of:,} chunks; estimated from these: "
        f"{rows}about {_left(seen.expected_milliseconds / 1000)} for the whole"
    )
