"""The first rows that a previewed statement would change: key, old and new values, read through the author's own WHERE."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from okto_change.database.session import Session
from okto_change.masking import HIDDEN
from okto_change.model import Preview, RowChange, Table

ROWS = 20


def rows(session: Session, preview: Preview, table: Table, *, limit: int = ROWS) -> tuple[RowChange, ...]:
    """Return at most ``limit`` rows that ``preview`` selects, as estimated changes. Raises DatabaseError.

    The SELECT was cut from the author's bytes; it runs as a sub-select in the caller's read-only transaction.
    """
    key = table.key or ()
    olds = [*key, *preview.columns]
    news = [f"okto_new_{number}" for number in range(len(preview.columns))]
    found = session.texts(_statement(preview, table, olds, news, limit).as_string(None))[1]
    hidden = frozenset(column.name for column in table.columns if session.veil.covers(table.oid, column.attnum))
    return tuple(_veiled(_change(table, preview, key, row), hidden) for row in found)


def _veiled(row: RowChange, hidden: frozenset[str]) -> RowChange:
    """Return a row change without what sensitive columns hold; the text of the whole row goes with them."""
    if not hidden:
        return row
    return replace(
        row,
        key={name: HIDDEN if name in hidden else text for name, text in row.key.items()},
        columns={name: (HIDDEN, HIDDEN) if name in hidden else pair for name, pair in row.columns.items()},
        before=HIDDEN,
    )


def _statement(preview: Preview, table: Table, olds: list[str], news: list[str], limit: int) -> sql.Composed:
    old = [sql.SQL("(okto_old).{}::text").format(sql.Identifier(name)) for name in olds]
    return sql.SQL(
        "SELECT {values} FROM (SELECT okto_preview.*, okto_row::{table} AS okto_old"
        " FROM ({select}\n) AS okto_preview({names}) LIMIT {limit}) AS okto_rows"
    ).format(
        values=sql.SQL(", ").join([sql.Identifier("okto_row"), *old, *map(sql.Identifier, news)]),
        table=sql.Identifier(table.schema, table.name),
        select=sql.SQL(preview.select),
        names=sql.SQL(", ").join(map(sql.Identifier, ["okto_row", *news])),
        limit=sql.Literal(limit),
    )


def _change(table: Table, preview: Preview, key: tuple[str, ...], row: tuple[str | None, ...]) -> RowChange:
    values = row[1 + len(key) :]
    olds, news = values[: len(preview.columns)], values[len(preview.columns) :]
    return RowChange(
        table=table.qualified,
        key=dict(zip(key, row[1:], strict=False)),
        columns={name: (old, new) for name, old, new in zip(preview.columns, olds, news, strict=True)},
        before=row[0],
        after=None,
    )
