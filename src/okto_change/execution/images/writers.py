"""Who may have written a row last, so that it counts as the change left it: the change, and what was taken back since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from okto_change.database.composing import Part, compose, joined, literal
from okto_change.database.session import Session
from okto_change.execution.images import shape


def trusted(session: Session, captures: Sequence[int], relids: Sequence[int]) -> Mapping[int, Part]:
    """Return, by table, a query of the transaction ids that may stand in ``xmin`` of a row that nobody else wrote since.

    ``captures`` are those of the undo in hand. A row that somebody wrote again has their id, even with the same values.
    Each image was written by the (sub)transaction that wrote its row, so its own ``xmin`` tells which that was.
    """
    if not captures:
        return {}
    rows = session.query("image_trusted", captures=list(captures), relids=list(relids), first=min(captures))
    found: Mapping[int, Sequence[int]] = dict(rows)
    rewritten = {row[0] for row in session.query("image_rewritten", captures=list(captures), relids=list(relids))}
    by_hand = [row[0] for row in session.query("image_undone_by_script", first=min(captures))]
    queries = {relid: _query(relid, sorted({*captures, *found.get(relid, ())}), by_hand) for relid in relids}
    return {relid: _anybody(session, relid) if relid in rewritten else query for relid, query in queries.items()}


def of_chunks(session: Session, captures: Sequence[int], relid: int) -> Part:
    """Return the same for chunks of a batch and its own table, of which no two chunks hold the same row."""
    first = min(captures)
    trusted, rewritten, by_script = session.each(
        ("series_trusted", {"captures": list(captures), "relid": relid, "first": first}),
        ("image_rewritten", {"captures": list(captures), "relids": [relid]}),
        ("image_undone_by_script", {"first": first}),
    )
    if rewritten:
        return _anybody(session, relid)
    return _query(relid, sorted({*captures, *(row[0] for row in trusted)}), [row[0] for row in by_script])


def _anybody(session: Session, relid: int) -> Part:
    """A rewritten table (ALTER TABLE, CLUSTER, VACUUM FULL): xmin tells nothing there, only the columns are compared."""
    return compose("SELECT r.xmin FROM ONLY {table} AS r", table=shape.load(session, [relid])[relid].table)


def _query(relid: int, captures: Sequence[int], transactions: Sequence[str]) -> Part:
    return compose(
        """SELECT i.xmin FROM okto_change.image AS i WHERE i.capture IN ({captures}) AND i.relid = {relid}::oid
           UNION SELECT n.writer FROM okto_change.image_native AS n WHERE n.capture IN ({captures}) AND n.relid = {relid}::oid
           UNION SELECT pg_catalog.unnest({transactions}::xid[])""",
        captures=joined(map(literal, captures)),
        relid=literal(relid),
        transactions=literal("{" + ",".join(transactions) + "}"),
    )
