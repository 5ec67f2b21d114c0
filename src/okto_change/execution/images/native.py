"""Images of large fixes: each in a table of its own, in the rows' own types, written and read by whole sets.

``rows_<capture>_<table>_old`` has the whole rows as they were (UPDATE, DELETE), ``…_new`` the rows as they became: for an
UPDATE the key and the changed columns, for an INSERT all. Their columns are called c1, c2, … by number. The old ones are
made empty before the first statement, so that the accounts of the change do not see them come; the new ones by the
proof, when the catalogue has been judged already: CREATE TABLE AS may read with several processes, INSERT may not.

Where the values that an UPDATE assigns can be asked for beforehand, they stand beside the old row (``foreseen``), in columns
n1, n2, …; the proof then compares instead of writing, and there is no table of new rows. Where every row gets the same values
(``uniform``), they stand once, in the only row of the table of new rows: the rows before are then copied as they lie, which
takes a third off their price.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from okto_change.database.composing import Composed, Part, compose, identifier, joined, literal
from okto_change.database.session import Row, Session
from okto_change.execution.images import naming, shape
from okto_change.execution.images.shape import ColumnShape, Shape
from okto_change.execution.images.unheard import execute
from okto_change.model.base import type_

OUR = "okto_change"
MEMORY = 262_144
"""kilobytes that one of our own sorts or hashes may take on the server"""
BYTES = frozenset({16, 17, 20, 21, 23, 26, 1082, 1083, 1114, 1184, 2950})
"""types whose equal values have equal bytes: bool, bytea, int8, int2, int4, oid, date, time, timestamp(tz), uuid"""
TEXTS = frozenset({25, 1043})
"""text and varchar; so in the collation "C" """


@type_
class Native:
    """The native images of one table in one capture. ``changed`` are the columns that an UPDATE may have changed."""

    table: Shape
    source: int
    op: str
    changed: tuple[ColumnShape, ...]
    rows: int = 0
    direction: int = 1
    """1: the rows are as the change left them; -1: as it found them again"""
    home: int | None = None
    """the chunk of a batch whose tables hold the images of others too, each with its own capture in ``c0``"""
    places: tuple[str, str | None] | None = None
    """where the old rows lie in a table of many chunks while the chunk is under way: first, and last unless it is the end"""
    sources: tuple[int, ...] = ()
    """several chunks at once, to look at them; () for the one of ``source``"""
    foreseen: bool = False
    """the new values of the changed columns are known without a table of new rows"""
    uniform: bool = False
    """of foreseen ones: they are the same for every row, and stand in one row instead of beside each"""

    @property
    def old_name(self) -> str:
        """The table of rows before."""
        return f"rows_{self.home or self.source}_{self.table.relid}_old"

    @property
    def new_name(self) -> str:
        """The table of rows after."""
        return f"rows_{self.home or self.source}_{self.table.relid}_new"

    @property
    def old(self) -> Part:
        """The rows before, to stand in a FROM with an alias."""
        return self._rows(self.old_name, self.places)

    @property
    def new(self) -> Part:
        """The rows after, to stand in a FROM with an alias."""
        if not self.foreseen:
            return self._rows(self.new_name, None)
        keys = [identifier(match.column.label) for match in self.table.key or ()]
        values = [
            compose("{value} AS {label}", value=self.foresaw("f", c), label=identifier(c.label)) for c in self.changed
        ]
        return compose("(SELECT {fields} FROM {old} AS f)", fields=joined([*keys, *values]), old=self.old)

    def foresaw(self, alias: str, column: ColumnShape) -> Part:
        """The new value of a changed column, of the old row ``alias``."""
        if not self.uniform:
            return identifier(alias, foresight(column))
        # A key has no nulls. It is named so that this stays a condition between two tables: one on the changed table alone
        # would make the planner expect a single row, and join by a loop.
        return compose(
            "CASE WHEN {key} IS NOT NULL THEN (SELECT u.{name} FROM {one} AS u) END",
            key=identifier(alias, (self.table.key or ())[0].column.label),
            name=identifier(column.label),
            one=self._rows(self.new_name, None),
        )

    def _rows(self, name: str, places: tuple[str, str | None] | None) -> Part:
        table = identifier(OUR, name)
        if self.home is None:
            return table
        lying = compose("")
        if places is not None:
            first, last = places
            lying = compose("AND h.ctid >= {first}::tid", first=literal(first))
            if last is not None:
                lying = compose("{lying} AND h.ctid <= {last}::tid", lying=lying, last=literal(last))
        return compose(
            "(SELECT * FROM {table} AS h WHERE h.c0 IN ({sources}) {lying})",
            table=table,
            sources=joined(map(literal, self.sources or (self.source,))),
            lying=lying,
        )

    @property
    def kept(self) -> tuple[ColumnShape, ...]:
        """The columns that an UPDATE left alone."""
        return tuple(column for column in self.table.stored if column not in self.changed)

    @property
    def beside(self) -> tuple[ColumnShape, ...]:
        """The columns whose new values stand beside each old row."""
        return self.changed if self.foreseen and not self.uniform else ()

    @property
    def after(self) -> tuple[ColumnShape, ...]:
        """The columns of the table of rows after."""
        if self.op == "I":
            return self.table.stored
        return tuple(match.column for match in self.table.key or ()) + self.changed


def foresight(column: ColumnShape) -> str:
    """Return the name of the column beside the old row that has this column's new value."""
    return f"n{column.number}"


