"""Native images back and forth: whole sets of rows taken from one side of a change to the other."""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.database import accounting
from okto_change.database.accounting import NONE, Counts, Ledger
from okto_change.database.composing import Composed, Part, compose, identifier, joined
from okto_change.database.session import Session
from okto_change.execution.images import accounts
from okto_change.execution.images.native import Native, keyed, same
from okto_change.execution.images.shape import ColumnShape


def move(session: Session, native: Native, writers: Part, where: Part | None = None) -> None:
    """Take the rows from where they stand (``direction``) to the other side; only those that nobody wrote since.

    ``writers`` is a query of the transaction ids that such rows have; ``where`` a condition that rows ``t`` are known to meet.
    """
    here = compose("true") if where is None else where
    if native.home is None:
        _count_keys(session, native)
    match native.op, native.direction:
        case ("U", direction):
            session.execute(_update(native, writers, here, back=direction == 1))
        case ("D", 1):
            session.execute(_insert(native, native.old))
        case ("I", -1):
            session.execute(_insert(native, native.new))
        case ("D", _):
            session.execute(_delete(native, native.old, "o", writers, here))
        case _:
            session.execute(_delete(native, native.new, "n", writers, here))


def alone(session: Session, natives: Sequence[Native], before: Ledger) -> bool:
    """Whether all rows of these images were moved since the ledger ``before``, and nothing else was written."""
    relations, _ = accounting.written(session, before)
    found = {relation.oid: relation.counts for relation in relations if accounts.is_table(relation)}
    wanted = {item.table.relid: _moved(item) for item in natives}
    return {oid: counts for oid, counts in found.items() if counts != NONE} == wanted


def _moved(native: Native) -> Counts:
    """The rows inserted, updated and deleted by moving images to the other side."""
    if native.op == "U":
        return 0, native.rows, 0
    return (native.rows, 0, 0) if (native.op == "D") == (native.direction == 1) else (0, 0, native.rows)


def _count_keys(session: Session, native: Native) -> None:
    """Let the planner know that each key is there once; it joins the whole tables by it."""
    keys = joined(identifier(match.column.label) for match in native.table.key or ())
    for name, there in ((native.old, native.op != "I"), (native.new, native.op != "D" and not native.foreseen)):
        if there:
            session.execute(compose("ANALYZE {name} ({keys})", name=name, keys=keys))


def _update(native: Native, writers: Part, where: Part, *, back: bool) -> Composed:
    source = compose("{old} AS o", old=native.old)
    if not native.foreseen:
        pair = keyed(native, "n", "o", "no")
        source = compose("{source} JOIN {new} AS n ON {pair}", source=source, new=native.new, pair=pair)
    sets = joined(
        compose("{name} = {value}", name=identifier(column.name), value=_value(native, column, new=not back))
        for column in native.changed
        if not column.generated
    )
    here = "o" if native.foreseen or not back else "n"
    return compose(
        """UPDATE ONLY {table} AS t SET {sets} FROM {source}
            WHERE {key} AND {changed} AND {kept} AND t.xmin IN ({writers}) AND {where}""",
        where=where,
        writers=writers,
        table=native.table.table,
        sets=sets,
        source=source,
        key=keyed(native, "t", "o", "o"),
        changed=same("t", False, here, native.changed, foreseen=native if native.foreseen and back else None),
        kept=same("t", False, "o", native.kept),
    )


def _value(native: Native, column: ColumnShape, *, new: bool) -> Part:
    if native.foreseen:
        return native.foresaw("o", column) if new else identifier("o", column.label)
    return identifier("n" if new else "o", column.label)


def _insert(native: Native, source: Part) -> Composed:
    columns = native.table.writable
    return compose(
        "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {labels} FROM {source} AS s",
        table=native.table.table,
        names=joined(identifier(c.name) for c in columns),
        labels=joined(identifier("s", c.label) for c in columns),
        source=source,
    )


def _delete(native: Native, source: Part, alias: str, writers: Part, where: Part) -> Composed:
    return compose(
        "DELETE FROM ONLY {table} AS t USING {source} AS {alias}"
        " WHERE {key} AND {same} AND t.xmin IN ({writers}) AND {where}",
        where=where,
        writers=writers,
        table=native.table.table,
        source=source,
        alias=identifier(alias),
        key=keyed(native, "t", alias, alias),
        same=same("t", False, alias, native.table.stored),
    )
