"""Native images whose new values were known before the change: the proof compares instead of writing."""

from __future__ import annotations

from dataclasses import replace

from okto_change.database.composing import Composed, Part, compose, identifier, joined
from okto_change.database.session import Session
from okto_change.execution.images.native import OUR, Native, fields, keyed, own, private, same
from okto_change.execution.images.unheard import execute


def seen(session: Session, native: Native, rows: int) -> Native:
    """Return the images as they are to be kept: where a value came otherwise than foreseen, new rows are to be written.

    Of uniform ones the table of new rows is made here; it is empty where they are to be written.
    """
    if native.uniform:
        _keep_one(session, native)
    if not native.foreseen or as_foreseen(session, native) == rows:
        return native
    if native.uniform:
        session.execute(compose("DELETE FROM {new}", new=identifier(OUR, native.new_name)))
    return replace(native, foreseen=False, uniform=False)


def _keep_one(session: Session, native: Native) -> None:
    """Write the values that any row of the change has now, in place of those of every row."""
    execute(
        session,
        compose(
            """CREATE TABLE {new} AS
               SELECT {fields} FROM (SELECT * FROM {old} AS h LIMIT 1) AS o JOIN ONLY {table} AS t ON {key}""",
            new=identifier(OUR, native.new_name),
            fields=joined(fields(native.after)),
            old=native.old,
            table=native.table.table,
            key=keyed(native, "t", "o", "o"),
        ),
    )
    private(session)


def as_foreseen(session: Session, native: Native, written: Part | None = None) -> int:
    """Return how many imaged keys have a row of this transaction that is as foreseen: new values, and all else as it was.

    ``written`` as for ``keep_new``.
    """
    found: int = session.execute(coming(native, own(session) if written is None else written))[0][0]
    return found


def coming(native: Native, written: Part, same_rows: Part | None = None) -> Composed:
    """Return the question that ``as_foreseen`` asks; ``same_rows`` is ``alike`` where that is composed already."""
    return compose(
        "SELECT pg_catalog.count(*) FROM {old} AS o JOIN ONLY {table} AS t ON {alike} WHERE {own}",
        old=native.old,
        table=native.table.table,
        alike=alike(native) if same_rows is None else same_rows,
        own=written,
    )


def alike(native: Native) -> Composed:
    """Return the condition that row ``t`` has the key of the old row ``o``, the values foreseen, and else what it had."""
    return compose(
        "{key} AND {kept} AND {new}",
        key=keyed(native, "t", "o", "o"),
        kept=same("t", False, "o", native.kept),
        new=same("t", False, "o", native.changed, foreseen=native),
    )
