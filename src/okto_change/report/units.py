"""Figures in words: rows, times, durations, each the same wherever it is shown."""

from __future__ import annotations

from datetime import UTC, datetime

from okto_change.model import AutoUndo, Count, Quality, Rehearsal, RowBound, ScriptUndo, Undo


def plural(number: int, noun: str) -> str:
    """Return ``1 row`` or ``37 rows``; thousands get a comma."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"


def rows(count: Count) -> str:
    """Return the number of rows with how far it can be trusted: ``37 rows (exact)``, ``about 40 rows (estimated)``."""
    if count.rows is None or count.quality is Quality.UNKNOWN:
        return "rows unknown"
    about = "about " if count.quality is Quality.ESTIMATED else ""
    return f"{about}{plural(count.rows, 'row')} ({count.quality.value})"


def bounds(declared: tuple[RowBound, ...] | None) -> str:
    """Return the rows that a step declares, one bound or one a statement: ``37``, ``30 to 40, 1``."""
    return "not declared" if declared is None else ", ".join(str(bound) for bound in declared)


def undo(how: Undo) -> str:
    """Return how a step is undone, in words."""
    if isinstance(how, AutoUndo):
        return "automatic"
    if isinstance(how, ScriptUndo):
        return f"script {how.source}"
    return f"IRREVERSIBLE: {how.reason}"


def duration(milliseconds: int) -> str:
    """Return a duration as people say it: ``12 ms``, ``2 s``, ``1.2 s``, ``2 min 5 s``."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{round(milliseconds / 1000, 1):g} s"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"


def held(rehearsal: Rehearsal) -> str:
    """Return how long the statements took in a rehearsal: what they and the capture lock is held at least that long."""
    took = sum(ran.milliseconds for ran in rehearsal.statements)
    return f"The statements took {duration(took)}; their locks and those named here are held at least that long"


def size(number: int) -> str:
    """Return bytes as people read them: ``512 bytes``, ``8.0 kB``, ``1.2 GB``; a thousand and twenty-four each."""
    shown = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if shown < 1024:
            return f"{number} bytes" if unit == "bytes" else f"{shown:.1f} {unit}"
        shown /= 1024
    return f"{shown:.1f} TB"


def moment(at: datetime) -> str:
    """Return a time in UTC to the second: ``2026-11-22 02:14:09 UTC``; a time without a zone is taken for UTC."""
    zoned = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{zoned:%Y-%m-%d %H:%M:%S} UTC"


def value(shown: str | None) -> str:
    """Return a column's text as shown: NULL for null, quotes around an empty or blank-edged text."""
    if shown is None:
        return "NULL"
    return f"'{shown}'" if shown == "" or shown != shown.strip(" ") else shown
