"""Finding the rows that a run left, and everything that somebody did to them since."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from okto_change.database.composing import Part, compose, identifier, joined, literal, operator
from okto_change.database.session import Row, Session
from okto_change.execution.images import net, record, shape
from okto_change.execution.images.pins import resolving
from okto_change.execution.images.shape import Key, Shape
from okto_change.execution.images.unheard import execute
from okto_change.model.base import type_

NAMED = 100
"""conflicts of each kind and table that are named; the rest is counted"""
TEMPORARY = "pg_temp"
Pair = tuple[int, str, str, str, str, str]
"""a column of a foreign key: number in the parent, name in the child, operators (schema, name) parent = child, parent = parent"""


@type_
class Work:
    """One table's share of an undo. Its rows are in two temporary tables.

    ``rows`` (id, n, image, c1, c2, …): n < 0 to take away, n > 0 to put back. ``places`` (id, place, new): where each row to
    take away lies, and the row to put back under the same key, if there is one: that pair is an update.
    """

    table: Shape
    rows: Part
    places: Part


@type_
class Dirty:
    """A row that cannot be undone without destroying later work: its id in ``rows`` and why, in words."""

    work: Work
    id: int
    reason: str


def prepare(session: Session, table: Shape, captures: Sequence[int], number: int, writers: Part) -> Work:
    """Read what stands of ``captures`` in a table, and find the rows that must go. The table is locked already.

    A row must go if it reads as the change left it and was written last by one of ``writers``, a query of transaction
    ids. Raises DatabaseError when a row's text no longer fits the types of the table.
    """
    work = Work(
        table=table,
        rows=identifier(TEMPORARY, f"okto_rows_{number}_{table.relid}"),
        places=identifier(TEMPORARY, f"okto_places_{number}_{table.relid}"),
    )
    source = net.typed(table, net.images(captures, table.relid))
    with resolving(session):  # domains may check values by functions of their own
        execute(
            session,
            compose(
                """CREATE TEMP TABLE {rows} ON COMMIT DROP AS {query} WITH NO DATA; {storage}; INSERT INTO {rows} {query};
                   CREATE INDEX ON {rows} (id); {indexes}; ANALYZE {rows}""",
                rows=work.rows,
                query=compose(
                    "SELECT pg_catalog.row_number() OVER ()::integer AS id, t.* FROM ({source}) AS t", source=source
                ),
                storage=_uncompressed(work),
                indexes=joined((_index(work, key) for key in table.keys), "; "),
            ),
        )
    find = (
        _by_key(work, table.key, writers)
        if table.key is not None
        else _by_content(work, writers, _referred(session, table))
    )
    execute(
        session,
        compose(
            """CREATE TEMP TABLE {places} ON COMMIT DROP AS {find};
               CREATE INDEX ON {places} (id); CREATE INDEX ON {places} (place); CREATE INDEX ON {places} (new);
               ANALYZE {places}""",
            places=work.places,
            find=find,
        ),
    )
    return work


def _uncompressed(work: Work) -> Part:
    """Return what keeps long values from being compressed for the moment that they are here, which takes longer than all else."""
    if not work.table.long:
        return compose("")
    labels = ("image", *(column.label for column in work.table.long))
    alter = joined(compose("ALTER {label} SET STORAGE EXTERNAL", label=identifier(label)) for label in labels)
    return compose("ALTER TABLE {rows} {alter}", rows=work.rows, alter=alter)


def _index(work: Work, key: Key) -> Part:
    columns = joined(identifier(match.column.label) for match in key)
    return compose("CREATE INDEX ON {rows} ({columns})", rows=work.rows, columns=columns)


def _by_key(work: Work, key: Key, writers: Part) -> Part:
    # The text is compared outside: as a join condition it would make the planner expect one row, and loop.
    return compose(
        """SELECT m.id, m.place, p.id AS new
             FROM (SELECT n.*, t.ctid AS place, t.xmin AS writer, {text} AS now
                     FROM {rows} AS n JOIN ONLY {table} AS t ON {found}
                    WHERE n.n < 0 OFFSET 0) AS m
             LEFT JOIN {rows} AS p ON p.n > 0 AND {pair}
            WHERE m.now = m.image AND m.writer IN ({writers})""",
        rows=work.rows,
        table=work.table.table,
        text=work.table.row_text("t"),
        writers=writers,
        found=shape.matches("t", "n", key, labels="n"),
        pair=shape.matches("p", "m", key, labels="pm"),
    )


def _referred(session: Session, table: Shape) -> Key | None:
    """Return the unique columns that foreign keys refer to, of a table without a key: nulls may stand there."""
    found = {frozenset(row[0]) for row in session.query("image_referred", relid=table.relid)} if table.unique else ()
    return next((key for key in table.unique if frozenset(match.column.number for match in key) in found), None)


def _by_content(work: Work, writers: Part, referred: Key | None) -> Part:
    # To delete a row that others refer to and insert it anew would set off what their foreign keys say.
    pair = compose("false") if referred is None else shape.matches("p", "m", referred, labels="pm")
    return compose(
        """SELECT m.id, m.place, p.id AS new
             FROM (SELECT n.*, -n.n AS wanted, t.ctid AS place,
                          pg_catalog.row_number() OVER (PARTITION BY n.id ORDER BY t.ctid) AS nth
                     FROM {rows} AS n JOIN ONLY {table} AS t ON {text} = n.image
                    WHERE n.n < 0 AND t.xmin IN ({writers})) AS m
             LEFT JOIN {rows} AS p ON p.n > 0 AND {pair}
            WHERE m.nth <= m.wanted""",
        rows=work.rows,
        table=work.table.table,
        text=work.table.row_text("t"),
        writers=writers,
        pair=pair,
    )


# ------------------------------------------------------------------------ conflicts


def conflicts(session: Session, works: Sequence[Work], unchecked: Sequence[int] = ()) -> list[Dirty]:
    """Return every row that somebody changed, removed, replaced or came to depend on since.

    Of captures ``unchecked`` the undos say since when: rows that were there before referred to nothing then, as they will again.
    """
    found: list[Dirty] = []
    for work in works:
        found += _changed(session, work)
        found += _replaced(session, work)
        for key in work.table.unique:
            found += _taken(session, work, key)
    found += _depended_on(session, works, unchecked)
    return found


def _changed(session: Session, work: Work) -> Iterable[Dirty]:
    key = work.table.key
    if key is None:
        rows = session.execute(
            compose(
                """SELECT n.id, n.image, -n.n - (SELECT pg_catalog.count(*) FROM {places} AS a WHERE a.id = n.id)
                     FROM {rows} AS n
                    WHERE n.n < 0 AND -n.n > (SELECT pg_catalog.count(*) FROM {places} AS a WHERE a.id = n.id)""",
                rows=work.rows,
                places=work.places,
            )
        )
        for number, _, gone in rows:
            what = f"a row that the change left was changed, removed or written again since ({gone} times)"
            reason = f"{work.table.qualified}: {what}"
            yield Dirty(work=work, id=number, reason=reason)
        return
    rows = session.execute(
        compose(
            """SELECT n.id, n.image, {text}
                 FROM {rows} AS n LEFT JOIN ONLY {table} AS t ON {same}
                WHERE n.n < 0 AND NOT EXISTS (SELECT FROM {places} AS a WHERE a.id = n.id)
                ORDER BY n.id""",
            rows=work.rows,
            places=work.places,
            table=work.table.table,
            text=_text_or_null(work.table),
            same=shape.matches("t", "n", key, labels="n"),
        )
    )
    for number, left, now in rows:
        yield Dirty(work=work, id=number, reason=f"{label(work.table, left)}: {since(work.table, left, now)}")


def _text_or_null(table: Shape) -> Part:
    return compose("CASE WHEN t.ctid IS NOT NULL THEN {text} END", text=table.row_text("t"))


def since(table: Shape, left: str, now: str | None) -> str:
    """Say what became of a row that the change left as ``left``."""
    if now is None:
        return "removed since"
    columns = record.changed(record.named(left, table.names), record.named(now, table.names))
    return f"changed since: {', '.join(columns)}" if columns else "written again since, with the same values"


def _replaced(session: Session, work: Work) -> Iterable[Dirty]:
    key = work.table.key
    if key is None:
        return
    rows = session.execute(
        compose(
            """SELECT p.id, p.image
                 FROM {rows} AS p JOIN ONLY {table} AS t ON {same}
                WHERE p.n > 0 AND NOT EXISTS (SELECT FROM {places} AS a WHERE a.place = t.ctid)
                  AND NOT EXISTS (SELECT FROM {rows} AS n WHERE n.n < 0 AND {pair})
                ORDER BY p.id""",
            rows=work.rows,
            places=work.places,
            table=work.table.table,
            same=shape.matches("t", "p", key, labels="p"),
            pair=shape.matches("n", "p", key, labels="np"),
        )
    )
    for number, image in rows:
        yield Dirty(work=work, id=number, reason=f"{label(work.table, image)}: another row has this key now")


def _taken(session: Session, work: Work, key: Key) -> Iterable[Dirty]:
    rows = session.execute(
        compose(
            """SELECT p.id, p.image
                 FROM {rows} AS p JOIN ONLY {table} AS t ON {same}
                WHERE p.n > 0 AND NOT EXISTS (SELECT FROM {places} AS a WHERE a.place = t.ctid)
                  AND NOT EXISTS (SELECT FROM {rows} AS n WHERE {own})
                ORDER BY p.id""",
            rows=work.rows,
            places=work.places,
            table=work.table.table,
            same=shape.matches("t", "p", key, labels="p"),
            own=shape.matches("n", "t", work.table.key, labels="n") if work.table.key else compose("false"),
        )
    )
    columns = ", ".join(match.column.name for match in key)
    for number, image in rows:
        yield Dirty(
            work=work, id=number, reason=f"{label(work.table, image)}: another row has its value of ({columns}) now"
        )


def _depended_on(session: Session, works: Sequence[Work], unchecked: Sequence[int]) -> Iterable[Dirty]:
    by_relid = {work.table.relid: work for work in works}
    keys = session.query("image_foreign_keys", oids=list(by_relid)) if works else []
    for _, child, schema, name, parent, columns in keys:
        work = by_relid[parent]
        if any(column[0] not in {c.number for c in work.table.stored} for column in columns):
            continue
        if not _goes(session, work, columns):
            continue
        ours, table = _others(by_relid.get(child), unchecked), identifier(schema, name)
        for number, image, count in _children(session, work, ours, table, columns):
            reason = f"{label(work.table, image)}: {count} rows of {schema}.{name} that others wrote refer to it"
            yield Dirty(work=work, id=number, reason=reason)


def _goes(session: Session, work: Work, columns: list[Pair]) -> bool:
    """Whether any value of these columns goes away: where none does, nobody's rows need be looked at, nor be readable."""
    found: bool = session.execute(
        compose(
            "SELECT EXISTS (SELECT FROM {rows} AS n WHERE {goes})",
            rows=work.rows,
            goes=_without_successor(work, columns),
        )
    )[0][0]
    return found