@contextmanager
def roomy(session: Session) -> Iterator[None]:
    """Let our own joins of the body use more memory."""
    memory, compiling = session.query("native_memory", kilobytes=MEMORY)[0][:2]
    yield
    session.query("image_unpin", names=["work_mem", "jit"], values=[memory, compiling])


def fits(session: Session, relid: int, op: str, sets: Sequence[str]) -> bool:
    """Whether the rows of this table can have native images."""
    found = session.query("native_fits", oid=relid)
    table = shape.load(session, [relid]).get(relid)
    if not found or not found[0][0] or table is None or table.key is None:
        return False
    if any(naming.is_named(column) for column in table.columns):
        return False  # when they are written out as text, nobody has kept what the names mean
    return op != "U" or not any(column.identity == "a" and column.name in sets for column in table.columns)


def make_shared(
    session: Session, capture: int, relid: int, op: str, sets: Sequence[str], *, foreseen: bool = False
) -> Native:
    """Return the images of an UPDATE or DELETE that every chunk of a batch runs; the tables for all of them are there.

    That of new rows also where values are foreseen: a chunk whose values come otherwise needs it.
    """
    table = shape.load(session, [relid])[relid]
    changed = _changed(table, op, sets)
    foreseen = foreseen and not any(column.generated for column in changed)
    native = Native(table=table, source=capture, op=op, changed=changed, home=capture, foreseen=foreseen)
    execute(session, _empty(table, native.old_name, table.columns, shared=True, beside=changed if foreseen else ()))
    if op == "U":
        execute(session, _empty(table, native.new_name, native.after, shared=True))
    private(session)
    return native


def make(
    session: Session,
    capture: int,
    relid: int,
    op: str,
    sets: Sequence[str],
    *,
    foreseen: bool = False,
    uniform: bool = False,
) -> Native:
    """Return the images of one statement; the table for its old rows is there, and empty."""
    table = shape.load(session, [relid])[relid]
    changed = _changed(table, op, sets)
    foreseen = foreseen and not any(column.generated for column in changed)
    uniform = foreseen and uniform
    native = Native(table=table, source=capture, op=op, changed=changed, foreseen=foreseen, uniform=uniform)
    if op != "I":
        execute(session, _empty(table, native.old_name, table.columns, beside=native.beside))
        private(session)
    return native


def _changed(table: Shape, op: str, sets: Sequence[str]) -> tuple[ColumnShape, ...]:
    return tuple(c for c in table.stored if op == "U" and (c.name in sets or c.generated))


def _empty(
    table: Shape, name: str, columns: Sequence[ColumnShape], *, shared: bool = False, beside: Sequence[ColumnShape] = ()
) -> Composed:
    """Return the making of a table for these columns of rows; a shared one also says whose each row is.

    ``beside`` are those whose foreseen values stand there too.
    """
    values = [compose("t.{name} AS {label}", name=identifier(c.name), label=identifier(foresight(c))) for c in beside]
    return compose(
        "CREATE TABLE {name} AS SELECT {fields} FROM ONLY {table} AS t WITH NO DATA",
        name=identifier(OUR, name),
        fields=joined([*([compose("0 AS c0")] if shared else []), *fields(columns), *values]),
        table=table.table,
    )


def fields(columns: Sequence[ColumnShape]) -> list[Part]:
    """Return these columns of row ``t`` under our labels."""
    return [compose("t.{name} AS {label}", name=identifier(c.name), label=identifier(c.label)) for c in columns]


def own(session: Session) -> Part:
    """Return the condition that row ``t`` was written by this transaction; a constant, so that parallel plans may use it."""
    return compose("t.xmin OPERATOR(pg_catalog.=) {xid}::xid", xid=literal(session.query("optimistic_xid")[0][0]))


def private(session: Session) -> None:
    """Take away what default privileges gave to others as our tables were made."""
    for name, role in session.query("native_readers"):
        reader = compose("PUBLIC") if role is None else identifier(role)
        execute(session, compose("REVOKE ALL ON TABLE {name} FROM {reader}", name=identifier(OUR, name), reader=reader))


def inserted(session: Session, name: str) -> int:
    """Return how many rows this transaction has put into one of our tables."""
    found: int = session.query("native_inserted", name=f"{OUR}.{name}")[0][0]
    return found


# ------------------------------------------------------------------------------ rows


