"""JSON values -> YAML text that every reader takes the same way: plain where that is safe, else quoted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from okto_change.errors import EditError

_SAFE = re.compile(r"[\w/](?:[\w./@%+=~-]|:(?=[\w/])|[ ](?=[\w/(]))*", re.ASCII)
_GUESSED = re.compile(
    r"(?ix) y|n|yes|no|on|off|true|false|null|~ | [-+.0-9][-+.0-9_:xoeabcdf]* | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*"
)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def scalar(value: Any, style: str, quote: str) -> str:
    """Return a scalar on one line: text in the quotes ``style`` if any, else plain if safe, else in ``quote``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float() | Decimal():
            return _number(value)
        case str():
            return _text(value, style, quote)
    raise EditError(f"a {type(value).__name__} cannot be written into a config file")


def inline(value: Any, style: str, quote: str) -> str:
    """Return any value on one line, collections with braces and brackets."""
    if isinstance(value, Mapping):
        pairs = (f"{scalar(str(key), '', quote)}: {inline(item, '', quote)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(inline(item, "", quote) for item in value) + "]"
    return scalar(value, style, quote)


def block(value: Any, column: int, unit: int, offset: int, quote: str) -> Iterator[str]:
    """Yield the lines of a collection with entries, from ``column`` on; ``offset`` is that of a list under its key."""
    space = " " * column
    if isinstance(value, Mapping):
        for key, item in value.items():
            head = f"{space}{scalar(str(key), '', quote)}:"
            step = offset if isinstance(item, list | tuple) else unit
            yield from _below(head, item, column + step, unit, offset, quote)
        return
    for item in value:
        if is_block(item):
            first, *rest = block(item, column + 2, unit, offset, quote)
            yield f"{space}- {first.lstrip(' ')}"
            yield from rest
        else:
            yield f"{space}- {inline(item, '', quote)}"


def is_block(value: Any) -> bool:
    """Whether ``value`` needs lines of its own in block style: a collection with entries."""
    return isinstance(value, Mapping | list | tuple) and bool(value)


def _below(head: str, item: Any, column: int, unit: int, offset: int, quote: str) -> Iterator[str]:
    if is_block(item):
        yield head
        yield from block(item, column, unit, offset, quote)
    else:
        yield f"{head} {inline(item, '', quote)}"


def _number(value: float | Decimal) -> str:
    """Return digits that readers of YAML 1.1, which want a point in a float, take for a number too."""
    if not Decimal(value).is_finite():
        raise EditError(f"{value} cannot be written into a config file")
    text = repr(value) if isinstance(value, float) else str(value)
    mantissa, e, exponent = text.lower().partition("e")
    return mantissa + ("" if "." in mantissa else ".0") + e + exponent


def _text(value: str, style: str, quote: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise EditError("text with half a surrogate pair cannot be written into a config file")
    wanted = style if style in ("'", '"') else quote
    if style not in ("'", '"') and _SAFE.fullmatch(value) and not _GUESSED.fullmatch(value):
        return value
    if wanted == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
