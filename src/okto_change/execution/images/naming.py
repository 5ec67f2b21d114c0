"""Values that are shown by name but mean an object (regclass and kin): what their names meant when images were taken.

Images are text, so such a value is kept by name. When objects have changed names since, the text would be read as another
object: the oid of each is kept beside, and rows are put back only while every name still belongs to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from okto_change.database.composing import Part, compose, identifier, joined, literal
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, DatabaseError
from okto_change.execution.images.pins import resolving
from okto_change.execution.images.shape import DOCUMENTS, ColumnShape, Shape

NAMED = {
    24: "regproc",
    2202: "regprocedure",
    2203: "regoper",
    2204: "regoperator",
    2205: "regclass",
    2206: "regtype",
    4096: "regrole",
    4089: "regnamespace",
    3734: "regconfig",
    3769: "regdictionary",
    4191: "regcollation",
}
"""oid of the type -> its name; those of PostgreSQL's pg_type.dat"""
ARRAYS = {
    1008: "regproc",
    2207: "regprocedure",
    2208: "regoper",
    2209: "regoperator",
    2210: "regclass",
    2211: "regtype",
    4097: "regrole",
    4090: "regnamespace",
    3735: "regconfig",
    3770: "regdictionary",
    4192: "regcollation",
}
"""oid of the array type -> what it holds"""

PRIVILEGES = frozenset({1033, 1034})
"""aclitem and aclitem[]"""
OPAQUE = (
    (frozenset({*NAMED, *ARRAYS}), "names of objects inside a type of its own; they cannot be kept as oids"),
    (frozenset(DOCUMENTS), "xml inside a type of its own, whose text leaves out its declaration"),
    (PRIVILEGES, "privileges, whose text names roles; they cannot be kept as oids"),
)
"""types and what is wrong with the text of their values where images cannot look into them"""


def is_named(column: ColumnShape) -> bool:
    """Whether its values are names of objects, or arrays of them."""
    return column.typid in NAMED or column.typid in ARRAYS


def hidden(shapes: Iterable[Shape]) -> tuple[str, ...]:
    """Say which tables hold what its text does not tell: names or documents inside types of their own, and privileges."""
    found = {
        table.qualified: table.inside | {column.typid for column in table.columns} & PRIVILEGES for table in shapes
    }
    return tuple(
        f"{table} holds {what}"
        for table, types in sorted(found.items())
        for kinds, what in OPAQUE
        if not kinds.isdisjoint(types)
    )


def kept(session: Session, capture: int, table: Shape) -> str | None:
    """Return, as JSON, what the names in a capture's images of a table mean now; None if one of them means nothing.

    The settings are pinned by the caller.
    """
    columns = [column for column in table.stored if is_named(column)]
    if not columns:
        return "[]"
    try:
        with session.savepoint(), resolving(session):
            values = session.execute(joined((_values(capture, table, column) for column in columns), " UNION "))
    except DatabaseError as error:
        if isinstance(error, ConnectionLost):
            raise
        return None
    kinds, ids = [row[0] for row in values], [row[1] for row in values]
    found = session.query("image_name_of", kinds=kinds, ids=ids) if values else []
    return json.dumps([{"kind": kind, "id": number, "was": was} for kind, number, was in found])


def _values(capture: int, table: Shape, column: ColumnShape) -> Part:
    field = compose("(p.r).{name}", name=identifier(column.name))
    if column.typid in ARRAYS:
        field = compose("pg_catalog.unnest({field})", field=field)
    return compose(
        """SELECT {kind}::text, v.value::oid::bigint
             FROM (SELECT i.before AS image FROM okto_change.image AS i
                    WHERE i.capture = {capture} AND i.relid = {relid}::oid AND i.before IS NOT NULL
                   UNION
                   SELECT i.after FROM okto_change.image AS i
                    WHERE i.capture = {capture} AND i.relid = {relid}::oid AND i.after IS NOT NULL) AS net
            CROSS JOIN LATERAL (SELECT {field} AS value FROM (SELECT net.image::{table} AS r OFFSET 0) AS p) AS v
            WHERE v.value IS NOT NULL""",
        kind=literal(NAMED.get(column.typid) or ARRAYS[column.typid]),
        capture=literal(capture),
        relid=literal(table.relid),
        field=field,
        table=table.table,
    )


def moved(session: Session, captures: Iterable[int]) -> tuple[str, ...]:
    """Say which names in the images of these captures mean something else now. The settings are pinned by the caller."""
    return tuple(
        f"{table}: rows hold the {kind} {was}, which is called {now} now"
        for table, kind, was, now in session.query("image_moved_names", captures=list(captures))
    )
