"""What differs between two locks, in lines for a person: sources, parameters, bytes of the rendered SQL."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from typing import Any

from okto_change import digest
from okto_change.model import Lock

MOST_LINES = 50
MOST_SHOWN = 60
MOST_COMPARED = 2000

_NAMED = {"steps": "step", "checks": "check", "sources": "source"}
_SINGULAR = {"parameters": "parameter", "targets": "target"}
_DERIVED = frozenset({"rendered_sha256", "source_sha256"})


def explain_difference(old: Lock | bytes, new: Lock | bytes) -> tuple[str, ...]:
    """Return what ``new`` says otherwise than ``old``; nothing if their bytes are equal."""
    before, after = (lock.content if isinstance(lock, Lock) else lock for lock in (old, new))
    if before == after:
        return ()
    try:
        documents = digest.parse(before), digest.parse(after)
    except (ValueError, RecursionError):
        return (_bytes("the lock, which is not canonical JSON", before, after),)
    lines = list(dict.fromkeys(_differences("", *documents))) or [_bytes("the lock", before, after)]
    rest = len(lines) - MOST_LINES
    return (*lines[:MOST_LINES], *([f"and {rest} more differences"] if rest > 0 else []))


def text_differences(label: str, old: bytes, new: bytes) -> tuple[str, ...]:
    """Return which bytes of a text differ, a line for each run of changed lines; nothing if they are equal."""
    return () if old == new else tuple(_texts(label, old, new))


def _differences(label: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _objects(label, old, new)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True), start=1):
            yield from _differences(f"{label} {number}", before, after)
    else:
        yield f"{label}: {_shown(old)} -> {_shown(new)}"


def _objects(label: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    text_differs = old.get("rendered") != new.get("rendered")
    for key in sorted({*old, *new}, key=_order):
        before, after = old.get(key), new.get(key)
        if before == after or key in _DERIVED or (key == "statements" and text_differs):
            continue
        if key == "rendered" and isinstance(before, list) and isinstance(after, list):
            yield from _texts(_source(label, new), _joined(before), _joined(after))
        elif key in _NAMED and not label and isinstance(before, list) and isinstance(after, list):
            yield from _named(_NAMED[key], before, after)
        elif label in _SINGULAR:
            yield from _differences(f"{_SINGULAR[label]} {key}", before, after)
        else:
            yield from _differences(f"{label}: {key}" if label else key, before, after)


def _named(kind: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    before, after = _by_name(old), _by_name(new)
    for name in dict.fromkeys([*before, *after]):
        label = f"{kind} '{name}'"
        if name not in after or name not in before:
            yield f"{label} was {'removed' if name not in after else 'added'}"
        elif kind == "source" and before[name] != after[name]:
            yield f"{label} changed: {_file(before[name])} -> {_file(after[name])}"
        else:
            yield from _differences(label, before[name], after[name])
    common = [name for name in before if name in after]
    if common != [name for name in after if name in before]:
        yield f"the {kind}s stand in another order"


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {str(item.get("name", item.get("path"))): item for item in items if isinstance(item, dict)}


def _texts(label: str, old: bytes, new: bytes) -> Iterator[str]:
    """One line for each run of changed lines; a single one where there are too many lines to compare."""
    before, after = (text.splitlines(keepends=True) for text in (old, new))
    if len(before) + len(after) > MOST_COMPARED:
        yield _bytes(label, old, new)
        return
    for tag, low, high, first, last in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag != "equal":
            span = sum(map(len, before[:low])), sum(map(len, before[:high]))
            yield _bytes(label, old, old[: span[0]] + b"".join(after[first:last]) + old[span[1] :])


def _bytes(label: str, old: bytes, new: bytes) -> str:
    start = _common(old, new)
    tail = min(_common(old[start:][::-1], new[start:][::-1]), len(old) - start, len(new) - start)
    while start and (_inside(old, start) or _inside(new, start)):
        start -= 1
    while tail and (_inside(old, len(old) - tail) or _inside(new, len(new) - tail)):
        tail -= 1
    stop = len(old) - tail
    line = old.count(b"\n", 0, start) + 1
    shown = f"{_excerpt(old[start:stop])} -> {_excerpt(new[start : len(new) - tail])}"
    return f"{label}: bytes {start}-{stop} of {len(old)} (line {line}) differ: {shown}"


def _common(old: bytes, new: bytes) -> int:
    size = min(len(old), len(new))
    if old[:size] == new[:size]:
        return size
    low, high = 0, size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if old[low:middle] == new[low:middle] else (low, middle)
    return low


def _inside(text: bytes, at: int) -> bool:
    return at < len(text) and text[at] & 0xC0 == 0x80


def _excerpt(text: bytes) -> str:
    return _cut(ascii(text.decode("utf-8", "replace")))


def _shown(value: Any) -> str:
    return "nothing" if value is None else _cut(json.dumps(value))


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."


def _joined(lines: list[Any]) -> bytes:
    return "\n".join(map(str, lines)).encode("utf-8")


def _source(label: str, item: dict[str, Any]) -> str:
    return f"{item.get('source')} ({label}, as rendered)"


def _file(item: dict[str, Any]) -> str:
    return f"{item.get('size')} bytes, sha256 {str(item.get('sha256'))[:12]}"


def _order(key: str) -> tuple[int, str]:
    first = ("sources", "parameters", "rendered", "undo", "steps", "checks")
    return (first.index(key) if key in first else len(first), key)
