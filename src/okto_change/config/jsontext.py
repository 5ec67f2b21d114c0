"""JSON text -> tree, strictly (RFC 8259, no duplicate keys), and values -> JSON text in the file's own style. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, NoReturn

from okto_change.config.tree import DEEPEST, Entry, Node
from okto_change.errors import EditError
from okto_change.model import Where

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"null": None, "true": True, "false": False}


def parse(text: str, file: str) -> Node:
    """Return the tree of a JSON text; raise EditError with the line of the first fault."""
    reader = _Reader(text, file)
    root = reader.value(reader.space(0), 0)
    end = reader.space(root.end)
    if end != len(text):
        reader.fail(end, "text after the end of the value")
    return root


class _Reader:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def value(self, at: int, depth: int) -> Node:
        if depth > DEEPEST:
            self.fail(at, f"more than {DEEPEST} levels of nesting")
        match self.text[at : at + 1]:
            case "{":
                return self.collection(at, depth, "}")
            case "[":
                return self.collection(at, depth, "]")
            case '"':
                return self.string(at)
        return self.literal(at)

    def collection(self, start: int, depth: int, close: str) -> Node:
        entries: list[Entry] = []
        at = self.space(start + 1)
        while self.text[at : at + 1] != close:
            if entries:
                at = self.space(self.expect(at, ","))
            entries.append(self.member(at, depth) if close == "}" else self.item(at, depth))
            at = self.space(entries[-1].value.end)
        self.demand_unique(entries)
        kind: Any = "mapping" if close == "}" else "sequence"
        return Node(kind=kind, start=start, end=at + 1, entries=tuple(entries), flow=True)

    def member(self, at: int, depth: int) -> Entry:
        if self.text[at : at + 1] != '"':
            self.fail(at, "expected a key in double quotes")
        key = self.string(at)
        value = self.space(self.expect(self.space(key.end), ":"))
        return Entry(start=at, key=key, value=self.value(value, depth + 1))

    def item(self, at: int, depth: int) -> Entry:
        return Entry(start=at, key=None, value=self.value(at, depth + 1))

    def string(self, at: int) -> Node:
        try:
            value, end = scanstring(self.text, at + 1, True)
        except json.JSONDecodeError as error:
            self.fail(error.pos, error.msg[0].lower() + error.msg[1:])
        return Node(kind="scalar", start=at, end=end, value=value, text=value, style='"')

    def literal(self, at: int) -> Node:
        for word, value in _WORDS.items():
            if self.text.startswith(word, at):
                return Node(kind="scalar", start=at, end=at + len(word), value=value, text=word)
        match = _NUMBER.match(self.text, at)
        if match is None:
            self.fail(at, "expected a value")
        return Node(kind="scalar", start=at, end=match.end(), value=_number(match), text=match[0])

    def space(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        return at if match is None else match.end()

    def expect(self, at: int, what: str) -> int:
        if self.text[at : at + 1] != what:
            self.fail(at, f"expected {what!r}")
        return at + 1

    def demand_unique(self, entries: Iterable[Entry]) -> None:
        seen: set[str] = set()
        for entry in entries:
            if entry.name in seen:
                self.fail(entry.start, f"the key {entry.name!r} stands twice")
            seen.update([entry.name] if entry.name is not None else ())

    def fail(self, at: int, what: str) -> NoReturn:
        if self.text[at : at + 1] in ("#", "/"):
            what = "comments are not JSON"
        found = repr(self.text[at : at + 10]) if at < len(self.text) else "the end of the file"
        line = self.text.count("\n", 0, at) + 1
        raise EditError(f"not JSON: {what}, found {found}", where=Where(file=self.file, line=line))


def _number(match: re.Match[str]) -> int | Decimal:
    return Decimal(match[0]) if match[1] or match[2] or len(match[0]) > 4000 else int(match[0])


def write(value: Any, *, spaced: bool, ascii_only: bool, indent: str | None) -> str:
    """Return ``value`` as JSON: on several lines with ``indent``, else on one, with a space after ``:`` or not."""
    separators = (",", ": ") if indent is not None else (", ", ": ") if spaced else (",", ":")
    try:
        return json.dumps(value, ensure_ascii=ascii_only, allow_nan=False, separators=separators, indent=indent)
    except (ValueError, TypeError) as error:
        raise EditError(f"the value cannot be written as JSON: {error}") from error
