"""Putting rows back: one statement for all tables, so that foreign keys look only at its end; user triggers and rules off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from okto_change.database.composing import Composed, Part, compose, identifier, joined
from okto_change.database.session import Session
from okto_change.errors import DatabaseError
from okto_change.execution.images.matching import Work
from okto_change.execution.images.shape import ColumnShape
from okto_change.execution.images.unheard import execute

MODES = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
"""former mode of a trigger or rule -> how to say it"""
COMPARED = 500
"""columns compared at once: a join holds those of both sides, and the server's rows have 1664 at most"""
CLASHES = frozenset({"23505", "23P01"})
"""a unique or exclusion constraint that is checked row by row: the rows rotate among themselves"""


@contextmanager
def switched_off(session: Session, oids: Sequence[int]) -> Iterator[None]:
    """Switch the triggers and rules of others off on these tables for the body, then back to their exact former mode.

    Also those that a foreign key would set off elsewhere without touching a row there.
    """
    triggers = session.query("image_user_triggers", oids=list(oids))
    triggers += session.query("image_reached_triggers", oids=list(oids))
    rules = session.query("image_user_rules", oids=list(oids))
    for kind, found in (("TRIGGER", triggers), ("RULE", rules)):
        for schema, table, name, _ in found:
            _switch(session, schema, table, name, f"DISABLE {kind}")
    yield
    for kind, found in (("TRIGGER", triggers), ("RULE", rules)):
        for schema, table, name, mode in found:
            _switch(session, schema, table, name, f"{MODES[mode]} {kind}")


def _switch(session: Session, schema: str, table: str, name: str, action: str) -> None:
    words: dict[str, Part] = {
        "DISABLE TRIGGER": compose("DISABLE TRIGGER"),
        "ENABLE TRIGGER": compose("ENABLE TRIGGER"),
        "ENABLE REPLICA TRIGGER": compose("ENABLE REPLICA TRIGGER"),
        "ENABLE ALWAYS TRIGGER": compose("ENABLE ALWAYS TRIGGER"),
        "DISABLE RULE": compose("DISABLE RULE"),
        "ENABLE RULE": compose("ENABLE RULE"),
        "ENABLE REPLICA RULE": compose("ENABLE REPLICA RULE"),
        "ENABLE ALWAYS RULE": compose("ENABLE ALWAYS RULE"),
    }
    execute(
        session,
        compose(
            "ALTER TABLE ONLY {table} {action} {name}",
            table=identifier(schema, table),
            action=words[action],
            name=identifier(name),
        ),
    )


def put_back(session: Session, works: Sequence[Work]) -> None:
    """Delete, update and insert; rows that rotate a unique value among themselves are deleted and inserted instead.

    Raises DatabaseError when a constraint does not allow it; nothing is done then.
    """
    if not works:
        return
    changes = {work.table.relid: _changed_columns(session, work) for work in works}
    for work in works:
        if any(column.identity == "a" for column in changes[work.table.relid]):
            _as_two(session, work, changes)  # GENERATED ALWAYS cannot be updated, but inserted
    try:
        with session.savepoint():
            session.execute(_statement(works, changes))
    except DatabaseError as error:
        if error.sqlstate not in CLASHES:
            raise
        for work in works:
            _as_two(session, work, changes)
        session.execute(_statement(works, changes))


def _as_two(session: Session, work: Work, changes: dict[int, tuple[ColumnShape, ...]]) -> None:
    """Make every pair of a table a delete and an insert."""
    changes[work.table.relid] = ()
    session.execute(compose("UPDATE {places} SET new = NULL WHERE new IS NOT NULL", places=work.places))


def _changed_columns(session: Session, work: Work) -> tuple[ColumnShape, ...]:
    """Return the columns in which any row of a pair differs from its partner: only those are updated."""
    columns = work.table.writable
    parts = (columns[at : at + COMPARED] for at in range(0, len(columns), COMPARED))
    return tuple(column for part in parts for column in _differing(session, work, part))


def _differing(session: Session, work: Work, columns: tuple[ColumnShape, ...]) -> Iterator[ColumnShape]:
    tests = joined(
        compose(
            'coalesce(pg_catalog.bool_or(ROW({old})::text COLLATE "C" <> ROW({new})::text COLLATE "C"), false)',
            old=column.written(identifier("o", column.label)),
            new=column.written(identifier("p", column.label)),
        )
        for column in columns
    )
    row = session.execute(
        compose(
            """SELECT {tests} FROM {places} AS a JOIN {rows} AS o ON o.id = a.id JOIN {rows} AS p ON p.id = a.new""",
            tests=tests,
            places=work.places,
            rows=work.rows,
        )
    )[0]
    return (column for column, differs in zip(columns, row, strict=True) if differs)


# -------------------------------------------------------------------- the statement


def _statement(works: Sequence[Work], changes: dict[int, tuple[ColumnShape, ...]]) -> Composed:
    parts: list[Part] = []
    for number, work in enumerate(works):
        deleted, updated, inserted = (identifier(f"{kind}{number}") for kind in ("deleted", "updated", "inserted"))
        columns = changes[work.table.relid]
        # A count forces its part to run to the end before the next one starts: room first, then those who need it.
        parts.append(compose("{name} AS ({query})", name=deleted, query=_delete(work)))
        parts.append(compose("{name} AS ({query})", name=updated, query=_update(work, columns, deleted)))
        parts.append(compose("{name} AS ({query})", name=inserted, query=_insert(work, updated)))
    counts = joined(
        compose("(SELECT pg_catalog.count(*) FROM {name})", name=identifier(f"inserted{number}"))
        for number in range(len(works))
    )
    return compose("WITH {parts} SELECT {counts}", parts=joined(parts), counts=counts)


def _delete(work: Work) -> Part:
    return compose(
        """DELETE FROM ONLY {table} AS t USING {places} AS a WHERE t.ctid = a.place AND a.new IS NULL RETURNING 1 AS one""",
        table=work.table.table,
        places=work.places,
    )


def _update(work: Work, columns: tuple[ColumnShape, ...], after: Part) -> Part:
    if not columns:
        return compose("SELECT pg_catalog.count(*) AS one FROM {after}", after=after)
    return compose(
        """UPDATE ONLY {table} AS t SET {sets}
             FROM {places} AS a JOIN {rows} AS p ON p.id = a.new
            WHERE t.ctid = a.place AND (SELECT pg_catalog.count(*) FROM {after}) >= 0 RETURNING 1 AS one""",
        table=work.table.table,
        places=work.places,
        rows=work.rows,
        after=after,
        sets=joined(compose("{name} = p.{label}", name=identifier(c.name), label=identifier(c.label)) for c in columns),
    )


def _insert(work: Work, after: Part) -> Part:
    columns = work.table.writable
    listed = joined(identifier(column.name) for column in columns)
    return compose(
        """INSERT INTO {table} {columns}
           SELECT {values} FROM {rows} AS p CROSS JOIN LATERAL pg_catalog.generate_series(1, p.n)
            WHERE p.n > 0 AND (SELECT pg_catalog.count(*) FROM {after}) >= 0
              AND NOT EXISTS (SELECT FROM {places} AS a WHERE a.new = p.id)
           RETURNING 1 AS one""",
        table=work.table.table,
        rows=work.rows,
        places=work.places,
        after=after,
        columns=compose("({listed}) OVERRIDING SYSTEM VALUE", listed=listed) if columns else compose(""),
        values=joined(compose("p.{label}", label=identifier(column.label)) for column in columns),
    )
