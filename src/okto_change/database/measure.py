"""What a transaction consumes even when it is rolled back: sequence values and write-ahead log."""

from __future__ import annotations

from collections.abc import Mapping

from okto_change.database.session import Session


def sequences(session: Session) -> dict[str, int | None]:
    """Return the last value of every sequence by qualified, quoted name; None when never used, or not readable."""
    return {name: value for name, value in session.query("sequences")}


def moved(before: Mapping[str, int | None], after: Mapping[str, int | None]) -> tuple[str, ...]:
    """Say in words which sequences stand elsewhere than before; sequences of others move too while we look."""
    return tuple(
        f"sequence {name} moved from {_value(before.get(name))} to {_value(value)}"
        for name, value in sorted(after.items())
        if before.get(name) != value
    )


def wal_position(session: Session) -> int:
    """Return the server's WAL insert position in bytes. A difference counts all sessions: label it so. Primary only."""
    return int(session.query("wal_position")[0][0])


def _value(value: int | None) -> str:
    return "unused" if value is None else str(value)
