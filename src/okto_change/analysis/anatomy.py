"""The parts of an UPDATE, DELETE, INSERT, MERGE, COPY or TRUNCATE, found by tokens: target, SET items, FROM, WHERE.

Every part is a run of the author's own tokens, so its text can be sliced from the file. What does not fit PostgreSQL's
grammar gives None, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.analysis.lexer import QUOTED, WORD, Token, folded
from okto_change.analysis.verbs import level, main_verb
from okto_change.model.base import type_

Tokens = tuple[Token, ...]
_AFTER_TARGET = {
    "SET",
    "USING",
    "WHERE",
    "RETURNING",
    "VALUES",
    "SELECT",
    "DEFAULT",
    "OVERRIDING",
    "WITH",
    "FROM",
    "TO",
    "TABLE",
}
_CLAUSES = {"UPDATE": ("SET", "FROM", "WHERE", "RETURNING"), "DELETE": ("USING", "WHERE", "RETURNING")}


@type_
class SetItem:
    """One assignment, of all ``columns`` it sets.

    ``column`` is None when it sets a part of a column (``a[1]``, ``j['b']``, ``c.f``) or several columns from a query.
    ``value`` is the expression, () for DEFAULT or where it cannot be told per column.
    """

    columns: tuple[str, ...]
    column: str | None
    value: Tokens


@type_
class Target:
    """The relation written: ``name`` folded, ``alias`` as spelled, ``tokens`` as written with ONLY and alias."""

    name: str
    alias: str
    tokens: Tokens


@type_
class Anatomy:
    """The parts of an UPDATE or DELETE: ``prefix`` is WITH, ``source`` FROM or USING, ``where`` () means every row."""

    prefix: Tokens
    target: Target
    items: tuple[SetItem, ...]
    source: Tokens
    where: Tokens

    @property
    def current_of(self) -> bool:
        """Whether the row is that of a cursor: ``WHERE CURRENT OF``."""
        return [token.keyword for token in self.where[:2]] == ["CURRENT", "OF"]


def dissect(tokens: Sequence[Token]) -> Anatomy | None:
    """Return the parts of an UPDATE or DELETE; None for other statements and for what does not fit the grammar."""
    start = main_verb(tokens)
    verb = tokens[start].keyword if tokens else ""
    if verb not in _CLAUSES:
        return None
    marks = _marks(tokens, start, _CLAUSES[verb])
    found = target(tokens[start : marks.get("SET", min(marks.values(), default=len(tokens)))])
    if found is None or (verb == "UPDATE") != ("SET" in marks):
        return None
    if not all(_part(tokens, marks, keyword) for keyword in marks):
        return None
    items = _items(_part(tokens, marks, "SET"))
    if items is None:
        return None
    return Anatomy(
        prefix=tuple(tokens[:start]),
        target=found,
        items=items,
        source=_part(tokens, marks, "FROM" if verb == "UPDATE" else "USING"),
        where=_part(tokens, marks, "WHERE"),
    )


def target(tokens: Sequence[Token]) -> Target | None:
    """Return the relation named behind UPDATE, DELETE FROM, INSERT INTO, MERGE INTO or COPY, alias included."""
    index = 1
    while index < len(tokens) and tokens[index].keyword in ("FROM", "INTO", "ONLY"):
        index += 1
    only = tokens[index - 1].keyword == "ONLY"
    if only and index < len(tokens) and tokens[index].text == "(":
        return None
    begin, parts = index, list[Token]()
    while index < len(tokens) and tokens[index].kind in (WORD, QUOTED):
        parts.append(tokens[index])
        index += 1
        if index >= len(tokens) or tokens[index].text != ".":
            break
        index += 1
    if not parts:
        return None
    name = ".".join(folded(part) for part in parts)
    alias, end = _alias(tokens, index, parts[-1])
    return Target(name=name, alias=alias, tokens=tuple(tokens[begin - only : end]))


def insert_columns(tokens: Sequence[Token]) -> tuple[str, ...] | None:
    """Return the column list of an INSERT or COPY, () when it has none, None when the statement is neither."""
    start = main_verb(tokens)
    if not tokens or tokens[start].keyword not in ("INSERT", "COPY"):
        return None
    for index, token in level(tokens, start + 1):
        if token.text == "(" and tokens[index - 1].keyword != "ONLY" and _is_name(tokens, index - 1):
            return _names(tokens, index + 1)
        if token.keyword in _AFTER_TARGET or token.text == "(":
            break
    return ()


def truncated(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the tables that a TRUNCATE names."""
    names: list[str] = []
    joined = False
    for token in tokens[1:]:
        if token.keyword in ("RESTART", "CONTINUE", "CASCADE", "RESTRICT"):
            break
        if token.keyword in ("TABLE", "ONLY") or token.text in (",", "*", "."):
            joined = token.text == "."
        elif token.kind in (WORD, QUOTED):
            names.append(f"{names.pop()}.{folded(token)}" if joined else folded(token))
            joined = False
    return tuple(names)