def _without_successor(work: Work, columns: list[Pair]) -> Part:
    """The condition that row ``n`` is to be taken away, and that no row to put back has its values in these columns."""
    again = joined(
        (
            compose("p.{c} {equal} n.{c}", c=identifier(f"c{number}"), equal=operator(space, sign))
            for number, _, _, _, space, sign in columns
        ),
        " AND ",
    )
    return compose(
        """n.n < 0 AND EXISTS (SELECT FROM {places} AS a WHERE a.id = n.id)
                  AND NOT EXISTS (SELECT FROM {rows} AS p WHERE p.n > 0 AND {again})""",
        places=work.places,
        rows=work.rows,
        again=again,
    )


def _others(ours: Work | None, unchecked: Sequence[int]) -> Part:
    """The condition that somebody else wrote row ``k``: it is none that this undo takes away, and was not there before."""
    parts = [compose("true")]
    if ours is not None:
        parts.append(compose("NOT EXISTS (SELECT FROM {places} AS a WHERE a.place = k.ctid)", places=ours.places))
    if unchecked:
        # The age of an id counts from this transaction, so it tells apart ids that look alike.
        parts.append(
            compose(
                """NOT EXISTS (SELECT FROM okto_change.unchecked AS u
                                CROSS JOIN LATERAL (SELECT pg_catalog.pg_current_xact_id()::text::bigint
                                                         - pg_catalog.age(k.xmin)) AS w (xid)
                                WHERE u.capture IN ({captures})
                                  AND pg_catalog.pg_visible_in_snapshot(greatest(w.xid, 3)::text::xid8, u.snapshot))""",
                captures=joined(map(literal, unchecked)),
            )
        )
    return joined(parts, " AND ")


