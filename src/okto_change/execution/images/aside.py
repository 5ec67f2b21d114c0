"""What ``--only-clean`` leaves: the rows that somebody changed, and those that may be what such a row was, or became."""

from __future__ import annotations

from collections.abc import Sequence, Set

from okto_change.database import accounting
from okto_change.database.composing import Part, compose, joined, literal
from okto_change.database.session import Session
from okto_change.execution.images import shape
from okto_change.execution.images.matching import Dirty, Work


def entangled(session: Session, works: Sequence[Work], dirty: Sequence[Dirty]) -> list[Dirty]:
    """Return further rows to leave alone, since no key says which of them belongs to a row that is left.

    A change that assigns keys, moves rows between partitions, or updates a table without a key leaves rows and takes others
    away; which became which is not known. Put back beside what it became, a row would be there twice.
    """
    known = {(item.work.table.relid, item.id) for item in dirty}
    tops = accounting.tops(session, [work.table.relid for work in works])
    found: list[Dirty] = []
    for top in {tops.get(item.work.table.relid) for item in dirty}:
        group = [work for work in works if tops.get(work.table.relid) == top]
        alone = [(work, number, back) for work in group for number, back in _unpaired(session, work)]
        if len({back for _, _, back in alone}) == 2 and any((w.table.relid, n) in known for w, n, _ in alone):
            found += [_left(work, number) for work, number, _ in alone]
        found += [_left(work, number) for work in group for number in _partners(session, work, known)]
    return [item for item in found if (item.work.table.relid, item.id) not in known]


def _left(work: Work, number: int) -> Dirty:
    what = "rows are left that may be what a row changed since was, or became: no key says so"
    return Dirty(work=work, id=number, reason=f"{work.table.qualified}: {what}")


def _same(work: Work) -> Part:
    """The condition that rows ``a`` and ``n`` of a table are one before and after, as far as a key or unique columns say."""
    keys = work.table.unique if work.table.key is None else (work.table.key,)
    same = joined((compose("({same})", same=shape.matches("a", "n", key, labels="an")) for key in keys), " OR ")
    return compose("(a.n > 0) <> (n.n > 0) AND ({same})", same=same if keys else compose("false"))


def _unpaired(session: Session, work: Work) -> list[tuple[int, bool]]:
    """Rows to take away or to put back (true) that have no counterpart."""
    rows = session.execute(
        compose(
            "SELECT n.id, n.n > 0 FROM {rows} AS n WHERE NOT EXISTS (SELECT FROM {rows} AS a WHERE {same})",
            rows=work.rows,
            same=_same(work),
        )
    )
    return [(number, back) for number, back in rows]


def _partners(session: Session, work: Work, known: Set[tuple[int, int]]) -> list[int]:
    """The counterparts of rows that are known to be left, in a table without a key: with one, they go with them."""
    ids = [number for relid, number in known if relid == work.table.relid]
    if work.table.key is not None or not ids:
        return []
    rows = session.execute(
        compose(
            "SELECT DISTINCT n.id FROM {rows} AS n JOIN {rows} AS a ON {same} WHERE a.id IN ({ids})",
            rows=work.rows,
            same=_same(work),
            ids=joined(map(literal, sorted(ids))),
        )
    )
    return [row[0] for row in rows]


def set_aside(session: Session, dirty: Sequence[Dirty]) -> None:
    """Take dirty rows, and what would be put back under the same key, out of the undo; the rest stays clean."""
    ids: dict[int, tuple[Work, set[int]]] = {}
    for item in dirty:
        ids.setdefault(item.work.table.relid, (item.work, set()))[1].add(item.id)
    for work, numbers in ids.values():
        listed = joined(map(literal, sorted(numbers)))
        partner = (
            compose(
                "OR EXISTS (SELECT FROM {rows} AS d WHERE d.id IN ({ids}) AND {same})",
                rows=work.rows,
                ids=listed,
                same=shape.matches("d", "n", work.table.key, labels="dn"),
            )
            if work.table.key is not None
            else compose(
                """OR EXISTS (SELECT FROM {places} AS a
                               WHERE (a.id = n.id AND a.new IN ({ids})) OR (a.new = n.id AND a.id IN ({ids})))""",
                places=work.places,
                ids=listed,
            )
        )
        session.execute(
            compose(
                """WITH gone AS (DELETE FROM {rows} AS n WHERE n.id IN ({ids}) {partner} RETURNING n.id)
                   DELETE FROM {places} AS a USING gone AS g WHERE a.id = g.id""",
                rows=work.rows,
                places=work.places,
                ids=listed,
                partner=partner,
            )
        )
