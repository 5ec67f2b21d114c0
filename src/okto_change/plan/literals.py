"""Values as PostgreSQL literals, always quoted and always cast; names as quoted identifiers.

A literal is one line and shows what it holds: invisible and confusable characters are escaped. No plain ``'...'`` holds
a backslash, so neither ``standard_conforming_strings`` nor a string continued from an ``E'...'`` changes its meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from okto_change.plaintext import visible
from okto_change.plan import values
from okto_change.plan.names import MOST_IDENTIFIER
from okto_change.plan.types import SqlType

MOST_ITEMS = 100_000
MOST_DIMENSIONS = 6

_SIMPLE_ITEM = re.compile(r"[A-Za-z0-9_.:+@-]+", re.ASCII)
_ESCAPES = {"\\": "\\\\", "'": "''", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def literal(kind: SqlType, value: Any) -> str:
    """Return ``value`` (text, None for NULL, nested tuples for an array) as a literal cast to ``kind``.

    Raises ValueError, saying what was expected, when ``value`` is none of ``kind``.
    """
    if value is None:
        return f"NULL::{kind.cast}"
    if kind.array:
        return f"{_array(kind, value)}::{kind.cast}"
    if not isinstance(value, str):
        raise ValueError(f"one value for {kind.cast}, not a list")
    values.check(kind, value)
    return f"{quote(value)}::{kind.cast}"


def quote(text: str) -> str:
    """Return ``text`` in single quotes, as ``E'...'`` where a character needs an escape; raises ValueError for NUL."""
    if "\x00" in text:
        raise ValueError("text without NUL characters")
    if text.isascii() and text.isprintable() and "\\" not in text:
        return "'" + text.replace("'", "''") + "'"
    shown = _shown if unicodedata.is_normalized("NFC", text) else str.isascii
    escaped = "".join(_escape(character, shown(character)) for character in text)
    return ("E'" if "\\" in escaped else "'") + escaped + "'"


def identifier(*parts: str) -> str:
    """Return a name in double quotes, its parts joined by dots; raises ValueError for what cannot be a name."""
    for part in parts:
        if not part or not all(visible(character) and character not in "\n\t" for character in part):
            raise ValueError("a name without invisible characters")
        if len(part.encode("utf-8")) > MOST_IDENTIFIER:
            raise ValueError(f"a name of at most {MOST_IDENTIFIER} bytes")
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _escape(character: str, shown: bool) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if shown and character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _shown(character: str) -> bool:
    selector = "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    return visible(character) and not selector


def _array(kind: SqlType, value: Any) -> str:
    if not isinstance(value, tuple):
        raise ValueError(f"a list for {kind.cast}")
    shape = _shape(value)
    if len(shape) > MOST_DIMENSIONS or (0 in shape and len(shape) > 1):
        raise ValueError(f"at most {MOST_DIMENSIONS} dimensions and no empty list inside a list")
    items = list(_leaves(value))
    if len(items) > MOST_ITEMS:
        raise ValueError(f"at most {MOST_ITEMS} items, found {len(items)}")
    for item in items:
        _check_item(kind, item)
    if all(item is None or (_SIMPLE_ITEM.fullmatch(item) and item.upper() != "NULL") for item in items):
        return "'" + _braces(value) + "'"
    return _constructor(value)


def _check_item(kind: SqlType, item: str | None) -> None:
    if item is not None:
        try:
            values.check(kind.element, item)
        except ValueError as error:
            raise ValueError(f"a list of which each item is {error}; '{item[:40]}' is not") from error


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple):
        return ()
    shapes = {_shape(item) for item in value}
    if len(shapes) > 1:
        raise ValueError("lists of equal length inside a list")
    return (len(value), *(shapes.pop() if shapes else ()))


def _leaves(value: tuple[Any, ...]) -> Iterator[str | None]:
    for item in value:
        if isinstance(item, tuple):
            yield from _leaves(item)
        else:
            yield item


def _braces(value: Any) -> str:
    if isinstance(value, tuple):
        return "{" + ",".join(_braces(item) for item in value) + "}"
    return "NULL" if value is None else str(value)


def _constructor(value: Any) -> str:
    if isinstance(value, tuple):
        return "ARRAY[" + ", ".join(_constructor(item) for item in value) + "]"
    return "NULL" if value is None else quote(value)