def _children(session: Session, work: Work, others: Part, child: Part, columns: list[Pair]) -> list[Row]:
    same = joined(
        (
            compose(
                "n.{parent} {equal} k.{child}",
                parent=identifier(f"c{number}"),
                child=identifier(name),
                equal=operator(space, sign),
            )
            for number, name, space, sign, _, _ in columns
        ),
        " AND ",
    )
    return session.execute(
        compose(
            """SELECT n.id, n.image, pg_catalog.count(*)
                 FROM {rows} AS n JOIN ONLY {child} AS k ON {same}
                WHERE {goes} AND {others}
                GROUP BY n.id, n.image ORDER BY n.id""",
            rows=work.rows,
            child=child,
            same=same,
            others=others,
            goes=_without_successor(work, columns),
        )
    )


# ------------------------------------------------------------------------- in words


def label(table: Shape, image: str) -> str:
    """Name a row by its key, ``public.t (id=7)``; a table without a key has no name for its rows."""
    if table.key is None:
        return f"{table.qualified}: a row"
    values = record.veiled(record.named(image, table.names), table.hidden)
    key = ", ".join(f"{match.column.name}={values[match.column.name]}" for match in table.key)
    return f"{table.qualified} ({key})"


def reasons(dirty: Sequence[Dirty]) -> tuple[str, ...]:
    """Return the conflicts in words, each row once, at most a hundred named."""
    first: dict[tuple[int, int], str] = {}
    for item in dirty:
        first.setdefault((item.work.table.relid, item.id), item.reason)
    lines = list(dict.fromkeys(first.values()))
    return (*lines[:NAMED], *([f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []))
