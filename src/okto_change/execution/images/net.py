"""What stands of captures: rows they left (to take away) and rows they found (to put back), as a difference of multisets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from okto_change.database import accounting
from okto_change.database.composing import Part, compose, identifier, joined, literal
from okto_change.database.session import Row, Session
from okto_change.execution.images import native, native_text, record, shape
from okto_change.execution.images.pins import pinned, resolving
from okto_change.execution.images.shape import Shape
from okto_change.model import RowChange, TableWrites
from okto_change.model.base import type_

SAMPLE = 20
"""rows of each table shown in a diff"""


@type_
class Standing:
    """What stands of captures in one table: rows in excess, rows missing, and images of rows that were rewritten."""

    relid: int
    excess: int
    missing: int
    rewritten: int = 0

    @property
    def rows(self) -> int:
        """How many rows that is: one that was rewritten is missing as it was and in excess as it is, and counts once."""
        return self.excess + self.missing - min(self.rewritten, self.excess, self.missing)


def family(session: Session, capture: int) -> list[int]:
    """Return a capture and all that took it back, or took that back."""
    return [row[0] for row in session.query("image_family", capture=capture)]


def standing(session: Session, captures: Sequence[int], *, mark: int | None = None) -> tuple[Standing, ...]:
    """Return what stands of these captures by table, images after ``mark`` left out; () if they add up to nothing.

    A mark is a command of this transaction, and is good for captures of it only.
    """
    rows = session.query("image_outstanding_counts", captures=list(captures), mark=mark)
    found = [
        Standing(relid=relid, excess=int(excess or 0), missing=int(missing or 0), rewritten=int(rewritten))
        for relid, excess, missing, rewritten in rows
    ]
    return (*found, *(_native(*row) for row in session.query("native_standing", captures=list(captures))))


def _native(relid: int, _: int, op: str, rows: int, __: object, direction: int, *___: object) -> Standing:
    excess = op == "U" or (op == "I") == (direction == 1)
    missing = op == "U" or not excess
    return Standing(relid=relid, excess=rows * excess, missing=rows * missing, rewritten=rows * (op == "U"))


def images(captures: Sequence[int], relid: int) -> Part:
    """Return a query of what stands in one table: ``image``, the row's text, and ``n``: < 0 in excess, > 0 missing."""
    return compose(
        """SELECT e.image, pg_catalog.sum(e.n)::integer AS n
             FROM (SELECT i.before COLLATE "C" AS image, 1 AS n FROM okto_change.image AS i
                    WHERE i.capture IN ({captures}) AND i.relid = {relid}::oid AND i.before IS NOT NULL
                   UNION ALL
                   SELECT i.after COLLATE "C", -1 FROM okto_change.image AS i
                    WHERE i.capture IN ({captures}) AND i.relid = {relid}::oid AND i.after IS NOT NULL
                  ) AS e
            GROUP BY e.image HAVING pg_catalog.sum(e.n) <> 0""",
        captures=joined(map(literal, captures)),
        relid=literal(relid),
    )


def typed(table: Shape, source: Part, *, columns: Iterable[shape.ColumnShape] | None = None) -> Part:
    """Return ``source`` (image, n) with the row's columns as c1, c2, … of their own types; each text is read once."""
    chosen = table.stored if columns is None else tuple(columns)
    fields = joined(
        compose("(p.r).{name} AS {label}", name=identifier(column.name), label=identifier(column.label))
        for column in chosen
    )
    return compose(
        """SELECT net.n, net.image, typed.*
             FROM ({source}) AS net
            CROSS JOIN LATERAL (SELECT {fields} FROM (SELECT net.image::{table} AS r OFFSET 0) AS p) AS typed""",
        source=source,
        fields=fields,
        table=table.table,
    )


def sample(session: Session, run: str, *, limit: int = SAMPLE, undo: bool = False) -> tuple[RowChange, ...]:
    """Return the net row changes of a run, at most ``limit`` a table, ordered by table and key. In a transaction only.

    With ``undo`` of a run that took something back, or put it back.
    """
    captures = session.query("image_undo_captures" if undo else "image_captures", run=run)
    changes = [change for (capture,) in captures for change in sample_of(session, capture, limit=limit)]
    return tuple(sorted(changes, key=lambda change: change.table))


