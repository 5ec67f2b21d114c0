"""A difference -> what to try next to take it back, in stages, and what must hold before any of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from okto_change.database.inverse import Catalogue, Record
from okto_change.execution.inverse import facets, grants, making
from okto_change.execution.inverse.differences import Change, Difference
from okto_change.execution.inverse.facets import STAGES, Setter, Texts
from okto_change.model.base import type_

STRUCTURE = 3
"""the stage in which dropped objects are made again"""
NAMED = ("schema", "enum", "domain", "range", "composite type")
"""what others name: tables that lie in it, columns that are of it"""


@type_
class Guard:
    """What must hold at the time of an undo: ``query`` counts what speaks against it, ``message`` says what that is.

    ``seen`` is a query for the transactions whose rows are the run's own; its answer takes the place of ``{xids}``.
    ``value`` is a query for the one value that the run left everywhere, for ``{value}``. ``lock`` keeps writers away.
    """

    message: str
    lock: str
    query: str
    seen: str | None = None
    value: str | None = None


def stages(difference: Difference) -> tuple[tuple[Texts, ...], ...]:
    """Return the statements to try, stage by stage, each with its alternatives. A stage waits for the ones before it."""
    found: list[tuple[Texts, ...]] = []
    for number, setters in enumerate(STAGES):
        texts = [_set(change, setters) for change in difference.changed]
        if number == 0:
            texts += [
                [making.dropping(record)] for record in reversed(difference.created) if _is_dropped_at_once(record)
            ]
            texts += [
                [(text,) for text in making.dropping(record)] for record in difference.created if _is_grants(record)
            ]
        if number == STRUCTURE:
            texts += [[making.making(record)] for record in difference.dropped if not _is_grants(record)]
            texts += [
                [(text,) for text in making.making(record)] for record in difference.dropped if _is_grants(record)
            ]
        found.append(tuple(_clean(texts)))
        if number == 0:
            found.append(tuple(_clean([_out_of_the_way(difference)])))
    privileges = (_privileges(change) for change in difference.changed if "acl" in change.facets)
    return (*found, tuple(_clean(privileges)))


def _out_of_the_way(difference: Difference) -> list[Texts]:
    """Rename schemas and types that have the name of an older one, and cannot go before it is back."""
    wanted = {change.before.get("name") for change in difference.changed if "name" in change.facets}
    wanted |= {record.get("name") for record in difference.dropped}
    return [
        facets.aside(record) for record in difference.created if record.kind in NAMED and record.get("name") in wanted
    ]


def _is_grants(record: Record) -> bool:
    return record.kind == "default privileges"


def _is_dropped_at_once(record: Record) -> bool:
    return not _is_grants(record)


def _set(change: Change, setters: Mapping[str, Setter]) -> list[Texts]:
    done: dict[Texts, None] = {}
    for facet in change.facets:
        if facet in setters:
            done[setters[facet](change.before, change.now)] = None
    return list(done)


def _privileges(change: Change) -> list[Texts]:
    texts = grants.restoring(change.before.get("acl"), change.now.get("acl"), change.now)
    return [(text,) for text in texts]


def _clean(groups: Iterable[Iterable[Texts]]) -> Iterator[Texts]:
    for group in groups:
        for texts in group:
            if left := tuple(text for text in texts if text):
                yield left


# --------------------------------------------------------------------------------- guards


def guards(difference: Difference, before: Catalogue, now: Catalogue) -> tuple[Guard, ...]:
    """Return what the undo of a difference must not destroy: rows, values and numbers that came since."""
    created = [_created(record) for record in difference.all_created if record.kind == "table"]
    columns = [guard for record in difference.created if (guard := _column(record))]
    changed = [guard for change in difference.changed for guard in _changed(change, before, now)]
    return (*created, *columns, *changed)


def _created(record: Record) -> Guard:
    return Guard(
        message=f"{record.object} holds rows written since",
        lock=_locked(record.ref),
        query=f"SELECT pg_catalog.count(*) FROM ONLY {record.ref} AS t WHERE t.xmin::text NOT IN ({{xids}})",
        seen=f"SELECT DISTINCT pg_catalog.quote_literal(t.xmin::text) FROM ONLY {record.ref} AS t",
    )


def _column(record: Record) -> Guard | None:
    if record.kind != "column" or record.get("generated"):
        return None
    table, name = record.get("table"), record.get("name")
    message, count = (
        f"{record.object} holds values written since",
        f"SELECT pg_catalog.count(*) FROM {table} AS t WHERE",
    )
    lock = _locked(table)
    if record.get("default") is None and record.get("identity") is None:
        return Guard(message=message, lock=lock, query=f"{count} t.{name} IS NOT NULL")
    if record.get("constant"):
        default = f"({record.get('default')})::text"
        return Guard(
            message=message,
            lock=lock,
            query=f"{count} t.{name}::text IS DISTINCT FROM {{value}}",
            value=f"SELECT coalesce((SELECT pg_catalog.quote_nullable(t.{name}::text) FROM {table} AS t LIMIT 1),"
            f" pg_catalog.quote_nullable({default}))",
        )
    return Guard(
        message=message,
        lock=lock,
        query=f"{count} t.{name} IS NOT NULL AND t.xmin::text NOT IN ({{xids}})",
        seen=f"SELECT DISTINCT pg_catalog.quote_literal(t.xmin::text) FROM {table} AS t WHERE t.{name} IS NOT NULL",
    )


def _changed(change: Change, catalogue: Catalogue, left: Catalogue) -> Iterator[Guard]:
    before, now = change.before, change.now
    if (
        now.kind == "column"
        and before.get("type_id") != now.get("type_id")
        and now.get("of") in ("table", "partitioned table")
        and (unfit := _unfit(before, now, catalogue, left))
    ):
        yield Guard(
            message=f"{now.object} holds values that {before.get('type')} cannot hold",
            lock=_locked(now.get("table")),
            query=f"SELECT pg_catalog.count(*) FROM {now.get('table')} AS t WHERE {unfit}",
        )
    if "state" in change.facets and now.get("state"):
        last, called = now.get("state")
        yield Guard(
            message=f"{now.object} gave numbers since",
            lock=sequence_lock(now),
            query=f"SELECT pg_catalog.count(*) FROM {now.ref}"
            f" WHERE (last_value, is_called) IS DISTINCT FROM ({last}, '{called}'::boolean)",
        )


def _unfit(before: Record, now: Record, catalogue: Catalogue, left: Catalogue) -> str | None:
    """Return a condition that finds values which the type of before would lose, in the names of now; None if it loses none.

    A type of the database's own may be called otherwise by now, or be gone.
    """
    name = f"t.{now.get('name')}"
    own = f"pg_type:{before.get('element') or before.get('type_id').partition(' ')[0]}:0"
    was = catalogue.get(own)
    if was is None:
        return f"({name}::{before.get('type')}::{now.get('type')})::text IS DISTINCT FROM {name}::text"
    is_, many = left.get(own), "[]" if before.get("element") else ""
    if is_ is not None:
        held = before.get("type") if is_.ref == was.ref else f"{is_.ref}{many}"
    elif was.kind == "enum":  # which takes its own values or none
        return None
    elif was.kind == "domain":
        held = f"{was.get('base')}{many}"
    else:
        return f"{name} IS NOT NULL"
    return f"({name}::text::{held}::text::{now.get('type')})::text IS DISTINCT FROM {name}::text"


def sequence_lock(record: Record) -> str:
    """Return what keeps others from drawing numbers until the transaction ends; LOCK takes no sequences."""
    return f"ALTER SEQUENCE {record.ref} CACHE {record.get('sequence')['cache']}"


def _locked(table: str) -> str:
    return f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"
