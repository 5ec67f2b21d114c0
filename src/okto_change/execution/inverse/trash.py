"""Putting aside what a statement of the author's would drop, if it holds rows.

The statement itself runs first and is rolled back: the server says whether it may, and what would be gone. Then tables are
moved, columns and schemas renamed, and everything else that would be gone is dropped, so that only rows are left to bring back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from okto_change.database.inverse import Catalogue, Record, keep_aside, names_aside, read, settled, turn
from okto_change.database.session import Session
from okto_change.execution.inverse.derive import unwind
from okto_change.execution.inverse.differences import ROWS

SCHEMA = "okto_trash"


def put_aside(session: Session, run: str, unit: str, execute: Callable[[], object]) -> None:
    """Have ``execute`` run the statement; if rows would be gone, do instead what loses none, in the open transaction.

    Raises NotReversible for what can neither be put aside nor dropped, DatabaseError as the statement itself.
    """
    before = read(session)
    turn(session)
    session.run("SAVEPOINT okto_change_trash")
    execute()
    after = read(session)
    lost = {key: record for key, record in before.items() if key not in after}
    if not any(_holds_rows(record) for record in lost.values()):
        session.run("RELEASE SAVEPOINT okto_change_trash")
        return
    session.run("ROLLBACK TO SAVEPOINT okto_change_trash; RELEASE SAVEPOINT okto_change_trash")
    aside = {record.id: record for record in lost.values() if _is_put_aside(record, lost)}
    parts = [record for record in lost.values() if _goes_along(record, aside)]
    with settled(session):
        names = names_aside(session, [*aside, *(part.id for part in parts)])
        for statement in moving(aside, parts, names):
            session.run(statement)
        now = read(session)
        kept = aside | {record.id: record for record in lost.values() if _follows(record, lost)}
        unwind(session, {**after, **{key: _bare(now[key], kept) for key in _staying(now, kept, lost)}})
    keep_aside(
        session, run, unit, ((record.object, f"{now[key].word} {now[key].ref}") for key, record in aside.items())
    )


def _holds_rows(record: Record) -> bool:
    return record.kind in ROWS or (record.kind == "column" and record.get("of") in ROWS)


def _is_put_aside(record: Record, lost: Catalogue) -> bool:
    """A schema as a whole, a table outside of such schemas, a column of a table that stays."""
    if record.kind == "schema":
        return True
    if record.kind in ROWS:
        return not _in_lost_schema(record, lost)
    return _holds_rows(record) and record.parent not in lost and not record.get("inherited")


def _follows(record: Record, lost: Catalogue) -> bool:
    """A column that a table has from its parent is renamed with the parent's."""
    return (
        _holds_rows(record) and record.kind == "column" and record.parent not in lost and bool(record.get("inherited"))
    )


def _in_lost_schema(record: Record, lost: Catalogue) -> bool:
    return any(other.kind == "schema" and other.get("name") == record.get("schema") for other in lost.values())


def _goes_along(record: Record, aside: Catalogue) -> bool:
    """Indexes and sequences of tables that are moved: their names must be free again, and not meet in the trash."""
    return record.kind in ("index", "sequence") and _table(record.parent) in aside


def _table(place: str) -> str:
    return f"{place.rpartition(':')[0]}:0"


def moving(aside: Catalogue, parts: Iterable[Record], names: dict[str, str]) -> Iterator[str]:
    """Yield what moves and renames, in order. Foreign keys and parents go when everything else is in its place."""
    for part in parts:
        yield f"ALTER {part.word} {part.ref} RENAME TO {names[part.id]}"
    for record in aside.values():
        yield from _moved(record, names[record.id], aside)


def _moved(record: Record, name: str, aside: Catalogue) -> Iterator[str]:
    if record.kind == "column":
        table, own = record.get("table"), record.get("name")
        if record.get("identity"):
            yield f"ALTER TABLE {table} ALTER COLUMN {own} DROP IDENTITY"
        elif record.get("default") is not None:
            yield f"ALTER TABLE {table} ALTER COLUMN {own} DROP DEFAULT"
        yield f"ALTER TABLE {table} RENAME COLUMN {own} TO {name}"
    elif record.kind == "schema":
        grantees = sorted({grant[1] for grant in record.get("acl") or ()} - {record.get("owner")})
        if grantees:
            yield f"REVOKE ALL ON SCHEMA {record.ref} FROM {', '.join(grantees)} CASCADE"
        yield f"ALTER SCHEMA {record.ref} RENAME TO {name}"
    else:
        yield from _left(record, {other.ref for other in aside.values()})
        yield f"ALTER {record.word} {record.ref} RENAME TO {name}"
        yield f"ALTER {record.word} {record.get('schema')}.{name} SET SCHEMA {SCHEMA}"


def _left(record: Record, aside: set[str]) -> Iterator[str]:
    """Leave the parents that stay."""
    for parent in record.get("parents") or ():
        if parent not in aside and record.get("bound"):
            yield f"ALTER TABLE {parent} DETACH PARTITION {record.ref}"
        elif parent not in aside:
            yield f"ALTER TABLE {record.ref} NO INHERIT {parent}"


def _staying(now: Catalogue, aside: Catalogue, lost: Catalogue) -> Iterator[str]:
    """What is put aside with all that is part of it, but no foreign keys, which would watch over tables that stay."""
    for key, record in now.items():
        part = key in aside or _table(record.parent) in aside or (key in lost and _in_lost_schema(lost[key], lost))
        inner = record.parent in lost and _table(record.parent) not in aside and _in_lost_schema_below(record, lost)
        if (part or inner) and not _is_dropped_anyway(record) and not _hangs_on_column(record, aside):
            yield key


def _bare(record: Record, aside: Catalogue) -> Record:
    """A column that is put aside must not be filled."""
    if record.kind != "column" or record.id not in aside or not record.get("not_null"):
        return record
    return replace(record, facets={**record.facets, "not_null": False})


def _in_lost_schema_below(record: Record, lost: Catalogue) -> bool:
    above = lost.get(_table(record.parent))
    return above is not None and _in_lost_schema(above, lost)


def _is_dropped_anyway(record: Record) -> bool:
    """Foreign keys watch over tables that stay, extended statistics hold a name in a schema that stays."""
    return record.kind == "statistics" or (record.kind == "constraint" and record.get("type") == "f")


def _hangs_on_column(record: Record, aside: Catalogue) -> bool:
    """A sequence that belongs to a column which is put aside: the column has no default any more."""
    return record.kind == "sequence" and record.parent in aside and aside[record.parent].kind == "column"
