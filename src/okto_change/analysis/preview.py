"""UPDATE or DELETE -> a read-only SELECT over the rows it would change, sliced from the author's text.

Nothing is regenerated; the slices are joined by words of ours.

An estimate by nature: triggers, rules, generated columns and type rounding are the server's. The caller has PostgreSQL
PREPARE it before use and runs it in a READ ONLY transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.analysis import calls
from okto_change.analysis.anatomy import Anatomy, SetItem, Tokens
from okto_change.analysis.lexer import STRING, Token
from okto_change.analysis.verbs import inner_writes
from okto_change.model import Preview, Table

_JOINED = "okto_rows"
_NUMBER = "number"
_SAME = frozenset(
    {"NULL", "TRUE", "FALSE", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"}
)
"""words that give one value throughout a transaction"""


def preview(text: str, anatomy: Anatomy | None, table: Table | None = None) -> Preview | None:
    """Return the preview of a statement's ``text``; None where its rows cannot be read without running it.

    That is: WHERE CURRENT OF, data-modifying WITH clauses, row locks in a subquery, functions with effects. A SET item
    that has no expression per column (DEFAULT, ``a[1] =``, a multi-column subquery) or has effects is left out.
    ``table`` gives the columns' types, so that new values are shown as the column would hold them.
    """
    if anatomy is None or anatomy.current_of or _unreadable(anatomy):
        return None
    shown = [item for item in anatomy.items if item.column and item.value and not calls.with_effects(item.value)]
    prefix = _slice(text, anatomy.prefix) + " " if anatomy.prefix else ""
    rows = _rows(text, anatomy)
    row = f"({anatomy.target.alias}.*)::text AS okto_row"
    columns = ", ".join([row, *(_value(text, item, table) for item in shown)])
    return Preview(
        table=anatomy.target.name,
        columns=tuple(item.column or "" for item in shown),
        select=f"{prefix}SELECT {columns} {rows}",
        count=f"{prefix}SELECT {_count(anatomy, rows)}",
        prefix=prefix,
        alias=anatomy.target.alias,
        rows=rows,
        joined=bool(anatomy.source),
        sets=tuple(column for item in anatomy.items for column in item.columns),
        calls=calls.called((*anatomy.prefix, *anatomy.source, *anatomy.where)),
        values=_values(text, anatomy),
        value_calls=calls.called(tuple(token for item in anatomy.items for token in item.value)),
        uniform=bool(anatomy.items) and all(_is_one(item.value) for item in anatomy.items),
    )


def _values(text: str, anatomy: Anatomy) -> tuple[str, ...]:
    """The expressions of all SET items; () where one has none of its own, has effects, or reads other rows."""
    simple = all(
        item.column
        and item.value
        and not calls.with_effects(item.value)
        and not any(token.keyword in {"SELECT", "DEFAULT"} for token in item.value)
        for item in anatomy.items
    )
    return tuple(f"({_slice(text, item.value)})" for item in anatomy.items) if simple else ()


def _is_one(value: Tokens | None) -> bool:
    """Whether all rows get one value, plainly: a literal, maybe signed, maybe cast to a type of one word; or the time."""
    words = [token.text.lower() for token in value or ()]
    if not value or words == ["now", "(", ")"]:
        return bool(value)
    signed = len(value) > 1 and words[0] in {"-", "+"}
    first, *rest = value[signed:]
    literal = first.kind in {STRING, _NUMBER} or first.keyword in _SAME
    cast = len(rest) == 2 and rest[0].text == "::"
    return literal and (not rest or cast)


def _rows(text: str, anatomy: Anatomy) -> str:
    """FROM and WHERE as written; a slice ends at a token, so that no trailing comment swallows what follows."""
    source = f", {_slice(text, anatomy.source)}" if anatomy.source else ""
    where = f" WHERE {_slice(text, anatomy.where)}" if anatomy.where else ""
    return f"FROM {_slice(text, anatomy.target.tokens)}{source}{where}"


def _count(anatomy: Anatomy, rows: str) -> str:
    """A row that FROM or USING matches twice is changed once, so such rows are counted by their place in the table."""
    if not anatomy.source:
        return f"count(*) {rows}"
    alias = anatomy.target.alias
    return f"count(*) FROM (SELECT DISTINCT {alias}.tableoid, {alias}.ctid {rows}) AS {_JOINED}"


def _value(text: str, item: SetItem, table: Table | None) -> str:
    written = f"({_slice(text, item.value)})"
    column = next((c for c in table.columns if c.name == item.column), None) if table else None
    return f"({written}::{column.type})::text" if column else f"{written}::text"


def _unreadable(anatomy: Anatomy) -> bool:
    everything: tuple[Token, ...] = (*anatomy.prefix, *anatomy.source, *anatomy.where)
    values = tuple(token for item in anatomy.items for token in item.value)
    return bool(inner_writes(anatomy.prefix)) or _locks_rows((*everything, *values)) or calls.with_effects(everything)


def _locks_rows(tokens: Sequence[Token]) -> bool:
    """FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE; ``substring(x FOR 3)`` is none."""
    following = {"UPDATE", "NO", "SHARE", "KEY"}
    return any(
        token.keyword == "FOR" and index + 1 < len(tokens) and tokens[index + 1].keyword in following
        for index, token in enumerate(tokens)
    )


def _slice(text: str, tokens: Tokens) -> str:
    return text[tokens[0].start : tokens[-1].end]
