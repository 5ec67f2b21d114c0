"""Images of a batch: its chunks share native tables, and what was found out about a table is found out once.

A chunk is proven by itself, as any images taken ahead are, and in one go with its accounts: nothing of others runs after
the deferred constraints have fired. What does not change from chunk to chunk (the shape, the obstacles, which tables are
declared) holds as long as the ``seal`` does: every row of the catalogue that defines the tables is still the same one. The
tables are locked as their UPDATE locks them before the seal is looked at, so that it holds until COMMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from okto_change.database import accounting
from okto_change.database.accounting import Ledger
from okto_change.database.composing import Part, compose, identifier, joined
from okto_change.database.sending import Call
from okto_change.database.session import Row, Session
from okto_change.execution.images import coverage, native, optimistic
from okto_change.execution.images.capture import Capture, Imaged
from okto_change.execution.images.coverage import Leaf
from okto_change.execution.images.native import OUR, Native
from okto_change.execution.images.pins import pinned, pinned_for
from okto_change.execution.images.unheard import execute
from okto_change.model import Preview, Statement
from okto_change.model.base import type_

COPIED = (
    "WITH okto_taken AS ({taken}\nRETURNING ctid)"
    " SELECT pg_catalog.count(*), pg_catalog.min(ctid), pg_catalog.max(ctid) FROM okto_taken"
)
TID_RANGES = 140_000
"""server version that reads a range of row places without reading the whole table"""
SLACK = 8
"""pages before what was the end of a table of images that are looked at, too: room left there may be used"""


@type_
class Series:
    """What the chunks of a batch have in common. ``targets`` are tables by the place of the statement that changes them."""

    natives: Mapping[int, Native]
    targets: Mapping[tuple[str, int], int]
    seal: str
    calls: tuple[str, ...]
    declared: frozenset[int] | None
    names: Mapping[int, str]


@dataclass
class Chunks:
    """The chunks of a batch in this process: what they have in common, once known; and the range of the one in hand."""

    series: Series | None = None
    table: int = 0
    key: str = ""
    inside: Callable[[Part], Part] | None = None
    """the condition that a key lies in the range"""
    xid: int | None = None
    """the transaction of the one in hand, once its images are begun"""
    tracking: tuple[str, str] | None = None
    """the settings of counters, as the last chunk left them"""
    relations: dict[tuple[int, ...], list[Row]] = field(default_factory=dict)
    """what those are called that chunks write or lock; the tables themselves are sealed"""
    ends: dict[str, int] = field(default_factory=dict)
    """pages that tables of old rows had when the last chunk was accounted for; the next one's rows come behind them"""
    astray: bool = False
    """whether a chunk's images were found before the end of their table, where room had become free"""
    alike: dict[int, Part] = field(default_factory=dict)
    """by table, when a row is as foreseen; of the series in hand"""
    begun: Capture | None = None
    """the capture that ``reopen`` began, until ``go_on`` takes it"""


@type_
class Chunk:
    """A chunk under way, beside its capture: the series, the range, the transaction as ``xmin`` shows it."""

    series: Series
    chunks: Chunks
    xid: int


def lock(session: Session, natives: Iterable[Native]) -> None:
    """Lock the tables as the statements will, before the transaction has a snapshot."""
    tables = joined(compose("ONLY {table}", table=item.table.table) for item in natives)
    session.execute(compose("LOCK TABLE {tables} IN ROW EXCLUSIVE MODE", tables=tables))


def fresh(session: Session) -> bool:
    """Whether this transaction has written nothing: rows that it wrote before would look like rows of the chunk."""
    return bool(session.query("series_fresh")[0][0])


def seal(session: Session, natives: Iterable[Native], calls: Sequence[str]) -> str:
    """Return a digest of what defines these tables now, and of the functions called."""
    found: str = session.each(_sealing(natives, calls))[0][0][0]
    return found


def _sealing(natives: Iterable[Native], calls: Sequence[str], *, run: str = "", unit: str = "", seal: str = "") -> Call:
    """Return the query of the seal; it begins a capture of that unit where the seal is as given."""
    items = tuple(natives)
    return "series_seal", {
        "oids": [item.table.relid for item in items],
        "names": [name for item in items for name in tables_of(item)],
        "functions": [call.rpartition(".")[2] for call in calls],
        "run": run,
        "unit": unit,
        "seal": seal,
    }


def tables_of(item: Native) -> tuple[str, ...]:
    """Return the names of the tables that the images lie in."""
    return (item.old_name, item.new_name) if item.op == "U" else (item.old_name,)


# ------------------------------------------------------------------------------ beginning


