"""The proof of a chunk, in one go with its accounts: its images are exactly the rows that it changed, within its range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from okto_change.database import accounting
from okto_change.database.accounting import NONE, Counts, Relation
from okto_change.database.composing import Composed, Part, compose, identifier, joined, literal, settled
from okto_change.database.sending import GONE, Call
from okto_change.database.session import Session
from okto_change.errors import DatabaseError
from okto_change.execution.images import accounts, capture, native, native_foreseen, optimistic
from okto_change.execution.images.accounts import Accounting, Facts
from okto_change.execution.images.capture import Capture
from okto_change.execution.images.native import OUR, Native
from okto_change.execution.images.optimistic import Unproven
from okto_change.execution.images.pins import pinned_for
from okto_change.execution.images.series import Chunk, imaged_of, tables_of


def account(session: Session, begun: Capture, chunk: Chunk) -> Accounting:
    """Prove that the images of a chunk are all that it changed, and account for every row. Nothing may run after it.

    Raises Unproven with the reason, DatabaseError when a deferred constraint fails.
    """
    try:
        return _account(session, begun, chunk)
    except DatabaseError as error:
        if error.sqlstate != GONE:
            raise
        raise Unproven(begun.unit, "the change meddles with prepared statements that are not its own") from error


def _account(session: Session, begun: Capture, chunk: Chunk) -> Accounting:
    olds = [item.old_name for item in imaged_of(begun).natives.values()]
    foreseen = _foreseen(begun, chunk)
    asked: tuple[Call, ...] = (*accounting.ACCOUNTS, ("series_ends", {"names": olds}), _proving(begun, chunk))
    every: tuple[Call, ...] = (*asked, *foreseen.values())
    with pinned_for(session, *every, ahead=capture.SETTLING, again=True, ours=True) as (former, answers):
        counters, locks, settings, positions, ends, room, *came = answers
        proven = {relid: rows[0][0] for relid, rows in zip(foreseen, came, strict=True)}
        former |= {name: value for name, value, _ in room}
        now, held = accounting.counted(counters), accounting.locked(locks)
        relations, vanished = accounting.told(session, begun.before, now, held, chunk.chunks.relations)
        world = accounting.world_of(settings)
        optimistic.demand_known(begun, relations, world)
        counts = {relation.oid: relation.counts for relation in relations}
        ours = {relation.name: relation for relation in relations if relation.schema == OUR}
        for item in imaged_of(begun).natives.values():
            _demand_alone(begun, item, ours)
            relid = item.table.relid
            _prove(session, begun, chunk, item, counts.get(relid, NONE), proven.get(relid))
        facts = Facts(
            relations=relations,
            vanished=vanished,
            # Locked to be written, but not written: there is nothing to image.
            covered=frozenset(begun.tables) | {relation.oid for relation in relations if relation.counts == NONE},
            touched=frozenset(),
            images={relid: {op: rows} for (relid, op), rows in imaged_of(begun).counts.items()},
            before=begun.before,
            world=world,
            sequences=accounting.sequences_of(positions),
            restarted=frozenset(),
            strays=(),
            names=chunk.series.names,
            natives=frozenset(relation.oid for relation in ours.values() if relation.name in _all_tables(begun)),
        )
        result = accounts.judge(facts, ddl=False, declared=chunk.series.declared)
    begun.mark, begun.refusals = 0, result.refusals
    chunk.chunks.tracking = world.tracking
    chunk.chunks.ends = dict(ends)
    return result


def _proving(begun: Capture, chunk: Chunk) -> Call:
    """Return what sets the proof's settings: ranges of keys are better read page by page, whole tables as the planner likes."""
    ranged = all(relid == chunk.chunks.table for relid in imaged_of(begun).natives)
    return "series_proving", {"kilobytes": native.MEMORY, "ranged": ranged}


def _all_tables(begun: Capture) -> frozenset[str]:
    return frozenset(name for item in imaged_of(begun).natives.values() for name in tables_of(item))


def _demand_alone(begun: Capture, item: Native, ours: Mapping[str, Relation]) -> None:
    """Raise Unproven unless only we have written our tables: the old rows once, the new ones not yet."""
    rows = imaged_of(begun).counts.get((item.table.relid, item.op), 0)
    known: dict[str, Counts] = {item.old_name: (rows, 0, 0), item.new_name: NONE}
    for name, wanted in known.items():
        if (ours[name].counts if name in ours else NONE) != wanted:
            raise Unproven(begun.unit, f"{OUR}.{name} was written by the change itself")


