"""Native images as text: pairs of rows to show, rows in the way, and the way into the shared table of images."""

from __future__ import annotations

from collections.abc import Sequence

from okto_change.database.composing import Composed, Part, compose, identifier, joined, literal
from okto_change.database.session import Session
from okto_change.execution.images import shape
from okto_change.execution.images.native import Native, by_number, keyed, same
from okto_change.execution.images.shape import ColumnShape


def pairs(native: Native, *, limit: int | None = None) -> Composed:
    """Return a query of old and new row as text, null where there is none: ``before``, ``after``; any ``limit`` of them."""
    some = compose(
        "(SELECT * FROM {source} AS s LIMIT {limit})",
        source=native.new if native.op == "I" else native.old,
        limit=literal(limit),
    )
    if native.op == "I":
        return compose(
            "SELECT NULL::text AS before, {new} AS after FROM {some} AS n", new=_text(native, {}, "n"), some=some
        )
    old = _text(native, {}, "o")
    if native.op == "D":
        return compose("SELECT {old} AS before, NULL::text AS after FROM {some} AS o", old=old, some=some)
    return compose(
        "SELECT {old} AS before, {new} AS after FROM {some} AS o JOIN {news} AS n ON {key}",
        old=old,
        new=_text(native, dict.fromkeys(native.changed, "n"), "o"),
        some=some,
        news=native.new,
        key=keyed(native, "n", "o", "no"),
    )


def others(native: Native, limit: int, writers: Part, more: Part | None = None) -> Composed:
    """Return a query of rows that are not where ``move`` looks for them: as the change left them, and as they are now.

    Where rows would be inserted: of those whose key is there already. ``more`` is a further column.
    """
    inserts = (native.op, native.direction) in {("D", 1), ("I", -1)}
    back = native.direction == 1
    alias = "n" if native.op == "I" else "o"
    changed = {column: "n" for column in native.changed if back}
    source = compose(
        "{table} AS {alias}", table=native.new if native.op == "I" else native.old, alias=identifier(alias)
    )
    if changed:
        source = compose(
            "{source} JOIN {new} AS n ON {key}", source=source, new=native.new, key=keyed(native, "n", "o", "no")
        )
    found = same("t", False, alias, native.kept) if changed else same("t", False, alias, native.table.stored)
    if changed:
        found = compose("{found} AND {rest}", found=found, rest=same("t", False, "n", native.changed))
    found = compose("{found} AND t.xmin IN ({writers})", found=found, writers=writers)
    return compose(
        """SELECT {left}, CASE WHEN t.ctid IS NOT NULL THEN {now} END {more}
             FROM {source} {join} JOIN ONLY {table} AS t ON {key} WHERE {otherwise}
            ORDER BY {keys} LIMIT {limit}""",
        left=_text(native, changed, alias),
        now=native.table.row_text("t"),
        more=compose("") if more is None else compose(", {more}", more=more),
        source=source,
        join=compose("" if inserts else "LEFT"),
        table=native.table.table,
        key=keyed(native, "t", alias, alias),
        otherwise=compose("true") if inserts else compose("t.ctid IS NULL OR NOT ({found})", found=found),
        keys=joined(identifier(alias, match.column.label) for match in native.table.key or ()),
        limit=literal(limit),
    )


def _text(native: Native, other: dict[ColumnShape, str], alias: str) -> Composed:
    """The text of a whole row, as the capture trigger writes it; some columns taken from another alias."""
    fields = [
        compose("NULL")
        if column.generated == "v"
        else column.written(identifier(other.get(column, alias), column.label))
        for column in native.table.columns
    ]
    return compose('ROW({fields})::text COLLATE "C"', fields=joined(fields))


def spread(session: Session, captures: Sequence[int]) -> None:
    """Write the native images of these captures as text into the shared table and forget the native ones.

    Slow, but then they can be undone one by one.
    """
    rows = session.query("native_all", captures=list(captures))
    shapes = shape.load(session, [row[1] for row in rows])
    for capture, relid, source, op, count, columns, sign, home, foreseen, uniform in rows:
        if relid not in shapes:
            continue
        native = Native(
            table=shapes[relid],
            source=source,
            op=op,
            rows=count,
            changed=by_number(shapes[relid], columns),
            home=home,
            foreseen=foreseen,
            uniform=uniform,
        )
        before, after = ("before", "after") if sign == 1 else ("after", "before")
        kind = op if sign == 1 else {"I": "D", "D": "I", "U": "U"}[op]
        session.execute(
            compose(
                """INSERT INTO okto_change.image (capture, relid, op, before, after)
                   SELECT {capture}, {relid}, {op}, p.{before}, p.{after} FROM ({pairs}) AS p""",
                capture=literal(capture),
                relid=literal(relid),
                op=literal(kind),
                before=identifier(before),
                after=identifier(after),
                pairs=pairs(native),
            )
        )
    session.query("native_spread", captures=list(captures))