def begin(
    session: Session,
    run: str,
    unit: str,
    wanted: Mapping[tuple[str, int], tuple[int, str, Sequence[str]]],
    chunks: Chunks,
    *,
    previews: Mapping[tuple[str, int], Preview],
    touches: Iterable[str] | None,
) -> Capture | None:
    """Begin a chunk and the series with it; None where the tables do not allow it, and nothing is done then.

    ``wanted`` tells, by place of the statement, the table, 'U' or 'D', and the columns assigned; ``previews`` are the
    statements' own.
    """
    calls = sorted({call for preview in previews.values() for call in (*preview.calls, *preview.value_calls)})
    declared = None if touches is None else frozenset(coverage.resolve(session, touches).values())
    with pinned(session) as former:
        relids = [relid for relid, _, _ in wanted.values()]
        if len(set(relids)) < len(relids) or not all(native.fits(session, *each) for each in wanted.values()):
            return None
        number, xid = session.query("image_begin", run=run, unit=unit, undoes=None)[0]
        natives = {
            each[0]: native.make_shared(
                session, number, *each, foreseen=optimistic.may_foresee(session, previews.get(place))
            )
            for place, each in wanted.items()
        }
        if session.identity.server_version < TID_RANGES:
            index(session, natives.values())
        series = Series(
            natives=natives,
            targets={place: each[0] for place, each in wanted.items()},
            seal=seal(session, natives.values(), calls),
            calls=tuple(calls),
            declared=declared,
            names=accounting.names(session, relids),
        )
        chunks.series, chunks.alike = series, {}
        capture = Capture(id=number, run=run, unit=unit, tables={}, search_path=former["search_path"])
        return _opened(capture, chunks, xid, accounting.open_ledger(session))


def reopen(session: Session, run: str, unit: str, chunks: Chunks, *calls: Call) -> list[list[Row]] | None:
    """Begin another chunk of a series that holds, and run queries of ours under pinned settings; return their rows.

    The tables are locked before there is a snapshot. None where what defines them is not as it was: nothing is begun then.
    """
    known, chunks.begun = chunks.series, None
    if known is None:
        return None
    lock(session, known.natives.values())
    begin = _sealing(known.natives.values(), known.calls, run=run, unit=unit, seal=known.seal)
    asked = accounting.LEDGER if chunks.tracking is None else accounting.LATER
    every: tuple[Call, ...] = (("series_planning", {}), begin, *asked, *calls)
    with pinned_for(session, *every, again=True, ours=True) as (former, (planning, begun, *found)):
        former |= {name: value for name, value, _ in planning}
        _, number, xid = begun[0]
        if number is None:
            chunks.series = None
            return None
        capture = Capture(id=number, run=run, unit=unit, tables={}, search_path=former["search_path"])
        chunks.begun = _opened(capture, chunks, xid, accounting.ledger_of(found[: len(asked)], chunks.tracking))
        return found[len(asked) :]


def go_on(unit: str, chunks: Chunks) -> Capture | None:
    """Return what ``reopen`` began for this chunk."""
    begun, chunks.begun = chunks.begun, None
    return begun if begun is not None and begun.unit == unit else None


def _opened(begun: Capture, chunks: Chunks, xid: int, ledger: Ledger) -> Capture:
    if chunks.series is None:
        raise ValueError("a series is known here")
    tables = {relid: item.table for relid, item in chunks.series.natives.items()}
    begun.tables = {relid: Leaf(oid=relid, schema=table.schema, name=table.name) for relid, table in tables.items()}
    natives = {relid: replace(item, source=begun.id) for relid, item in chunks.series.natives.items()}
    begun.imaged = Imaged(natives=natives, chunk=Chunk(series=chunks.series, chunks=chunks, xid=xid % 2**32))
    begun.before = ledger
    chunks.xid = xid
    return begun


def index(session: Session, natives: Iterable[Native]) -> None:
    """Let the rows of each chunk be found by its number. Done for the undo: while rows come in, their places tell."""
    for item in natives:
        for name in tables_of(item):
            made = compose(
                "CREATE INDEX IF NOT EXISTS {index} ON {table} (c0)",
                index=identifier(f"{name}_c0"),
                table=identifier(OUR, name),
            )
            execute(session, made)


# ------------------------------------------------------------------------------ images


def copy(session: Session, begun: Capture, chunk: Chunk, preview: Preview, statement: Statement) -> None:
    """Copy the rows that the statement is going to change, as the author's own expressions find them."""
    imaged = imaged_of(begun)
    item = imaged.natives[chunk.series.targets[statement.step, statement.index]]
    alias = preview.alias
    once = f"DISTINCT ON ({alias}.tableoid, {alias}.ctid) " if preview.joined else ""
    fields = f"{once}{begun.id}, {optimistic.fields(preview, item)}"
    taken = f"INSERT INTO {OUR}.{item.old_name} {preview.prefix}SELECT {fields} {preview.rows}"
    place: tuple[str, str | None] | None = None
    if chunk.chunks.astray:
        rows = optimistic.read_ahead(session, begun, COPIED.format(taken=taken))
        count, first, last = rows[0]
        rows_taken, place = int(count or 0), None if first is None else (first, last)
    else:
        optimistic.read_ahead(session, begun, taken)
        rows_taken = session.affected
        if session.identity.server_version >= TID_RANGES:
            place = f"({max(chunk.chunks.ends.get(item.old_name, 0) - SLACK, 0)},0)", None
    imaged.counts[item.table.relid, item.op] = rows_taken
    imaged.natives[item.table.relid] = replace(item, places=place)


def imaged_of(begun: Capture) -> Imaged:
    """Return what is imaged ahead. Raises ValueError for a capture by triggers."""
    if begun.imaged is None:
        raise ValueError("images are taken ahead here")
    return begun.imaged