def _foreseen(begun: Capture, chunk: Chunk) -> dict[int, Composed]:
    """Return, by table, the question how many rows are as foreseen; it goes with the accounts, which are judged first."""
    imaged = imaged_of(begun)
    return {
        relid: native_foreseen.coming(
            item, _written(chunk, item, here=relid == chunk.chunks.table), _alike(chunk, item)
        )
        for relid, item in imaged.natives.items()
        if item.op == "U" and item.foreseen and imaged.counts.get((relid, item.op))
    }


def _alike(chunk: Chunk, item: Native) -> Part:
    """Return the condition of ``native_foreseen.alike``, which is the same for every chunk, composed once."""
    known = chunk.chunks.alike
    if item.table.relid not in known:
        known[item.table.relid] = settled(native_foreseen.alike(item))
    return known[item.table.relid]


def _prove(session: Session, begun: Capture, chunk: Chunk, item: Native, counts: Counts, foreseen: int | None) -> None:
    rows = imaged_of(begun).counts.get((item.table.relid, item.op), 0)
    if counts != ((0, rows, 0) if item.op == "U" else (0, 0, rows)):
        inserted, updated, deleted = counts
        what = f"{inserted} rows inserted, {updated} updated and {deleted} deleted, {rows} imaged"
        raise Unproven(begun.unit, f"{item.table.qualified}: {what}")
    if not rows:
        return
    came = foreseen == rows or _prove_rows(session, begun, chunk, item, rows)
    session.later(
        "series_keep",
        again=True,
        capture=begun.id,
        relid=item.table.relid,
        source=begun.id,
        sign=1,
        op=item.op,
        rows=rows,
        columns=[column.number for column in item.changed],
        home=item.home,
        foreseen=came,
        shape=item.table.content(),
    )


def _prove_rows(session: Session, begun: Capture, chunk: Chunk, item: Native, rows: int) -> bool:
    """Prove rows of one table that did not all come as foreseen where they were looked for; return whether they did elsewhere.

    Raises Unproven.
    """
    here = item.table.relid == chunk.chunks.table
    written = _written(chunk, item, here=here)
    if _is_astray(session, item, rows):
        chunk.chunks.astray, item = True, replace(item, places=None)
        if item.op == "U" and item.foreseen and native_foreseen.as_foreseen(session, item, written) == rows:
            return True
    foreless = replace(item, foreseen=False)
    found = _deleted(session, chunk, item, here=here) if item.op == "D" else native.keep_new(session, foreless, written)
    if found != rows:
        beyond = " inside the range of the key" if here else ""
        what = "rows imaged were not changed, or not only as the statement says"
        if item.op == "D":
            what = "a deleted key is there again, or rows were deleted"
        raise Unproven(begun.unit, f"{item.table.qualified}: {rows} rows, {found} proven{beyond}: {what}")
    return False


def _is_astray(session: Session, item: Native, rows: int) -> bool:
    """Whether images of the chunk lie elsewhere than they were looked for: vacuum may have made room in their table."""
    if item.places is None:
        return False
    found: int = session.execute(compose("SELECT pg_catalog.count(*) FROM {old} AS o", old=item.old))[0][0]
    return found != rows


def _written(chunk: Chunk, item: Native, *, here: bool) -> Part:
    """Return the condition that row ``t`` was written by this transaction, in the range where it is the batch's own table."""
    conditions: list[Part] = [compose("t.xmin OPERATOR(pg_catalog.=) {xid}::xid", xid=literal(str(chunk.xid)))]
    if here and chunk.chunks.inside is not None:
        conditions.append(chunk.chunks.inside(identifier("t", chunk.chunks.key)))
        if any(column.name == chunk.chunks.key for column in item.changed):
            conditions.append(chunk.chunks.inside(_old_key(chunk, item)))
    return joined(conditions, " AND ")


def _deleted(session: Session, chunk: Chunk, item: Native, *, here: bool) -> int:
    """Return how many deleted rows are gone, and lay in the range where it is the batch's own table."""
    inside: Part = compose("true")
    if here and chunk.chunks.inside is not None:
        inside = chunk.chunks.inside(_old_key(chunk, item))
    found: int = session.execute(
        compose(
            """SELECT pg_catalog.count(*) FROM {old} AS o
                WHERE {inside} AND NOT EXISTS (SELECT FROM ONLY {table} AS t WHERE {key})""",
            old=item.old,
            inside=inside,
            table=item.table.table,
            key=native.keyed(item, "t", "o", "o"),
        )
    )[0][0]
    return found


def _old_key(chunk: Chunk, item: Native) -> Part:
    label = next(column.label for column in item.table.columns if column.name == chunk.chunks.key)
    return identifier("o", label)
