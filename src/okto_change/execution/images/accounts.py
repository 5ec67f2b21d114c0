"""Judging the accounts: is every written row imaged, what was missed, what cannot be taken back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from okto_change.database.accounting import NONE, Ledger, Relation, Sequence, World
from okto_change.model import TableWrites
from okto_change.model.base import type_

OUR_SCHEMA = "okto_change"
HARMLESS = frozenset({"pg_statistic", "pg_statistic_ext_data"})
"""Catalogues that ANALYZE writes; they hold no facts."""
EXPLAINED = frozenset(
    {
        "pg_class",
        "pg_attribute",
        "pg_type",
        "pg_index",
        "pg_constraint",
        "pg_attrdef",
        "pg_depend",
        "pg_sequence",
        "pg_namespace",
        "pg_trigger",
        "pg_rewrite",
    }
)
"""Catalogues that TRUNCATE, REFRESH and temporary tables write; what they wrote is looked at row by row."""
INVERTED = (
    EXPLAINED
    | HARMLESS
    | frozenset(
        {
            "pg_aggregate",
            "pg_default_acl",
            "pg_description",
            "pg_enum",
            "pg_extension",
            "pg_foreign_table",
            "pg_inherits",
            "pg_init_privs",
            "pg_partitioned_table",
            "pg_policy",
            "pg_proc",
            "pg_publication_rel",
            "pg_range",
            "pg_shdepend",
            "pg_statistic_ext",
        }
    )
)
"""Catalogues of which every object is compared; what an extension writes into others goes with it."""
SHARED = frozenset(
    {
        "pg_auth_members",
        "pg_authid",
        "pg_database",
        "pg_db_role_setting",
        "pg_parameter_acl",
        "pg_replication_origin",
        "pg_shdescription",
        "pg_shseclabel",
        "pg_subscription",
        "pg_tablespace",
    }
)
"""Catalogues that all databases of the server share."""
APPENDED = frozenset(
    {
        "capture",
        "captured_table",
        "image",
        "image_native",
        "image_sequence",
        "unchecked",
        "unchecked_row",
        "inverse",
        "definition",
        "trash",
    }
)
"""Tables of ours that capturing and keeping inverses adds rows to."""
EXCLUSIVE = frozenset({"ExclusiveLock", "AccessExclusiveLock"})


@type_
class Accounting:
    """The verdict before COMMIT.

    ``missing`` are qualified names of tables that were written without capture: roll back, cover them too, try again.
    ``refusals`` say why the transaction cannot be undone automatically. ``sequences`` say which ones moved; they are
    never set back. ``refreshed`` are materialized views that the undo has to refresh.
    """

    writes: tuple[TableWrites, ...]
    missing: frozenset[str] = frozenset()
    refusals: tuple[str, ...] = ()
    sequences: tuple[str, ...] = ()
    refreshed: frozenset[int] = frozenset()


@type_
class Facts:
    """What was read before COMMIT. ``images`` counts events by table and kind; ``touched`` are tables whose capture
    triggers are not as we made them; ``strays`` are catalogues with rows that nothing explains.
    """

    relations: tuple[Relation, ...]
    vanished: int
    covered: frozenset[int]
    touched: frozenset[int]
    images: Mapping[int, Mapping[str, int]]
    before: Ledger
    world: World
    sequences: Mapping[int, Sequence]
    restarted: frozenset[int]
    strays: tuple[str, ...]
    names: Mapping[int, str]
    natives: frozenset[int] = frozenset()
    """tables that captures of this very transaction made for native images"""
    unaltered: bool = False
    """whether all definitions are known to be as before, so that what was made and dropped are temporary objects"""
    alone: frozenset[int] = frozenset()
    """tables whose images were written statement by statement, since nothing should write them through another table"""


def judge(facts: Facts, *, ddl: bool, declared: frozenset[int] | None, compared: bool = False) -> Accounting:
    """Return the verdict. With ``ddl`` catalogue writes are expected. ``declared`` are the oids of ``touches``, None if all.

    ``compared``: what TRUNCATE would do is looked for elsewhere, so that only counted rows are written ones.
    """
    tables = [relation for relation in facts.relations if is_table(relation)]
    writes = _merged((_writes(relation, facts, declared), relation.above[-1]) for relation in tables)
    return Accounting(
        writes=tuple(sorted((_named(item, root, facts) for root, item in writes.items()), key=lambda item: item.table)),
        missing=frozenset(
            relation.qualified
            for relation in tables
            if relation.oid not in facts.covered and not relation.created and not (compared and relation.counts == NONE)
        ),
        refusals=tuple(sorted({*_refusals(facts), *(_foreign_to_inverse(facts) if ddl else _catalogue(facts))})),
        sequences=tuple(_moves(facts)),
        refreshed=frozenset(relation.oid for relation in facts.relations if is_refreshed(relation)),
    )


def doubted(facts: Facts) -> frozenset[int]:
    """Return the tables imaged statement by statement of which the server counts other rows than there are images.

    Either a subtransaction was taken back, or rows were written through a table that was a parent for a moment: images row
    by row tell which.
    """
    return frozenset(
        relation.oid for relation in facts.relations if relation.oid in facts.alone and _is_doubted(relation, facts)
    )


def _is_doubted(relation: Relation, facts: Facts) -> bool:
    events = facts.images.get(relation.oid, {})
    if events and events.keys() <= {"t", "T"}:  # TRUNCATE alone, which takes counts away
        return False
    return relation.counts != (events.get("I", 0), events.get("U", 0), events.get("D", 0))


def is_refreshed(relation: Relation) -> bool:
    """Whether a materialized view was refreshed, in one piece or row by row."""
    return relation.kind == "m" and (relation.counts != NONE or bool(relation.modes & EXCLUSIVE))


def may_write_catalogue(relation: Relation) -> bool:
    """Whether the relation was refreshed, or locked as TRUNCATE locks: reasons to write ``pg_class``."""
    return is_refreshed(relation) or (is_table(relation) and "AccessExclusiveLock" in relation.modes)


def wrote_definitions(relations: Iterable[Relation]) -> bool:
    """Whether anything was written into the system catalogue but what ANALYZE writes."""
    return any(one.system and one.name not in HARMLESS and one.counts != NONE for one in relations)


def needs_strays(relations: Iterable[Relation]) -> bool:
    """Whether catalogue rows have to be looked at one by one."""
    return any(relation.system and relation.name in EXPLAINED and relation.counts != NONE for relation in relations)


# ----------------------------------------------------------------------------- rows


def is_table(relation: Relation) -> bool:
    """Whether it is a table of others that holds rows and stays."""
    return relation.kind == "r" and not relation.temporary and not relation.system and relation.schema != OUR_SCHEMA


def _writes(relation: Relation, facts: Facts, declared: frozenset[int] | None) -> TableWrites:
    events = facts.images.get(relation.oid, {})
    covered = relation.oid in facts.covered
    # Images say what survived: counters also count what a subtransaction took back, and TRUNCATE takes counts away.
    images = (events.get("I", 0), events.get("U", 0), events.get("D", 0) + events.get("T", 0))
    inserted, updated, deleted = images if covered and relation.oid not in facts.touched else relation.counts
    return TableWrites(
        table=relation.qualified,
        inserted=inserted,
        updated=updated,
        deleted=deleted,
        imaged=sum(images) if covered else 0,
        declared=declared is None or relation.created or not declared.isdisjoint(relation.above),
    )


def _merged(items: Iterable[tuple[TableWrites, int]]) -> dict[int, TableWrites]:
    """Partitions count as the table at the top."""
    result: dict[int, TableWrites] = {}
    for item, root in items:
        if not item.total:
            continue
        other = result.get(root)
        result[root] = (
            item
            if other is None
            else TableWrites(
                table=other.table,
                inserted=other.inserted + item.inserted,
                updated=other.updated + item.updated,
                deleted=other.deleted + item.deleted,
                imaged=other.imaged + item.imaged,
                declared=other.declared and item.declared,
            )
        )
    return result


def _named(item: TableWrites, root: int, facts: Facts) -> TableWrites:
    return TableWrites(
        table=facts.names.get(root, item.table),
        inserted=item.inserted,
        updated=item.updated,
        deleted=item.deleted,
        imaged=item.imaged,
        declared=item.declared,
    )


# ------------------------------------------------------------------------- refusals


def _refusals(facts: Facts) -> Iterable[str]:
    if facts.world.tracking != facts.before.world.tracking or facts.world.tracking[0] != "on":
        yield "track_counts is off or was switched, so rows cannot be counted"
    for relation in facts.relations:
        yield from _refusals_of(relation, facts)
    yield from _set_back(facts)


def _refusals_of(relation: Relation, facts: Facts) -> Iterable[str]:
    if relation.kind == "f":
        yield f"{relation.qualified} is a foreign table: its rows live elsewhere"
    elif relation.oid in facts.touched:
        yield f"{relation.qualified}: somebody switched its capture trigger off or on while the change ran"
    elif relation.system and relation.name.startswith("pg_largeobject") and relation.counts != NONE:
        yield "large objects were written; they have no triggers"
    elif relation.schema == OUR_SCHEMA and _meddled(relation, facts.natives):
        yield f"{relation.qualified} belongs to okto-change itself and was written by the change"


def _meddled(relation: Relation, natives: frozenset[int]) -> bool:
    inserted, updated, deleted = relation.counts
    if relation.oid in natives:
        return bool(updated or deleted)
    if relation.kind != "r" or relation.name == "target":
        return False
    beyond = bool(updated or deleted or (inserted and relation.name not in APPENDED))
    return beyond or bool(relation.modes & EXCLUSIVE)


def _catalogue(facts: Facts) -> Iterable[str]:
    explained = facts.unaltered or any(is_refreshed(relation) for relation in facts.relations)
    for relation in facts.relations:
        if not relation.system or relation.kind != "r" or relation.name.startswith("pg_largeobject"):
            continue
        _, _, deleted = relation.counts
        if _is_locked(relation, facts) or (relation.counts != NONE and relation.name not in EXPLAINED | HARMLESS):
            yield f"the system catalogue {relation.name} was written"
        elif deleted and not explained and relation.name not in HARMLESS:
            yield f"rows of the system catalogue {relation.name} were deleted: something was dropped or altered"
    for catalogue in facts.strays:
        yield f"the system catalogue {catalogue} was written: something was created or altered"
    if facts.world.relations != facts.before.world.relations:
        yield "tables, indexes, views or sequences were created or dropped"
    if facts.vanished and not explained:
        yield "relations that the change had locked are gone: something was dropped"


def _is_locked(relation: Relation, facts: Facts) -> bool:
    """Whether a catalogue was locked as writing by hand locks it; a lock of earlier says nothing where rows are counted."""
    counted = relation.name not in EXPLAINED | HARMLESS
    return bool(relation.modes) and not (counted and relation.oid in facts.before.world.held)


def _foreign_to_inverse(facts: Facts) -> Iterable[str]:
    """What DDL did where nothing is compared: roles, databases, operators, and the like."""
    system = (relation for relation in facts.relations if relation.system and relation.kind == "r")
    written = {relation.name for relation in system if relation.counts != NONE}
    known = INVERTED | (written - SHARED if "pg_extension" in written else frozenset())
    for name in sorted(written - known):
        if not name.startswith("pg_largeobject"):
            yield f"the system catalogue {name} was written: no inverse is known for what stands there"


# ------------------------------------------------------------------------ sequences


def _moves(facts: Facts) -> Iterable[str]:
    for relation, old, new in _sequences(facts):
        if old.last != new.last and relation.oid not in facts.restarted:
            yield f"sequence {new.name} moved from {_place(old.last)} to {_place(new.last)}"


def _set_back(facts: Facts) -> Iterable[str]:
    for _, old, new in _sequences(facts):
        if new.filenode != old.filenode or new.cycles or old.last is None or new.last == old.last:
            continue
        if new.last is None or (new.last < old.last) == new.ascending:
            yield f"sequence {new.name} was set from {_place(old.last)} to {_place(new.last)}"


def _sequences(facts: Facts) -> Iterable[tuple[Relation, Sequence, Sequence]]:
    for relation in facts.relations:
        old, new = facts.before.sequences.get(relation.oid), facts.sequences.get(relation.oid)
        if relation.kind == "S" and old is not None and new is not None:
            yield relation, old, new


def _place(value: int | None) -> str:
    return "unused" if value is None else str(value)
