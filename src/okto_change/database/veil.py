"""Which columns of a target are sensitive, as the policy says and the catalogue knows, and what a result may show of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from okto_change.model.base import type_

Rows = Iterable[tuple[int, int, str, bool, list[int]]]
Origin = tuple[int, int, int]
"""a result column's table (0 for an expression), number in the table, type"""

NAME = re.compile(r'(?:(?P<schema>"[^"]+"|[^".]+)\.)?(?P<table>"[^"]+"|[^".]+)\.(?P<column>"[^"]+"|\*|[^".]+)')
FIGURES = frozenset({16, 20, 21, 23, 26, 700, 701, 790, 1700, 1082, 1083, 1114, 1184, 1186, 1266, 2950})
"""Types (oids) whose values cannot carry a text: booleans, numbers, money, dates, times, intervals, uuid."""


@type_
class Veil:
    """The sensitive columns of one target. ``columns`` maps a table's oid to column numbers, which survive renaming.

    ``names`` are the columns' names; ``figures`` those of columns that hold no text; ``missing`` what the policy names and
    the database does not have.
    """

    columns: Mapping[int, frozenset[int]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    figures: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    asked: bool = False
    """whether the policy names any column"""

    def covers(self, table: int, column: int) -> bool:
        """Whether a column is sensitive; 0 is the row as a whole."""
        hidden = self.columns.get(table, frozenset())
        return column in hidden or (column == 0 and bool(hidden))

    def mentioned(self, text: str) -> bool:
        """Whether ``text`` names a sensitive column."""
        return bool(self.names & _words(text))

    def hidden(self, text: str, origins: Sequence[Origin]) -> frozenset[int]:
        """Return the places of those columns of a query's result that must not be shown.

        A plain column is judged by itself. An expression that gives text may be made of any column of the target, so it
        is hidden; one that gives a figure is hidden if the query names a sensitive column of figures.
        """
        if not self.asked:
            return frozenset()
        figures = bool(self.figures & _words(text))
        return frozenset(
            place
            for place, (table, column, kind) in enumerate(origins)
            if (self.covers(table, column) if table else kind not in FIGURES or figures)
        )


NOTHING = Veil()
"""No column is sensitive."""


def split(name: str) -> tuple[str, str, str]:
    """Return schema ('' for any), table and column of a name as policies have it. Raises ValueError."""
    found = NAME.fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} is not schema.table.column or table.column")
    schema, table, column = (_folded(part) for part in found.group("schema", "table", "column"))
    return schema, table, column


def draw(names: Sequence[str], rows: Rows) -> Veil:
    """Return the veil of the columns that a policy ``names``, from the rows of ``veil_columns``."""
    columns: dict[int, set[int]] = {}
    words, figures, found = set(), set(), set()
    for table, column, name, is_text, wanted in rows:
        columns.setdefault(table, set()).add(column)
        words.add(name.lower())
        figures |= set() if is_text else {name.lower()}
        found.update(wanted)
    words |= {column.lower() for _, _, column in map(split, names) if column != "*"}
    return Veil(
        columns={table: frozenset(numbers) for table, numbers in columns.items()},
        names=frozenset(words),
        figures=frozenset(figures),
        missing=tuple(name for at, name in enumerate(names, 1) if at not in found),
        asked=bool(names),
    )


def _folded(part: str | None) -> str:
    if part is None:
        return ""
    return part[1:-1] if part.startswith('"') else part.lower()


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))