def _marks(tokens: Sequence[Token], start: int, keywords: tuple[str, ...]) -> dict[str, int]:
    """Where the clauses begin, outside brackets; ``IS DISTINCT FROM``, ``t.from`` and ``AS from`` begin none."""
    marks: dict[str, int] = {}
    for index, token in level(tokens, start + 2):
        word, before = token.keyword, tokens[index - 1]
        if word not in keywords or word in marks or before.text == "." or before.keyword == "AS":
            continue
        if word == "FROM" and before.keyword == "DISTINCT":
            continue
        marks[word] = index
    return marks


def _part(tokens: Sequence[Token], marks: dict[str, int], keyword: str) -> Tokens:
    if keyword not in marks:
        return ()
    start = marks[keyword] + 1
    end = min((mark for mark in marks.values() if mark >= start), default=len(tokens))
    return tuple(tokens[start:end])


def _alias(tokens: Sequence[Token], index: int, last: Token) -> tuple[str, int]:
    if index < len(tokens) and tokens[index].text == "*":
        index += 1
    if index < len(tokens) and tokens[index].keyword == "AS":
        index += 1
        return (tokens[index].text, index + 1) if index < len(tokens) else (last.text, index)
    if index < len(tokens) and tokens[index].kind in (WORD, QUOTED) and tokens[index].keyword not in _AFTER_TARGET:
        return tokens[index].text, index + 1
    return last.text, index


def _items(tokens: Tokens) -> tuple[SetItem, ...] | None:
    items: list[SetItem] = []
    for part in pieces(tokens):
        found = _group(part) if part and part[0].text == "(" else _single(part)
        if found is None:
            return None
        items.extend(found)
    return tuple(items)


def pieces(tokens: Sequence[Token]) -> list[Tokens]:
    """Cut at the commas outside brackets."""
    if not tokens:
        return []
    commas = [index for index, token in level(tokens) if token.text == ","]
    starts, ends = [0, *(comma + 1 for comma in commas)], [*commas, len(tokens)]
    return [tuple(tokens[start:end]) for start, end in zip(starts, ends, strict=True)]


def _single(tokens: Tokens) -> list[SetItem] | None:
    equals = next((index for index, token in level(tokens) if token.text == "="), None)
    if not equals or tokens[0].kind not in (WORD, QUOTED) or equals + 1 >= len(tokens):
        return None
    name, value = folded(tokens[0]), tokens[equals + 1 :]
    if equals > 1:
        return [SetItem(columns=(name,), column=None, value=())]
    return [SetItem(columns=(name,), column=name, value=() if value[0].keyword == "DEFAULT" else value)]


def _group(tokens: Tokens) -> list[SetItem] | None:
    """``(a, b) = (1, 2)`` is an item a column; ``(a, b) = (SELECT ...)`` one item, its values not told apart."""
    equals = next((index for index, token in level(tokens) if token.text == "="), None)
    if equals is None:
        return None
    names = _names(tokens, 1)
    right = tokens[equals + 1 :]
    if right and right[0].keyword == "ROW":
        right = right[1:]
    if len(right) < 3 or right[0].text != "(" or right[-1].text != ")":
        return None
    values = pieces(right[1:-1])
    if right[1].keyword in ("SELECT", "WITH", "VALUES", "TABLE") or len(values) != len(names):
        return [SetItem(columns=names, column=None, value=())]
    return [
        SetItem(columns=(name,), column=name, value=() if value and value[0].keyword == "DEFAULT" else value)
        for name, value in zip(names, values, strict=True)
    ]


def _names(tokens: Sequence[Token], start: int) -> tuple[str, ...]:
    """The names of a bracketed list whose first element is at ``start``; of ``a[1]`` and ``c.f`` only the column."""
    depth, names = 0, list[str]()
    for index in range(start, len(tokens)):
        token = tokens[index]
        if token.text == ")" and depth == 0:
            break
        if depth == 0 and token.kind in (WORD, QUOTED) and tokens[index - 1].text in ("(", ","):
            names.append(folded(token))
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
    return tuple(names)


def _is_name(tokens: Sequence[Token], index: int) -> bool:
    return tokens[index].kind in (WORD, QUOTED) and tokens[index].keyword not in ("VALUES", "VALUE", "INTO")
