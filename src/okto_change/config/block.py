"""Splices in YAML collections that stand on lines of their own. Comment lines are never touched. Pure."""

from __future__ import annotations

from typing import Any

from okto_change.config.sheet import Sheet, Splice
from okto_change.config.tree import Entry, Node
from okto_change.config.yamlwrite import is_block


def replace(sheet: Sheet, entry: Entry, value: Any) -> list[Splice]:
    """Set the value of ``entry``; a comment on its line stays."""
    flow = entry.value.flow and entry.value.kind in ("mapping", "sequence")
    if is_block(value) and not flow:
        return _with_block(sheet, entry, value)
    return _with_inline(sheet, entry, sheet.inline(value, style=entry.value.style))


def insert(sheet: Sheet, container: Node, name: str | None, value: Any) -> list[Splice]:
    """Add an entry after the last one, standing in as its siblings do; ``name`` None for an item."""
    return insert_text(sheet, container, len(container.entries), _text(sheet, container, name, value))


def insert_text(sheet: Sheet, container: Node, index: int, text: str, *, after: int | None = None) -> list[Splice]:
    """Add an entry whose lines are known, the first without its indentation, at ``index``.

    It goes right after the entry before it, or after the line that ends at ``after``.
    """
    entries = container.entries
    lead = " " * sheet.column(entries[0].start)
    if index == 0:
        first = entries[0].start
        return [Splice(first, first, text + sheet.newline + lead)]
    end = sheet.eol(entries[index - 1].end) if after is None else after
    return [Splice(end, end, sheet.newline + lead + text)]


def remove(sheet: Sheet, container: Node, index: int, owner: Entry | None) -> list[Splice]:
    """Take an entry out with its lines and the comments on them. ``owner`` holds the container, None at the root."""
    entries, entry = container.entries, container.entries[index]
    if len(entries) == 1:
        empty: Any = {} if container.kind == "mapping" else []
        if owner is None:
            return [Splice(container.start, sheet.eol(container.end), sheet.inline(empty))]
        return _with_inline(sheet, owner, sheet.inline(empty))
    if not sheet.leads(entry.start):
        following = sheet.next_line(entry.end)
        return [Splice(entry.start, following + len(sheet.text[following:]) - len(sheet.text[following:].lstrip()), "")]
    start, end = sheet.line(entry.start), sheet.next_line(entry.end)
    if sheet.text[end - 1] != "\n":
        return [Splice(sheet.eol(start - 1 - (len(sheet.newline) - 1)), end, "")]
    return [Splice(start, end, "")]


def extent(sheet: Sheet, entry: Entry) -> tuple[int, int]:
    """Return start and end of an entry with the comment on its last line."""
    return entry.start, sheet.eol(entry.end)


def _with_inline(sheet: Sheet, entry: Entry, new: str) -> list[Splice]:
    old, indicator = entry.value, sheet.after_colon(entry)
    if old.start == old.end:
        return [Splice(indicator, indicator, f" {new}")]
    if not old.is_block:
        return [Splice(old.start, old.end, new)]
    if not sheet.leads(old.start):
        return [Splice(old.start, sheet.eol(old.end), new)]
    return [
        Splice(indicator, indicator, f" {new}"),
        Splice(sheet.eol(_line_before(sheet, old.start)), sheet.eol(old.end), ""),
    ]


def _with_block(sheet: Sheet, entry: Entry, value: Any) -> list[Splice]:
    old, indicator = entry.value, sheet.after_colon(entry)
    if old.is_block:
        first = old.entries[0].start
        if not sheet.leads(first):
            return [Splice(first, sheet.eol(old.end), sheet.block(value, sheet.column(first)).lstrip(" "))]
        least = sheet.column(entry.start) + (sheet.unit if isinstance(value, dict) else 0)
        text = sheet.block(value, max(sheet.column(first), least))
        return [Splice(sheet.line(first), sheet.eol(old.end), text)]
    if entry.key is None:
        text = sheet.block(value, sheet.column(entry.start) + 2).lstrip(" ")
        return [Splice(indicator, old.end, f" {text}")]
    step = sheet.unit if isinstance(value, dict) else sheet.offset
    text = sheet.newline + sheet.block(value, sheet.column(entry.start) + step)
    end = sheet.eol(max(old.end, indicator))
    cut = [Splice(indicator, old.end, "")] if old.end > indicator else []
    return [*cut, Splice(end, end, text)]


def _line_before(sheet: Sheet, at: int) -> int:
    """Return where the line before that of ``at`` begins."""
    return sheet.line(sheet.line(at) - 1)


def _text(sheet: Sheet, container: Node, name: str | None, value: Any) -> str:
    column = sheet.column(container.entries[0].start)
    if name is None:
        return "- " + (sheet.block(value, column + 2).lstrip(" ") if is_block(value) else sheet.inline(value))
    key = sheet.key(name)
    if not is_block(value):
        return key + sheet.inline(value)
    step = sheet.unit if isinstance(value, dict) else sheet.offset
    return key.rstrip() + sheet.newline + sheet.block(value, column + step)
