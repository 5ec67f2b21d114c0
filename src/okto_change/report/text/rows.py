"""A sample of the rows that change: key, old → new."""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.model import Rehearsal, RowChange, TableWrites
from okto_change.report import units
from okto_change.report.look import DIM, GOOD, Cell, Page

SAMPLE = 10
"""Row changes shown a table; the record of the dry run holds more."""

MOST_COLUMNS = 3
"""Changed columns that still fit side by side on 80 columns."""


def add_samples(page: Page, rehearsal: Rehearsal) -> None:
    """Add a section per table with the first rows that change, and how many of how many they are."""
    add_changes(page, rehearsal.writes, rehearsal.rows)


def add_changes(page: Page, writes: Sequence[TableWrites], changes: Sequence[RowChange]) -> None:
    """Add a section per table with the first of its ``changes``, and how many of all its ``writes`` they are."""
    totals = {table.table: table.total for table in writes}
    for table in dict.fromkeys(row.table for row in changes):
        rows = [row for row in changes if row.table == table]
        shown = min(len(rows), SAMPLE)
        page.heading(f"ROWS of {table}  ", (f"{shown:,} of {max(totals.get(table, 0), len(rows)):,}", DIM))
        add_rows(page, rows, indent=2)


def add_rows(page: Page, rows: Sequence[RowChange], *, indent: int) -> None:
    """Add the first rows: side by side where all change the same few columns, else a line a column."""
    shown = rows[:SAMPLE]
    columns = {tuple(row.columns) for row in shown if not _whole(row)}
    if len(columns) == 1 and len(*columns) <= MOST_COLUMNS and not any(map(_whole, shown)):
        names = columns.pop()
        cells = [[key(row), *(_move(*row.columns[name]) for name in names)] for row in shown]
        page.table(["key", *names], cells, indent=indent)
        return
    page.columns([line for row in shown for line in _lines(row)], indent=indent)


def key(row: RowChange) -> str:
    """Return a row's key as ``id=42``; a row without a key says so."""
    return ", ".join(f"{name}={units.value(text)}" for name, text in row.key.items()) or "(no key)"


def _lines(row: RowChange) -> list[list[Cell]]:
    if row.before is None:
        return [[key(row), ("new row", GOOD), row.after or ""]]
    if row.after is None:
        return [[key(row), ("deleted", "red"), row.before]]
    moves = [[name, _move(old, new)] for name, (old, new) in row.columns.items()]
    return [[key(row) if number == 0 else "", *move] for number, move in enumerate(moves)]


def _move(old: str | None, new: str | None) -> str:
    return f"{units.value(old)} → {units.value(new)}"


def _whole(row: RowChange) -> bool:
    return row.before is None or row.after is None
