"""Which tables to capture: names resolved, followed to every table that holds the rows, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable

from okto_change.database import accounting, catalog
from okto_change.database.composing import Part, compose, identifier, joined
from okto_change.database.session import Session
from okto_change.errors import Unaccounted
from okto_change.model.base import type_


@type_
class Leaf:
    """A table that holds rows of its own."""

    oid: int
    schema: str
    name: str

    @property
    def table(self) -> Part:
        """Its quoted name."""
        return identifier(self.schema, self.name)


def resolve(session: Session, names: Iterable[str]) -> dict[str, int]:
    """Return oids by name as the search_path shows them, or for ``schema.name``; unknown names are left out."""
    wanted = sorted(set(names))
    return dict(session.query("image_names", names=wanted)) if wanted else {}


def leaves(session: Session, oids: Iterable[int]) -> tuple[Leaf, ...]:
    """Return the tables that hold the rows of these relations, and of all that foreign keys, views and rules reach."""
    reached = catalog.closure(session, oids)
    rows = session.query("image_leaves", oids=sorted(reached)) if reached else []
    return tuple(Leaf(oid=oid, schema=schema, name=name) for oid, schema, name in rows)


def cover(session: Session, names: Iterable[str]) -> tuple[Leaf, ...]:
    """Return the tables to capture for a change that names these relations.

    Call it before BEGIN: then the tables are locked before the transaction takes its snapshot, and what others commit
    meanwhile is seen instead of ending in a serialization failure.
    """
    return leaves(session, resolve(session, names).values())


def lock(session: Session, tables: Iterable[Leaf]) -> None:
    """Keep other writers out of these tables until the transaction ends; readers go on. Waits at most lock_timeout.

    Raises Unaccounted when a table has become another one since it was resolved.
    """
    wanted = {leaf.oid: leaf for leaf in tables}
    if not wanted:
        return
    parts = joined(compose("ONLY {table}", table=wanted[oid].table) for oid in sorted(wanted))
    session.execute(compose("LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE", tables=parts))
    names = accounting.names(session, wanted)
    moved = [leaf.name for leaf in wanted.values() if names.get(leaf.oid) != f"{leaf.schema}.{leaf.name}"]
    if moved:
        raise Unaccounted(f"changed while it was being locked: {', '.join(moved)}", where=session.target)


def refusals_before(
    session: Session, relations: Iterable[str], *, delete: bool = True, update: bool = True
) -> tuple[str, ...]:
    """Say what would keep rows of these relations from being captured or put back; () if nothing is known to.

    Names as in the plan or ``schema.name``; unknown ones are left to analysis. Looks at the relations themselves and at
    all that foreign keys (for ``delete`` and ``update``), partitions, views and rules reach.
    """
    reached = catalog.closure(session, resolve(session, relations).values(), delete=delete, update=update)
    if not reached:
        return ()
    return tuple(sorted(row[0] for row in session.query("image_obstacles", oids=sorted(reached))))