def same(
    left: str, left_labels: bool, right: str, columns: Sequence[ColumnShape], *, foreseen: Native | None = None
) -> Part:
    """Return the condition that two rows agree in these columns, byte for byte; those of ``right`` are our labels.

    With ``foreseen`` the new values of the old row ``right``, as those images foresaw them.
    """

    def of(alias: str, column: ColumnShape) -> Part:
        if alias == right and foreseen is not None:
            return foreseen.foresaw(alias, column)
        return identifier(alias, column.label if left_labels or alias == right else column.name)

    plain = [column for column in columns if column.typid in BYTES | TEXTS]
    others = [column for column in columns if column not in plain]
    conditions = [
        compose(
            "{one}{text} IS NOT DISTINCT FROM {other}{text}",
            one=of(left, column),
            other=of(right, column),
            text=compose('::pg_catalog.text COLLATE pg_catalog."C"' if column.typid in TEXTS else ""),
        )
        for column in plain
    ]
    if others:
        conditions.append(
            compose(
                "pg_catalog.record_image_eq(ROW({left}), ROW({right}))",
                left=joined(of(left, column) for column in others),
                right=joined(of(right, column) for column in others),
            )
        )
    return joined(conditions, " AND ") if conditions else compose("true")


def keyed(native: Native, left: str, right: str, labels: str) -> Part:
    """Return the condition that two rows have the same key."""
    return shape.matches(left, right, native.table.key or (), labels=labels)


def as_found(native: Native) -> Composed:
    """Rows ``t`` of the table that are as the change found them: a join condition on its old rows ``o``."""
    return compose(
        "{key} AND {rest}", key=keyed(native, "t", "o", "o"), rest=same("t", False, "o", native.table.stored)
    )


def keep_new(session: Session, native: Native, written: Part | None = None, *, made: bool = False) -> int:
    """Write the new rows of an UPDATE or INSERT: those of this transaction; return how many there are.

    Of an UPDATE only those whose key was imaged, and whose other columns are as they were. ``written`` is the condition
    that row ``t`` was written by this transaction and may be, found by itself where there is none. ``made``: their table is
    there already, and empty.
    """
    mine = own(session) if written is None else written
    source = compose("ONLY {table} AS t", table=native.table.table)
    if native.op == "U":
        source = compose(
            "{old} AS o JOIN {source} ON {key} AND {rest}",
            old=native.old,
            source=source,
            key=keyed(native, "t", "o", "o"),
            rest=same("t", False, "o", native.kept),
        )
    columns, new = fields(native.after), identifier(OUR, native.new_name)
    if native.home is not None or made:
        session.execute(
            compose(
                "INSERT INTO {new} SELECT {fields} FROM {source} WHERE {own}",
                new=new,
                fields=joined([*([] if native.home is None else [literal(native.source)]), *columns]),
                source=source,
                own=mine,
            )
        )
        return session.affected
    making = compose(
        "CREATE TABLE {new} AS SELECT {fields} FROM {source} WHERE {own}",
        new=new,
        fields=joined(columns),
        source=source,
        own=mine,
    )
    execute(session, making)
    private(session)
    return inserted(session, native.new_name)


def still_there(session: Session, native: Native) -> int:
    """Return how many keys of the old rows are in the table."""
    found: int = session.execute(
        compose(
            "SELECT pg_catalog.count(*) FROM {old} AS o JOIN ONLY {table} AS t ON {key}",
            old=native.old,
            table=native.table.table,
            key=keyed(native, "t", "o", "o"),
        )
    )[0][0]
    return found


def identical(session: Session, native: Native) -> int:
    """Return how many rows of the change are as it found them; for an INSERT, how many of its keys are gone."""
    if native.op == "I":
        query = compose(
            "SELECT {rows} - pg_catalog.count(*) FROM {new} AS n JOIN ONLY {table} AS t ON {key}",
            rows=literal(native.rows),
            new=native.new,
            table=native.table.table,
            key=keyed(native, "t", "n", "n"),
        )
    else:
        query = compose(
            "SELECT pg_catalog.count(*) FROM {old} AS o JOIN ONLY {table} AS t ON {same}",
            old=native.old,
            table=native.table.table,
            same=as_found(native),
        )
    found: int = session.execute(query)[0][0]
    return found


def load(session: Session, captures: Sequence[int], shapes: dict[int, Shape] | None = None) -> list[Native]:
    """Return the native images of which something stands; tables that are gone are left out."""
    rows = session.query("native_standing", captures=list(captures))
    return of(rows, shapes if shapes is not None else shape.load(session, [row[0] for row in rows]))


def of(rows: Sequence[Row], known: Mapping[int, Shape]) -> list[Native]:
    """Return the native images that rows of ``native_standing`` tell of; tables that are not known are left out."""
    return [
        Native(
            table=known[relid],
            source=source,
            op=op,
            rows=count,
            direction=sign,
            changed=by_number(known[relid], columns),
            home=home,
            foreseen=foreseen,
            uniform=uniform,
        )
        for relid, source, op, count, columns, sign, home, foreseen, uniform in rows
        if relid in known
    ]


def by_number(table: Shape, numbers: Sequence[int]) -> tuple[ColumnShape, ...]:
    """Return the columns with these numbers, in the table's order."""
    return tuple(column for column in table.columns if column.number in numbers)
