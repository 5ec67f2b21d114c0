"""Splices in collections with braces and brackets: JSON, and YAML in flow style. Pure."""

from __future__ import annotations

import re
from typing import Any

from okto_change.config.sheet import Sheet, Splice
from okto_change.config.tree import Entry, Node

_COMMA = re.compile(r"\s*,")
_REST = re.compile(r"[ \t]*(,?)[ \t]*(#[^\n]*)?\r?$", re.MULTILINE)
_SEPARATOR = re.compile(r",[ \t]*")


def replace(sheet: Sheet, container: Node, entry: Entry, value: Any) -> list[Splice]:
    """Set the value of ``entry``."""
    old = entry.value
    new = sheet.inline(value, style=old.style, lines=_on_lines(sheet, container), at=entry.start)
    if old.start < old.end:
        return [Splice(old.start, old.end, new)]
    if sheet.has_colon(entry):
        return [Splice(old.end, old.end, f" {new}")]
    return [Splice(entry.end, entry.end, f": {new}")]


def insert(sheet: Sheet, container: Node, index: int, name: str | None, value: Any) -> list[Splice]:
    """Add an entry at ``index``; ``name`` None for an item."""
    lines = _on_lines(sheet, container)
    at = container.entries[min(index, len(container.entries) - 1)].start if container.entries else container.start
    text = ("" if name is None else sheet.key(name)) + sheet.inline(value, lines=lines, at=at)
    return insert_text(sheet, container, index, text)


def insert_text(sheet: Sheet, container: Node, index: int, text: str) -> list[Splice]:
    """Add an entry whose text is known at ``index``."""
    entries = container.entries
    if not entries:
        opening = sheet.text.rfind("{" if container.kind == "mapping" else "[", container.start, container.end)
        return [Splice(opening + 1, container.end - 1, text)]
    if index == len(entries):
        return _append(sheet, container, text)
    following = entries[index].start
    if sheet.leads(following) and _on_lines(sheet, container):
        lead = sheet.text[sheet.line(following) : following]
        return [Splice(following, following, f"{text},{sheet.newline}{lead}")]
    return [Splice(following, following, text + _separator(sheet, container))]


def remove(sheet: Sheet, container: Node, index: int) -> list[Splice]:
    """Take an entry out, with its comma, and with its lines if nothing else stands on them."""
    entries, entry = container.entries, container.entries[index]
    if len(entries) == 1:
        return [_emptied(sheet, container)]
    last = index == len(entries) - 1
    rest = _REST.match(sheet.text, entry.end)
    if sheet.leads(entry.start) and rest is not None and (rest[1] or last):
        gone = [Splice(sheet.line(entry.start), sheet.next_line(rest.end()), "")]
        if last and not rest[1]:
            gone.append(_comma_after(sheet, entries[index - 1]))
        return gone
    if last:
        return [Splice(entries[index - 1].end, entry.end, "")]
    return [Splice(entry.start, entries[index + 1].start, "")]


def _append(sheet: Sheet, container: Node, text: str) -> list[Splice]:
    last = container.entries[-1]
    rest = _REST.match(sheet.text, last.end)
    if not (sheet.leads(last.start) and _on_lines(sheet, container)):
        return [Splice(last.end, last.end, _separator(sheet, container) + text)]
    lead = sheet.newline + sheet.text[sheet.line(last.start) : last.start]
    if rest is None:
        return [Splice(last.end, last.end, f",{lead}{text}")]
    end = sheet.eol(last.end)
    if rest[1]:
        return [Splice(end, end, f"{lead}{text},")]
    return [Splice(last.end, last.end, ","), Splice(end, end, f"{lead}{text}")]


def _emptied(sheet: Sheet, container: Node) -> Splice:
    bracket = "{" if container.kind == "mapping" else "["
    first = container.entries[0]
    opening = sheet.text.rfind(bracket, container.start, first.start)
    return Splice(opening + 1, container.end - 1, "") if opening >= 0 else Splice(first.start, first.end, "")


def _comma_after(sheet: Sheet, entry: Entry) -> Splice:
    match = _COMMA.match(sheet.text, entry.end)
    end = match.end() if match else entry.end
    return Splice(end - 1, end, "") if match else Splice(end, end, "")


def _on_lines(sheet: Sheet, container: Node) -> bool:
    """Whether the entries of ``container`` stand on lines of their own; an empty one does as the file does."""
    if container.entries:
        return sheet.leads(container.entries[0].start)
    return sheet.format == "json" and "\n" in sheet.text.strip()


def _separator(sheet: Sheet, container: Node) -> str:
    first, *others = container.entries
    between = sheet.text[first.end : others[0].start] if others else ""
    if _SEPARATOR.fullmatch(between):
        return between
    return "," if sheet.format == "json" and not sheet.spaced else ", "
