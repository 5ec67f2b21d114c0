"""Taking back, and doing again, what was written in the role of a replica, where no foreign key is checked.

Rows that refer to nothing are part of what such a change leaves, so its redo has to leave them again. Foreign keys are not
checked for that either, and carry nothing on; instead every reference of the rows in hand is looked at: none may come to
refer to nothing but those that did so when they were taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from okto_change.database.composing import Part, compose, identifier, joined, literal, operator
from okto_change.database.session import Session
from okto_change.errors import Conflict, DatabaseError
from okto_change.execution.images import matching, shape
from okto_change.execution.images.matching import Work
from okto_change.execution.images.shape import Key
from okto_change.execution.images.unheard import NOT_ALLOWED
from okto_change.model.base import type_


@type_
class ForeignKey:
    """A foreign key of a table: ``same`` compares row ``r`` of the other table with columns c1, c2, … of row ``n``."""

    oid: int
    other: str
    rows: Part
    """the other table, as it is looked into"""
    numbers: tuple[int, ...]
    same: Part


@type_
class Unchecked:
    """That an undo goes on unchecked: ``captures`` are all that it works from, ``keys`` the foreign keys by table."""

    captures: tuple[int, ...]
    keys: dict[int, tuple[ForeignKey, ...]]


def begin(session: Session, captures: Sequence[int], undo: int, works: Sequence[Work]) -> Unchecked | None:
    """Say whether what stands of ``captures`` is undone unchecked, by capture ``undo``.

    None where nothing was written as a replica, nor kept by a trigger from what a foreign key carries on; or where this role
    may not be a replica: foreign keys are checked then. Keeps writers out of every table that refers to these or
    that these refer to, so that looking once is enough.
    """
    relids = [work.table.relid for work in works]
    marked, listening = session.query("unchecked_any", captures=list(captures), oids=relids)[0]
    if not marked and not (listening and _swallowed(session, works, frozenset(listening))):
        return None
    keys = _keys(session, relids)
    _lock(session, relids, keys)
    session.query("unchecked_mark", capture=undo, undo=True)
    if session.query("unchecked_unfit", oids=list(relids))[0][0] or not _may(session):
        return None
    return Unchecked(captures=tuple(captures), keys=keys)


def _swallowed(session: Session, works: Sequence[Work], listening: frozenset[int]) -> bool:
    """Whether rows of these tables refer to what is to be put back, and to nothing now."""
    by_relid = {work.table.relid: work for work in works}
    keys = session.query("image_foreign_keys", oids=list(by_relid))
    return any(
        _refers_to_nothing(session, by_relid[parent], identifier(schema, name), columns)
        for _, child, schema, name, parent, columns in keys
        if child in listening and {c[0] for c in columns} <= {c.number for c in by_relid[parent].table.stored}
    )


def _refers_to_nothing(session: Session, work: Work, child: Part, columns: Sequence[matching.Pair]) -> bool:
    names = {column.number: column.name for column in work.table.stored}
    pairs = [(number, compose("k.{c}", c=identifier(name)), operator(s, o)) for number, name, s, o, _, _ in columns]
    back = (compose("p.{c} {equal} {k}", c=identifier(f"c{number}"), equal=o, k=k) for number, k, o in pairs)
    now = (compose("t.{c} {equal} {k}", c=identifier(names[number]), equal=o, k=k) for number, k, o in pairs)
    found: bool = session.execute(
        compose(
            """SELECT EXISTS (SELECT FROM {rows} AS p JOIN ONLY {child} AS k ON {back}
                               WHERE p.n > 0 AND NOT EXISTS (SELECT FROM ONLY {table} AS t WHERE {now}))""",
            rows=work.rows,
            child=child,
            back=joined(back, " AND "),
            table=work.table.table,
            now=joined(now, " AND "),
        )
    )[0][0]
    return found


def _may(session: Session) -> bool:
    try:
        with session.savepoint():
            session.query("unchecked_role")
            session.query("image_unpin", names=["session_replication_role"], values=["origin"])
    except DatabaseError as error:
        if error.sqlstate != NOT_ALLOWED:
            raise
        return False
    return True


def _keys(session: Session, relids: Sequence[int]) -> dict[int, tuple[ForeignKey, ...]]:
    found: dict[int, tuple[ForeignKey, ...]] = dict.fromkeys(relids, ())
    for oid, relid, partitioned, schema, name, columns in session.query("unchecked_keys", oids=list(relids)):
        other = identifier(schema, name)
        same = (
            compose(
                "r.{parent} {equal} n.{child}",
                parent=identifier(parent),
                equal=operator(space, sign),
                child=identifier(f"c{number}"),
            )
            for parent, number, space, sign in columns
        )
        key = ForeignKey(
            oid=oid,
            other=f"{schema}.{name}",
            rows=other if partitioned else compose("ONLY {other}", other=other),
            numbers=tuple(number for _, number, _, _ in columns),
            same=joined(same, " AND "),
        )
        found[relid] += (key,)
    return found


def _lock(session: Session, relids: Sequence[int], keys: dict[int, tuple[ForeignKey, ...]]) -> None:
    children = session.query("unchecked_children", oids=list(relids))
    tables: list[Part] = [compose("ONLY {table}", table=identifier(schema, name)) for schema, name in children]
    tables += [key.rows for listed in keys.values() for key in listed]
    if tables:
        session.execute(compose("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE", tables=joined(tables)))


@contextmanager
def as_replica(session: Session, unchecked: Unchecked | None) -> Iterator[None]:
    """Be a replica for the body, where it goes on unchecked. An error takes that back with the savepoint."""
    if unchecked is not None:
        session.query("unchecked_role")
    yield
    if unchecked is not None:
        session.query("image_unpin", names=["session_replication_role"], values=["origin"])


# ------------------------------------------------------------------------------ references


def note(session: Session, works: Sequence[Work], unchecked: Unchecked, undo: int) -> None:
    """Keep which of the rows to take away refer to nothing, before anything is moved."""
    for work in works:
        for key in unchecked.keys[work.table.relid]:
            session.execute(
                compose(
                    """INSERT INTO okto_change.unchecked_row (capture, key, row)
                       SELECT {undo}, {key}, {digest} FROM {rows} AS n
                        WHERE n.n < 0 AND EXISTS (SELECT FROM {places} AS a WHERE a.id = n.id) AND {broken}
                       ON CONFLICT DO NOTHING""",
                    undo=literal(undo),
                    key=literal(key.oid),
                    digest=_digest(),
                    rows=work.rows,
                    places=work.places,
                    broken=_broken(key),
                )
            )


def demand_sound(session: Session, works: Sequence[Work], unchecked: Unchecked | None) -> None:
    """Raise Conflict, after all was moved, where a row that was put back refers to nothing, or has the key of another one."""
    if unchecked is None:
        return
    faults: list[str] = []
    for work in works:
        for key in unchecked.keys[work.table.relid]:
            named = [matching.label(work.table, image) for (image,) in _lost(session, work, key, unchecked.captures)]
            faults += [f"{name}: the row of {key.other} that it refers to is gone" for name in named]
        for unique in work.table.keys:
            twice = [matching.label(work.table, image) for (image,) in _twice(session, work, unique)]
            columns = ", ".join(match.column.name for match in unique)
            faults += [f"{name}: another row has its value of ({columns}) now" for name in twice]
    if faults:
        raise Conflict(
            "the rows of now do not let the old ones back",
            where=session.target,
            faults=tuple(faults),
            hint="settle these rows by hand",
        )


def _lost(session: Session, work: Work, key: ForeignKey, captures: Sequence[int]) -> list[tuple[str]]:
    unmoved = joined(
        (compose("o.{c} IS NOT DISTINCT FROM n.{c}", c=identifier(f"c{number}")) for number in key.numbers), " AND "
    )
    rows = session.execute(
        compose(
            """SELECT n.image FROM {rows} AS n
                WHERE n.n > 0 AND {broken}
                  AND NOT EXISTS (SELECT FROM {places} AS a JOIN {rows} AS o ON o.id = a.id WHERE a.new = n.id AND {unmoved})
                  AND NOT EXISTS (SELECT FROM okto_change.unchecked_row AS u
                                   WHERE u.capture IN ({captures}) AND u.key = {key}::oid AND u.row = {digest})
                ORDER BY n.id LIMIT {limit}""",
            rows=work.rows,
            places=work.places,
            broken=_broken(key),
            unmoved=unmoved,
            captures=joined(map(literal, captures)),
            key=literal(key.oid),
            digest=_digest(),
            limit=literal(matching.NAMED),
        )
    )
    return [(row[0],) for row in rows]


def _broken(key: ForeignKey) -> Part:
    """The condition that row ``n`` refers to nothing."""
    given = joined((compose("n.{c} IS NOT NULL", c=identifier(f"c{number}")) for number in key.numbers), " AND ")
    return compose(
        "{given} AND NOT EXISTS (SELECT FROM {other} AS r WHERE {same})", given=given, other=key.rows, same=key.same
    )


def _digest() -> Part:
    return compose("pg_catalog.sha256(pg_catalog.convert_to(n.image, 'UTF8'))")


def _twice(session: Session, work: Work, unique: Key) -> list[tuple[str]]:
    rows = session.execute(
        compose(
            """SELECT n.image FROM {rows} AS n
                WHERE n.n > 0 AND (SELECT pg_catalog.count(*) FROM ONLY {table} AS t WHERE {same}) > 1
                ORDER BY n.id LIMIT {limit}""",
            rows=work.rows,
            table=work.table.table,
            same=shape.matches("t", "n", unique, labels="n"),
            limit=literal(matching.NAMED),
        )
    )
    return [(row[0],) for row in rows]
