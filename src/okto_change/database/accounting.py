"""What a transaction did, asked of the server itself: row counters, locks, sequences, catalogue rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from okto_change.database.sending import Call
from okto_change.database.session import Row, Session
from okto_change.model.base import type_

Counts = tuple[int, int, int]
"""rows inserted, updated, deleted"""
NONE: Counts = (0, 0, 0)
Stray = tuple[str, str]
"""a catalogue and the oid of what its row is about"""
PG_ATTRIBUTE = 1249
FIRST_USER_OID = 16_384


@type_
class Sequence:
    """Where a sequence stands: ``last`` None if it was never used or cannot be read.

    ``filenode`` changes when it is restarted, by ALTER SEQUENCE or TRUNCATE, which ROLLBACK takes back; setval keeps it.
    """

    name: str
    last: int | None
    filenode: int
    ascending: bool
    cycles: bool


@type_
class World:
    """Where counters and catalogue stood: ``tracking`` is track_counts and its source, ``relations`` count and sum of oids.

    ``held`` are the catalogues that this transaction had locked for writing, and what it had locked and dropped.
    """

    tracking: tuple[str, str]
    relations: tuple[int, str]
    held: frozenset[int] = frozenset()


@type_
class Ledger:
    """The state of the accounts when capture began. ``tables`` are the oids of all that held rows then.

    ``unpopulated`` are those of materialized views that were made, or refreshed, WITH NO DATA.
    """

    counters: Mapping[int, Counts]
    world: World
    sequences: Mapping[int, Sequence]
    tables: frozenset[int]
    unpopulated: frozenset[int] = frozenset()


EMPTY = Ledger(counters={}, world=World(tracking=("", ""), relations=(0, "0")), sequences={}, tables=frozenset())
"""Before capture has begun."""


@type_
class Relation:
    """A relation that the transaction wrote to or holds a writing lock on; ``counts`` since the ledger was opened.

    ``kind`` as in ``pg_class.relkind``; ``created`` since the ledger was opened; ``above`` are the oids of its partitioned
    ancestors, itself included, nearest first.
    """

    oid: int
    schema: str
    name: str
    kind: str
    temporary: bool
    created: bool
    above: tuple[int, ...]
    counts: Counts
    modes: frozenset[str]

    @property
    def qualified(self) -> str:
        """``schema.name``, unquoted."""
        return f"{self.schema}.{self.name}"

    @property
    def system(self) -> bool:
        """Whether it belongs to the system catalogue."""
        return self.oid < FIRST_USER_OID


LEDGER: tuple[Call, ...] = tuple(
    (name, {}) for name in ("account_tables", "account_counters", "account_world", "account_sequences")
)
"""The queries of a ledger, for ``ledger_of``"""
LATER: tuple[Call, ...] = tuple(
    (name, {}) for name in ("account_tables", "account_counters", "account_there", "account_sequences")
)
"""The same where the settings that counters depend on are known, since nobody but us used the session since"""
ACCOUNTS: tuple[Call, ...] = tuple(
    (name, {}) for name in ("account_counters", "account_locks", "account_world", "account_sequences")
)
"""The queries that tell what became of it: for ``counted``, ``locked``, ``world_of`` and ``sequences_of``"""


def open_ledger(session: Session) -> Ledger:
    """Read where counters, catalogue and sequences stand now."""
    return ledger_of(session.each(*LEDGER))


def ledger_of(found: list[list[Row]], tracking: tuple[str, str] | None = None) -> Ledger:
    """Return the ledger that the queries of ``LEDGER`` found, or with ``tracking`` those of ``LATER``."""
    tables, counts, settings, positions = found
    return Ledger(
        counters=counted(counts),
        world=world_of(settings) if tracking is None else World(tracking=tracking, relations=(*settings[0],)),
        sequences=sequences_of(positions),
        tables=frozenset(row[0] for row in tables),
        unpopulated=frozenset(oid for oid, populated in tables if not populated),
    )


def without(session: Session, before: Ledger, since: Mapping[int, Counts]) -> Ledger:
    """Return the ledger as if what we wrote ourselves since the counters stood at ``since`` had been there before."""
    ours = deltas(since, counters(session))
    counts = {
        oid: _plus(before.counters.get(oid, NONE), ours.get(oid, NONE)) for oid in before.counters.keys() | ours.keys()
    }
    return replace(before, counters=counts, world=replace(world(session), held=before.world.held))


def counters(session: Session) -> dict[int, Counts]:
    """Return rows written by relation oid: by this transaction, and by earlier ones of the session not yet reported."""
    return counted(session.query("account_counters"))


def counted(rows: list[Row]) -> dict[int, Counts]:
    """Return the counters as read."""
    return {oid: (inserted, updated, deleted) for oid, inserted, updated, deleted in rows}


def deltas(before: Mapping[int, Counts], after: Mapping[int, Counts]) -> dict[int, Counts]:
    """Return what was added between two readings, relations without any left out. TRUNCATE takes counts away."""
    added = {oid: _minus(counts, before.get(oid, NONE)) for oid, counts in after.items()}
    return {oid: counts for oid, counts in added.items() if counts != NONE}


def write_locks(session: Session) -> dict[int, frozenset[str]]:
    """Return, by relation oid, the lock modes of this transaction that allow to write."""
    return locked(session.query("account_locks"))


def locked(rows: list[Row]) -> dict[int, frozenset[str]]:
    """Return the writing locks as read."""
    return {oid: frozenset(modes) for oid, modes in rows}


def written(session: Session, before: Ledger) -> tuple[tuple[Relation, ...], int]:
    """Return every relation written or locked for writing since ``before``, and how many of the locked ones are gone."""
    counts, locks = session.each(("account_counters", {}), ("account_locks", {}))
    return told(session, before, counted(counts), locked(locks))


def told(
    session: Session,
    before: Ledger,
    now: Mapping[int, Counts],
    locks: Mapping[int, frozenset[str]],
    known: dict[tuple[int, ...], list[Row]] | None = None,
) -> tuple[tuple[Relation, ...], int]:
    """Return the same as ``written`` of counters and locks that were read already.

    ``known`` keeps what relations were called from one time to the next.
    """
    counts = deltas(before.counters, now)
    oids = sorted(counts.keys() | locks.keys())
    cached = {} if known is None else known
    place = tuple(oids)
    if place not in cached:
        cached[place] = session.query("account_relations", oids=oids)
    rows = cached[place]
    found = tuple(
        Relation(
            oid=oid,
            schema=schema,
            name=name,
            kind=kind,
            temporary=temporary,
            created=oid not in before.tables,
            above=tuple(above) or (oid,),
            counts=counts.get(oid, NONE),
            modes=locks.get(oid, frozenset()),
        )
        for oid, schema, name, kind, temporary, above in rows
    )
    return found, len(locks.keys() - before.world.held - {relation.oid for relation in found})


def names(session: Session, oids: Iterable[int]) -> dict[int, str]:
    """Return ``schema.name`` by oid; relations that are gone are left out."""
    return dict(session.query("account_roots", oids=sorted(set(oids))))


def tops(session: Session, oids: Iterable[int]) -> dict[int, int]:
    """Return the partitioned table at the top by oid, the relation itself where it is no partition; what is gone is left out."""
    return dict(session.query("account_tops", oids=sorted(set(oids))))


def world(session: Session) -> World:
    """Return the settings that counters depend on and the permanent relations as this transaction sees them."""
    return world_of(session.query("account_world"))


def world_of(rows: list[Row]) -> World:
    """Return the world as read."""
    setting, source, count, total, held = rows[0]
    return World(tracking=(setting, source), relations=(count, total), held=frozenset(held))


def sequences(session: Session) -> dict[int, Sequence]:
    """Return where every permanent sequence stands, by oid."""
    return sequences_of(session.query("account_sequences"))


def sequences_of(rows: list[Row]) -> dict[int, Sequence]:
    """Return the sequences as read."""
    return {
        oid: Sequence(name=name, last=last, filenode=filenode, ascending=ascending, cycles=cycles)
        for oid, name, last, filenode, ascending, cycles in rows
    }


def definitions(session: Session, oids: Iterable[int]) -> str:
    """Return a digest of what the catalogue says of these tables and their indexes: privileges, options, row security."""
    digest: str = session.query("account_definitions", oids=sorted(oids))[0][0]
    return digest


def strays(session: Session, capture: int, *, allowed: Iterable[int], covered: Iterable[int]) -> frozenset[Stray]:
    """Return rows of the catalogue that this transaction wrote for no reason that is allowed. REPEATABLE READ only.

    Truncating or refreshing ``allowed`` relations, capture triggers on ``covered`` ones and temporary tables are reasons;
    what else was done to ``covered`` ones, ``definitions`` tells. ``capture`` is the number of the capture.
    """
    session.run("SAVEPOINT okto_change_latest")
    latest, first = session.query("account_latest", capture=capture)[0]
    session.run("ROLLBACK TO SAVEPOINT okto_change_latest; RELEASE SAVEPOINT okto_change_latest")
    rows = session.query(
        "account_strays", allowed=sorted(allowed), covered=sorted(covered), first=first, span=(latest - first) % 2**32
    )
    return frozenset((catalogue, object_) for catalogue, object_ in rows)


def locks_taken(session: Session) -> tuple[tuple[str, str], ...]:
    """Return (relation, mode) for every table-like relation that this transaction has locked, ours and catalogues left out."""
    return tuple(sorted((relation, mode) for relation, mode in session.query("account_statement_locks")))


def _plus(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _minus(after: Counts, before: Counts) -> Counts:
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]
