"""Parts of composed statements: names, literals, lists, types. Text of statements stays literal in the code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, LiteralString

from psycopg import sql

from okto_change.database.session import compose, identifier

Part = sql.Composable
Composed = sql.Composed


def literal(value: str | int | bool | None) -> sql.Literal:
    """Return a value as a quoted literal."""
    return sql.Literal(value)


def joined(parts: Iterable[sql.Composable], separator: LiteralString = ", ") -> sql.Composed:
    """Put ``separator`` between parts; nothing for none."""
    return sql.SQL(separator).join(parts)


def settled(part: Part) -> Part:
    """Return a part that is used again and again, put together once."""
    text: Any = part.as_string(None)
    return sql.SQL(text)


OPERATOR_CHARACTERS: dict[str, LiteralString] = {
    "+": "+",
    "-": "-",
    "*": "*",
    "/": "/",
    "<": "<",
    ">": ">",
    "=": "=",
    "~": "~",
    "!": "!",
    "@": "@",
    "#": "#",
    "%": "%",
    "^": "^",
    "&": "&",
    "|": "|",
    "`": "`",
    "?": "?",
}


def operator(schema: str, name: str) -> sql.Composed:
    """Return ``OPERATOR(schema.name)``. Raises ValueError for what is no operator, since it cannot be quoted."""
    if not name or "--" in name or "/*" in name or set(name) - set(OPERATOR_CHARACTERS):
        raise ValueError(f"not an operator: {name!r}")
    text: LiteralString = ""
    for character in name:
        text += OPERATOR_CHARACTERS[character]
    return compose("OPERATOR({schema}.{name})", schema=identifier(schema), name=sql.SQL(text))


__all__ = ["Composed", "Part", "compose", "identifier", "joined", "literal", "operator", "settled"]
