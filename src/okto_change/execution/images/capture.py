"""Capturing what one transaction does to rows, and the accounts before COMMIT."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, LiteralString

from okto_change.database import accounting
from okto_change.database.accounting import Ledger
from okto_change.database.composing import Composed, Part, compose, identifier, joined, literal
from okto_change.database.sending import Call
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import DatabaseError
from okto_change.execution.images import accounts, coverage, naming, shape
from okto_change.execution.images.accounts import Accounting, Facts
from okto_change.execution.images.coverage import Leaf
from okto_change.execution.images.native import Native
from okto_change.execution.images.pins import PINNED_PATH, pinned
from okto_change.execution.images.shape import Shape
from okto_change.execution.images.unheard import execute, unheard
from okto_change.model import Timeouts

if TYPE_CHECKING:
    from okto_change.execution.images.series import Chunk

TRUNCATE_LIMIT = 256 * 1024 * 1024
"""bytes of table and TOAST that a TRUNCATE may copy"""
CLEANING = Timeouts(lock=200, statement=10_000)
CLEANING_ATTEMPTS = 3
TRANSITIONS: dict[str, LiteralString] = {
    "insert": "INSERT ON {table} REFERENCING NEW TABLE AS okto_new",
    "update": "UPDATE ON {table} REFERENCING OLD TABLE AS okto_old NEW TABLE AS okto_new",
    "delete": "DELETE ON {table} REFERENCING OLD TABLE AS okto_old",
}
"""A trigger with transition tables may have one event only."""


@dataclass
class Imaged:
    """What an optimistic capture knows so far: images taken by (table, 'U' or 'D'), and tables that an INSERT names."""

    counts: dict[tuple[int, str], int] = field(default_factory=dict)
    inserts: set[int] = field(default_factory=set)
    natives: dict[int, Native] = field(default_factory=dict)
    """tables whose images are native, not text"""
    shapes: dict[int, Shape] = field(default_factory=dict)
    """tables as they were when their rows were last imaged"""
    chunk: Chunk | None = None
    """of a chunk of a batch whose tables of images are shared, what it shares"""


@dataclass
class Capture:
    """A capture in the open transaction. ``mark`` is the command of its last image at the accounts, None before them."""

    id: int
    run: str
    unit: str
    tables: dict[int, Leaf]
    before: Ledger = accounting.EMPTY
    triggers: dict[tuple[int, str], tuple[str, str]] = field(default_factory=dict)
    """(table, trigger) -> place of its catalogue row and its mode, as we made it"""
    search_path: str = ""
    definitions: str = ""
    """what the catalogue said of the tables when capture began"""
    strays: frozenset[accounting.Stray] = frozenset()
    """catalogue rows that earlier steps wrote in this transaction: a rehearsal runs them all in one"""
    mark: int | None = None
    imaged: Imaged | None = None
    """what was imaged ahead of the statements; None when triggers write the images"""
    refusals: tuple[str, ...] = ()
    """what the accounts found that no image can take back"""
    alone: frozenset[int] = frozenset()
    """tables whose triggers write the images of a whole statement at once"""

    @property
    def row_trigger(self) -> str:
        """The name of a trigger for each row; those for whole statements say of what after it."""
        return f"okto_change_{self.id}"

    @property
    def truncate_trigger(self) -> str:
        """The name of the TRUNCATE trigger, which sorts last: it copies what triggers of others leave."""
        return f"~okto_change_{self.id}"

    @property
    def by_statement(self) -> frozenset[str]:
        """Qualified names of the tables whose images are written a statement at a time."""
        return frozenset(f"{self.tables[oid].schema}.{self.tables[oid].name}" for oid in self.alone)

    @property
    def trigger_names(self) -> tuple[str, ...]:
        """Every name that a trigger of this capture has somewhere."""
        return (self.row_trigger, *(f"{self.row_trigger}_{event}" for event in TRANSITIONS), self.truncate_trigger)


def start(
    session: Session,
    run: str,
    unit: str,
    names: Iterable[str] | tuple[Leaf, ...],
    *,
    undoes: str | None = None,
    truncate_limit: int = TRUNCATE_LIMIT,
    fixed: bool = False,
) -> Capture:
    """Begin to capture in the open transaction; captures of the same transaction that still record are stopped.

    ``names`` are the tables as the plan names them, or what ``cover`` returned; everything that foreign keys, partitions,
    views and rules reach is added. ``undoes`` is the run that is being taken back by a script of the author's. A
    TRUNCATE of more than ``truncate_limit`` bytes fails with SQLSTATE OKT01. ``fixed``: the unit has no DDL, so tables
    that stand alone stay alone, and their images are written statement by statement. Raises DatabaseError.
    """
    given = list(names)
    leaves = [item for item in given if isinstance(item, Leaf)]
    words = [item for item in given if isinstance(item, str)]
    # No query before the tables are locked, if it can be helped: the first one takes the snapshot of the transaction.
    found = {leaf.oid: leaf for leaf in (*leaves, *(coverage.cover(session, words) if words else ()))}
    origin = session.query("image_origin", run=undoes, unit=unit) if undoes is not None else []
    return begin(
        session,
        run,
        unit,
        found.values(),
        undoes=origin[0][0] if origin else None,
        truncate_limit=truncate_limit,
        fixed=fixed,
    )


def begin(
    session: Session,
    run: str,
    unit: str,
    leaves: Iterable[Leaf],
    *,
    undoes: int | None = None,
    truncate_limit: int = TRUNCATE_LIMIT,
    fixed: bool = False,
) -> Capture:
    """Lock these tables and begin to capture their rows; ``undoes`` is the number of the capture that is taken back."""
    tables = {leaf.oid: leaf for leaf in leaves}
    coverage.lock(session, tables.values())
    with pinned(session) as former:
        quiet(session)
        number, xid = session.query("image_begin", run=run, unit=unit, undoes=undoes)[0]
        capture = Capture(id=number, run=run, unit=unit, tables=tables, search_path=former["search_path"])
        capture.alone = _alone(session, capture.tables) if fixed else frozenset()
        with unheard(session):
            _arm(session, capture, xid, truncate_limit)
        capture.triggers = _trigger_rows(session, capture)
        capture.definitions = accounting.definitions(session, capture.tables)
        capture.before = accounting.open_ledger(session)
        if undoes is None and accounting.PG_ATTRIBUTE in capture.before.counters:
            capture.strays = accounting.strays(session, number, allowed=(), covered=capture.tables)
    return capture


def _alone(session: Session, oids: Iterable[int]) -> frozenset[int]:
    return frozenset(row[0] for row in session.query("image_alone", oids=list(oids)))


def _arm(session: Session, capture: Capture, xid: int, truncate_limit: int) -> None:
    """Make the triggers. A statement trigger fires only where its table is named, so it serves tables that stand alone."""
    number = literal(str(capture.id))
    documents = {row[0] for row in session.query("image_documents", oids=list(capture.tables))}
    when = compose("WHEN (pg_catalog.pg_current_xact_id() OPERATOR(pg_catalog.=) {xid}::xid8)", xid=literal(str(xid)))
    for leaf in capture.tables.values():
        made = {
            capture.truncate_trigger: compose(
                "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {when}"
                " EXECUTE FUNCTION okto_change.capture_truncate({capture}, {limit})",
                table=leaf.table,
                when=when,
                capture=number,
                limit=literal(str(truncate_limit)),
            )
        }
        if leaf.oid in capture.alone:
            made |= {
                f"{capture.row_trigger}_{event}": _whole(leaf, words, when, number)
                for event, words in TRANSITIONS.items()
            }
        else:
            made[capture.row_trigger] = compose(
                "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW {when} EXECUTE FUNCTION {function}({capture})",
                table=leaf.table,
                when=when,
                function=identifier("okto_change", "capture_columns" if leaf.oid in documents else "capture_row"),
                capture=number,
            )
        parts = [
            compose("CREATE TRIGGER {name} {rest}", name=identifier(name), rest=rest) for name, rest in made.items()
        ]
        switches = joined(compose("ENABLE ALWAYS TRIGGER {name}", name=identifier(name)) for name in made)
        parts.append(compose("ALTER TABLE ONLY {table} {switches}", table=leaf.table, switches=switches))
        session.execute(joined(parts, "; "))


def _whole(leaf: Leaf, words: LiteralString, when: Part, number: Part) -> Composed:
    return compose(
        "AFTER {event} FOR EACH STATEMENT {when} EXECUTE FUNCTION okto_change.capture_rows({capture})",
        event=compose(words, table=leaf.table),
        when=when,
        capture=number,
    )


def _trigger_rows(session: Session, capture: Capture) -> dict[tuple[int, str], tuple[str, str]]:
    rows = session.query("image_triggers", oids=list(capture.tables), names=list(capture.trigger_names))
    return {(relid, name): (place, mode) for relid, name, place, mode in rows}


# ------------------------------------------------------------------------- accounts


def account(
    session: Session,
    capture: Capture,
    *,
    ddl: bool = False,
    touches: Iterable[str] | None = None,
    compared: bool = False,
    unaltered: bool = False,
) -> Accounting:
    """Fire what is deferred, close every cursor, be the role of the session again, and account for every row since ``start``.

    Nothing of the author's may run after it: checks can call functions that write, so they come before. ``ddl`` says that
    the unit has DDL, so that catalogue writes are no surprise. ``touches`` are the declared tables, None for no declaration;
    partitions count as their parent. ``compared``: tables that get new storage are compared otherwise, so that a lock which
    only allows to write is no write. ``unaltered``: all definitions were compared and are as before the unit, so
    that what was written into the catalogue are temporary objects. Raises DatabaseError when a deferred constraint fails.
    """
    settle(session)
    with pinned(session):
        facts = _facts(session, capture, ddl=ddl or unaltered)
        facts = replace(facts, covered=facts.covered - accounts.doubted(facts), unaltered=unaltered)
        declared = None if touches is None else _declared(session, capture, touches)
        result = accounts.judge(facts, ddl=ddl, declared=declared, compared=compared)
        capture.mark, unchecked = session.query("image_mark", capture=capture.id)[0]
        if unchecked:
            session.query("unchecked_mark", capture=capture.id, undo=False)
        opaque = _keep_shapes(session, capture, facts.images.keys() | result.refreshed, facts.relations)
        result = replace(result, refusals=result.refusals + opaque)
        capture.refusals = result.refusals
    return result


SETTLING: tuple[Call, ...] = (
    # A cursor WITH HOLD would run on, and could write, at COMMIT; the change may have left another role than our tables allow.
    compose("CLOSE ALL"),
    compose("SET CONSTRAINTS ALL IMMEDIATE"),
    compose("RESET SESSION AUTHORIZATION"),
    compose("RESET ROLE"),
)
"""What ``settle`` does, to go with other queries"""


def settle(session: Session) -> None:
    """Let nothing of the change run on: cursors, deferred triggers, another role. Raises DatabaseError where one fails."""
    session.each(*SETTLING)


def _facts(session: Session, capture: Capture, *, ddl: bool) -> Facts:
    relations, vanished = accounting.written(session, capture.before)
    images: dict[int, dict[str, int]] = {}
    for relid, op, count in session.query("image_counts", capture=capture.id):
        images.setdefault(relid, {})[op] = count
    rows = _trigger_rows(session, capture)
    changed = {relid for (relid, name), row in capture.triggers.items() if rows.get((relid, name)) != row}
    strays: tuple[str, ...] = ()
    if not ddl and accounts.needs_strays(relations):
        allowed = {relid for relid, events in images.items() if "t" in events}
        uncovered = (relation for relation in relations if relation.oid not in capture.tables)
        allowed |= {relation.oid for relation in uncovered if accounts.may_write_catalogue(relation)}
        found = accounting.strays(session, capture.id, allowed=allowed, covered=capture.tables) - capture.strays
        strays = tuple(sorted({catalogue for catalogue, _ in found}))
        if accounting.definitions(session, capture.tables) != capture.definitions:
            strays += ("pg_class",)
    return Facts(
        relations=relations,
        vanished=vanished,
        covered=_covered(session, capture),
        touched=frozenset(changed),
        images=images,
        before=capture.before,
        world=accounting.world(session),
        sequences=accounting.sequences(session),
        restarted=frozenset(row[0] for row in session.query("image_sequences_kept", capture=capture.id)),
        strays=strays,
        names=accounting.names(session, {relation.above[-1] for relation in relations}),
        natives=frozenset(row[0] for row in session.query("native_own")),
        alone=capture.alone,
    )


def _covered(session: Session, capture: Capture) -> frozenset[int]:
    """The tables with images of all that happened: one that got a parent may have been written past its triggers."""
    return frozenset(capture.tables) - (capture.alone - _alone(session, capture.alone))


def _declared(session: Session, capture: Capture, touches: Iterable[str]) -> frozenset[int]:
    session.query("image_unpin", names=["search_path"], values=[capture.search_path])
    found = frozenset(coverage.resolve(session, touches).values())
    session.query("image_unpin", names=["search_path"], values=[PINNED_PATH])
    return found


def known(
    session: Session, capture: Capture, oids: Iterable[int], relations: Iterable[accounting.Relation]
) -> dict[int, Shape]:
    """Return the shapes of tables; those of imaged ones as they were read ahead, where the catalogue was not written since.

    ``relations`` are those that the transaction wrote. What others do shows in no snapshot of it.
    """
    wanted = set(oids)
    before = {} if capture.imaged is None or accounts.wrote_definitions(relations) else capture.imaged.shapes
    return {oid: before[oid] for oid in wanted & before.keys()} | shape.load(session, wanted - before.keys())


def _keep_shapes(
    session: Session, capture: Capture, oids: Iterable[int], relations: Iterable[accounting.Relation]
) -> tuple[str, ...]:
    """Keep what reading the images needs later; say which of them could then be read as something else."""
    shapes = known(session, capture, oids, relations)
    refusals = list(naming.hidden(shapes.values()))
    for relid, kept in shapes.items():
        named = naming.kept(session, capture.id, kept)
        if named is None:
            refusals.append(f"{kept.qualified} holds names of objects that mean nothing any more")
        found = replace(kept, unpopulated=relid in capture.before.unpopulated)
        session.query("image_keep_shape", capture=capture.id, relid=relid, shape=found.content(), named=named or "[]")
    return tuple(refusals)


# ---------------------------------------------------------------------------- ending


def quiet(session: Session) -> None:
    """Switch off the capture triggers of this transaction; needs no stronger lock than making them did."""
    tables: dict[tuple[str, str], list[Part]] = {}
    for schema, table, trigger in session.query("image_live_triggers"):
        tables.setdefault((schema, table), []).append(compose("DISABLE TRIGGER {name}", name=identifier(trigger)))
    for name, switches in tables.items():
        execute(
            session, compose("ALTER TABLE ONLY {table} {switches}", table=identifier(*name), switches=joined(switches))
        )


def finish(session: Session, capture: Capture) -> tuple[str, ...]:
    """Stop capturing, the last thing before COMMIT; return the tables that keep a switched-off trigger until ``clean_up``."""
    with pinned(session):
        quiet(session)
    return tuple(f"{leaf.schema}.{leaf.name}" for leaf in capture.tables.values() if capture.triggers)


def clean_up(session: Session) -> tuple[str, ...]:
    """Drop capture triggers that are left over, a short transaction a table; return the tables where that must wait.

    Outside a transaction only. Dropping needs ACCESS EXCLUSIVE, so it waits 200 ms at most, three times.
    """
    return tuple(
        f"{schema}.{table}"
        for schema, table, triggers in session.query("image_own_triggers")
        if not any(_drop(session, schema, table, triggers, attempt) for attempt in range(CLEANING_ATTEMPTS))
    )


def leftovers(session: Session) -> tuple[str, ...]:
    """Return the tables that carry capture triggers, switched off or of a run that is under way."""
    return tuple(f"{schema}.{table}" for schema, table, _ in session.query("image_own_triggers"))


def _drop(session: Session, schema: str, table: str, triggers: list[str], attempt: int) -> bool:
    time.sleep(0.1 * attempt)
    try:
        session.begin(CLEANING, isolation=READ_COMMITTED)
        for trigger in triggers:
            execute(
                session,
                compose(
                    "DROP TRIGGER IF EXISTS {name} ON {table}",
                    name=identifier(trigger),
                    table=identifier(schema, table),
                ),
            )
        session.commit()
    except DatabaseError:
        session.rollback()
        return False
    return True


def records(session: Session, capture: Capture) -> bool:
    """Whether this capture still writes down what the transaction does."""
    live = {trigger for _, _, trigger in session.query("image_live_triggers")}
    return not live.isdisjoint(capture.trigger_names)
