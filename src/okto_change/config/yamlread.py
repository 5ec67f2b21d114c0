"""YAML text -> tree, from ruamel's events, whose marks say where everything stands. Pure.

Plain scalars are typed by the core schema of YAML 1.2, without what readers disagree on: ``yes``, ``010``, ``1_000``
and ``12:30`` are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from okto_change.config.tree import DEEPEST, Entry, Node, Tagged
from okto_change.errors import EditError
from okto_change.model import Where

WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_COMMENT = re.compile(r"(^|[ \t])#.*")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,4000})|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_LAST_BREAK = re.compile(r"\r?\n\Z")
_BLANK_END = re.compile(r"(\r?\n[ \t]*)+\Z")
FOLD_MARK = "\x07"
"""what ruamel leaves in the value of a block scalar where it will fold again"""
COLON = re.compile(r"[ \t]*:")
_HEADER = re.compile(r"[|>]([0-9+-]*)")


@lru_cache(maxsize=4)  # an edit, the check of it and its undo read the same text again
def parse(text: str, file: str) -> Node:
    """Return the tree of the one document in ``text``; raise EditError with the line of the first fault."""
    return _Builder(text, file).document()


Event = Any
"""A parser event of ruamel's; which attributes it has depends on its class."""


def typed(text: str) -> Any:
    """Return the value of a plain scalar."""
    if text in WORDS:
        return WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return Decimal(text) if _FLOAT.fullmatch(text) else text


class _Builder:
    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.anchors: set[str] = set()
        self._events = self._read()

    def document(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if root is not None:
                    self.fail(event, "several documents in one file cannot be edited")
                root = self.node(next(self._events), 0)
        if root is None or (root.kind == "scalar" and root.start == root.end):
            raise EditError("the file is empty", where=self.file, hint="write its first key by hand")
        return root

    def node(self, event: Event, depth: int) -> Node:
        if depth > DEEPEST:
            self.fail(event, f"more than {DEEPEST} levels of nesting")
        if isinstance(event, AliasEvent):
            if event.anchor not in self.anchors:
                self.fail(event, f"the alias *{event.anchor} has no anchor before it")
            return Node(kind="alias", start=_start(event), end=_end(event), text=str(event.anchor))
        if event.anchor is not None:
            self.anchors.add(str(event.anchor))
        if isinstance(event, ScalarEvent):
            return self.scalar(event)
        if isinstance(event, MappingStartEvent):
            return self.mapping(event, depth)
        return self.sequence(event, depth)

    def scalar(self, event: ScalarEvent) -> Node:
        start, end, style, tag = _start(event), _end(event), event.style or "", _tag(event)
        text = str(event.value)
        if style in ("|", ">"):
            text = text.replace(FOLD_MARK, "")
            end = self.block_scalar_end(start, end)
        value: Any = typed(text) if not style and event.implicit[0] else text
        return Node(
            kind="scalar",
            start=start,
            end=end,
            value=value if tag is None else Tagged(tag=tag, value=text),
            text=text,
            style=style,
            tag=tag,
            anchor=_anchor(event),
        )

    def block_scalar_end(self, start: int, end: int) -> int:
        """Return the end of the value's last line; blank ones belong to it only if the header keeps them."""
        header = _HEADER.search(self.text, start)
        body = self.text[start:end]
        kept = header is not None and "+" in header[1]
        return start + len((_LAST_BREAK if kept else _BLANK_END).sub("", body))

    def mapping(self, opened: MappingStartEvent, depth: int) -> Node:
        entries: list[Entry] = []
        seen: set[tuple[str, str, Any]] = set()
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self.node(event, depth + 1)
            mark = key.text, type(key.value).__name__, key.value
            if key.kind == "scalar" and mark in seen:
                self.fail(event, f"the key {key.text!r} stands twice")
            seen.add(mark)
            value = self.node(next(self._events), depth + 1)
            entries.append(Entry(start=key.start, key=key, value=self.in_place(key, value)))
        return self.collection("mapping", opened, event, entries)

    def in_place(self, key: Node, value: Node) -> Node:
        """Return ``value``; an empty one, whose mark is somewhere behind, right after its colon or key."""
        if value.kind != "scalar" or value.start < value.end:
            return value
        colon = COLON.match(self.text, key.end)
        at = key.end if colon is None else colon.end()
        return replace(value, start=at, end=at)

    def sequence(self, opened: Event, depth: int) -> Node:
        entries: list[Entry] = []
        flow = bool(opened.flow_style)
        while not isinstance(event := next(self._events), SequenceEndEvent):
            value = self.node(event, depth + 1)
            entries.append(Entry(start=value.start if flow else self.dash(value.start), key=None, value=value))
        return self.collection("sequence", opened, event, entries)

    def collection(self, kind: Any, opened: Event, closed: Event, entries: list[Entry]) -> Node:
        flow = bool(opened.flow_style)
        bracketed = flow and self.text[_end(closed) - 1 : _end(closed)] in ("}", "]") and _end(closed) > _start(closed)
        start = _start(opened)
        end = _end(closed) if bracketed else entries[-1].end
        return Node(
            kind=kind, start=start, end=end, entries=tuple(entries), flow=flow, tag=_tag(opened), anchor=_anchor(opened)
        )

    def dash(self, at: int) -> int:
        """Return where the dash before the item at ``at`` stands; comments and line breaks may be between."""
        line = self.text.rfind("\n", 0, at) + 1
        code = self.text[line:at].rstrip()
        while not code.endswith("-") and line > 0:
            line, end = self.text.rfind("\n", 0, line - 1) + 1, line - 1
            code = _COMMENT.sub("", self.text[line:end]).rstrip()
        return line + len(code) - 1 if code else at

    def _read(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self.text)
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = None if mark is None else mark.line + 1
            problem = getattr(error, "problem", None) or str(error).splitlines()[0]
            raise EditError(f"not YAML: {problem}", where=Where(file=self.file, line=line)) from error

    def fail(self, event: Event, what: str) -> NoReturn:
        raise EditError(what, where=Where(file=self.file, line=event.start_mark.line + 1))


def _tag(event: Event) -> str | None:
    return None if event.ctag is None else str(event.ctag)


def _anchor(event: Event) -> str | None:
    return None if event.anchor is None else str(event.anchor)


def _start(event: Event) -> int:
    return int(event.start_mark.index)


def _end(event: Event) -> int:
    return int(event.end_mark.index)
