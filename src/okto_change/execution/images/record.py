"""Row text as PostgreSQL prints it, such as ``(1,"a b",,)``, taken apart and compared. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from okto_change.masking import HIDDEN

QUOTED = re.compile(r'[^"\\]*+(?:(?:""|\\.)[^"\\]*+)*+"', re.DOTALL)
"""a field behind its opening quote, the closing one included"""
ESCAPED = re.compile(r'["\\](.)', re.DOTALL)
"""a character that stands for itself: a quote written twice, anything behind a backslash"""


def split(text: str) -> tuple[str | None, ...]:
    """Return the fields of a row's text; None is NULL. A row without columns has one NULL here. Raises ValueError."""
    if len(text) < 2 or text[0] != "(" or text[-1] != ")":
        raise ValueError("not the text of a row")
    fields: list[str | None] = []
    position, end = 1, len(text) - 1
    while position <= end:
        field, position = _field(text, position, end)
        fields.append(field)
        position += 1
    return tuple(fields)


def _field(text: str, position: int, end: int) -> tuple[str | None, int]:
    if position == end or text[position] == ",":
        return None, position
    if text[position] != '"':
        comma = text.find(",", position, end)
        stop = end if comma < 0 else comma
        return text[position:stop], stop
    return _quoted(text, position + 1, end)


def _quoted(text: str, position: int, end: int) -> tuple[str, int]:
    found = QUOTED.match(text, position, end)
    if found is None:
        raise ValueError("not the text of a row: a quote is not closed")
    field = text[position : found.end() - 1]
    whole = ESCAPED.sub(r"\1", field) if "\\" in field else field.replace('""', '"')
    return whole, found.end()


def named(text: str, columns: Sequence[str]) -> dict[str, str | None]:
    """Return a row's text as column -> text. Raises ValueError when the number of columns differs."""
    return dict(zip(columns, split(text), strict=True)) if columns else {}


def veiled(values: Mapping[str, str | None], hidden: frozenset[str]) -> dict[str, str | None]:
    """Return the values by column without those of ``hidden`` columns; NULL stays NULL."""
    return {name: HIDDEN if name in hidden and text is not None else text for name, text in values.items()}


def joined(values: Iterable[str | None]) -> str:
    """Return the text of a row of these values, to be shown."""
    return "(" + ",".join("" if text is None else _field_text(text) for text in values) + ")"


def _field_text(text: str) -> str:
    if text and not set('",()\\ \t\n\r\v\f') & set(text):
        return text
    doubled = text.replace("\\", "\\\\").replace('"', '""')
    return f'"{doubled}"'


def changed(
    before: Mapping[str, str | None], after: Mapping[str, str | None]
) -> dict[str, tuple[str | None, str | None]]:
    """Return the columns that differ, column -> (before, after)."""
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}