def sample_of(session: Session, capture: int, *, limit: int = SAMPLE) -> tuple[RowChange, ...]:
    """Return the net row changes of a capture, at most ``limit`` a table. In a transaction only."""
    changes: list[RowChange] = []
    with pinned(session):
        kept = {
            relid: shape.parse(relid, found) for relid, found in session.query("image_kept_shapes", captures=[capture])
        }
        live = shape.load(session, kept)
        for stands in standing(session, [capture]):
            known, now = kept.get(stands.relid), live.get(stands.relid)
            if known is not None and now is not None and shape.difference(known, now) is None:
                with resolving(session):  # keys of a domain may be checked by functions of its own
                    rows = _rows(session, now, capture, limit)
                changes += [_change(now, *row) for row in rows]
    return tuple(changes)


def writes(session: Session, run: str) -> tuple[TableWrites, ...]:
    """Return how many rows of each table a run that took something back or put it back has moved, partitions as one."""
    captures = session.query("image_undo_captures", run=run)
    found = [row for (capture,) in captures for row in session.query("image_counts", capture=capture)]
    touched = [relid for relid, _, _ in found]
    top = {relid: relid for relid in touched} | accounting.tops(session, touched)
    counts: dict[int, dict[str, int]] = {}
    for relid, op, rows in found:
        table = counts.setdefault(top[relid], {})
        table[op] = table.get(op, 0) + rows
    known = accounting.names(session, counts)
    return tuple(
        TableWrites(
            table=known.get(relid, str(relid)),
            inserted=each.get("I", 0),
            updated=each.get("U", 0),
            deleted=each.get("D", 0) + each.get("T", 0),
            imaged=sum(each.get(op, 0) for op in "IUDT"),
            declared=True,
        )
        for relid, each in sorted(counts.items(), key=lambda item: known.get(item[0], ""))
    )


def _rows(session: Session, table: Shape, capture: int, limit: int) -> list[Row]:
    for item in native.load(session, [capture], {table.relid: table}):
        rows = session.execute(native_text.pairs(item, limit=limit))
        return rows if item.direction == 1 else [(after, before) for before, after in rows]
    return _pairs(session, table, [capture], limit)


def _pairs(session: Session, table: Shape, captures: Sequence[int], limit: int) -> list[Row]:
    source = images(captures, table.relid)
    if table.key is None:
        return session.execute(
            compose(
                """SELECT CASE WHEN net.n > 0 THEN net.image END, CASE WHEN net.n < 0 THEN net.image END
                     FROM ({source}) AS net CROSS JOIN LATERAL pg_catalog.generate_series(1, pg_catalog.abs(net.n))
                    ORDER BY net.image LIMIT {limit}""",
                source=source,
                limit=literal(limit),
            )
        )
    keys = [match.column for match in table.key]
    order = joined(compose("coalesce(b.{k}, a.{k})", k=identifier(column.label)) for column in keys)
    return session.execute(
        compose(
            """WITH net AS MATERIALIZED ({typed})
               SELECT b.image, a.image
                 FROM (SELECT * FROM net WHERE n > 0) AS b FULL JOIN (SELECT * FROM net WHERE n < 0) AS a ON {same}
                ORDER BY {order} LIMIT {limit}""",
            typed=typed(table, source, columns=keys),
            same=shape.matches("b", "a", table.key, labels="ba"),
            order=order,
            limit=literal(limit),
        )
    )


def _change(table: Shape, before: str | None, after: str | None) -> RowChange:
    old = record.named(before, table.names) if before is not None else dict.fromkeys(table.names)
    new = record.named(after, table.names) if after is not None else dict.fromkeys(table.names)
    moved = record.changed(old, new)
    if table.hidden:
        old, new = record.veiled(old, table.hidden), record.veiled(new, table.hidden)
        before, after = before and record.joined(old.values()), after and record.joined(new.values())
    known = new if before is None else old
    return RowChange(
        table=table.qualified,
        key={match.column.name: known[match.column.name] for match in table.key or ()},
        columns={name: (old[name], new[name]) for name in moved},
        before=before,
        after=after,
    )
