"""The accounts are judged from what the server says: misses, refusals, sequences, declared tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from okto_change.database.accounting import NONE, Counts, Ledger, Relation, Sequence, World
from okto_change.execution.images.accounts import Accounting, Facts, doubted, judge
from okto_change.model import TableWrites

WORLD = World(tracking=("on", "default"), relations=(10, "55"))


def relation(
    name: str = "t",
    *,
    oid: int = 20_000,
    schema: str = "public",
    kind: str = "r",
    counts: Counts = NONE,
    modes: tuple[str, ...] = ("RowExclusiveLock",),
    above: tuple[int, ...] = (),
    temporary: bool = False,
    created: bool = False,
) -> Relation:
    """Return a relation that the transaction locked."""
    return Relation(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        temporary=temporary,
        created=created,
        above=above or (oid,),
        counts=counts,
        modes=frozenset(modes),
    )


def verdict(
    *relations: Relation,
    covered: tuple[int, ...] = (),
    images: Mapping[int, Mapping[str, int]] | None = None,
    touched: tuple[int, ...] = (),
    world: World = WORLD,
    vanished: int = 0,
    strays: tuple[str, ...] = (),
    before: Mapping[int, Sequence] | None = None,
    after: Mapping[int, Sequence] | None = None,
    ddl: bool = False,
    declared: frozenset[int] | None = None,
    held: tuple[int, ...] = (),
) -> Accounting:
    """Judge these facts."""
    facts = Facts(
        relations=relations,
        vanished=vanished,
        covered=frozenset(covered),
        touched=frozenset(touched),
        images=images or {},
        before=Ledger(
            counters={}, world=replace(WORLD, held=frozenset(held)), sequences=before or {}, tables=frozenset()
        ),
        world=world,
        sequences=after or {},
        restarted=frozenset(),
        strays=strays,
        names={r.oid: r.qualified for r in relations},
    )
    return judge(facts, ddl=ddl, declared=declared)


def sequence(last: int | None, *, filenode: int = 1, ascending: bool = True, cycles: bool = False) -> Sequence:
    """Return the sequence s at a position."""
    return Sequence(name="public.s", last=last, filenode=filenode, ascending=ascending, cycles=cycles)


def test_a_table_written_without_capture_is_missing() -> None:
    """A lock is enough: TRUNCATE takes counts away."""
    assert verdict(relation()).missing == {"public.t"}
    assert verdict(relation(), covered=(20_000,)).missing == frozenset()


def test_temporary_tables_and_tables_of_this_transaction_are_not_missing() -> None:
    """Nobody can have captured what was not there."""
    assert verdict(relation(temporary=True), relation(oid=20_001, created=True), ddl=True).missing == frozenset()


def test_rows_are_counted_from_images_that_survived() -> None:
    """Counters also count what a subtransaction took back."""
    found = verdict(relation(counts=(5, 0, 0)), covered=(20_000,), images={20_000: {"I": 2, "T": 3, "t": 1}})
    assert found.writes == (TableWrites(table="public.t", inserted=2, updated=0, deleted=3, imaged=5, declared=True),)
    assert found.refusals == ()


def test_a_table_is_declared_by_itself_or_by_any_partitioned_table_above() -> None:
    """Partitions are reported as the table at the top."""
    parts = [relation(f"p{number}", oid=number, above=(number, 30_000)) for number in (30_001, 30_002)]
    events = {30_001: {"D": 1}, 30_002: {"I": 1}}
    covered = (30_001, 30_002)
    (writes,) = verdict(*parts, covered=covered, images=events, declared=frozenset({30_000})).writes
    assert (writes.inserted, writes.deleted, writes.declared) == (1, 1, True)
    (writes,) = verdict(*parts, covered=covered, images=events, declared=frozenset({30_001})).writes
    assert not writes.declared


def test_whoever_touches_the_capture_triggers_is_noticed() -> None:
    """Even when they are as they were again."""
    (refusal,) = verdict(relation(), covered=(20_000,), touched=(20_000,)).refusals
    assert "switched its capture trigger off or on" in refusal


def test_foreign_tables_and_large_objects_are_refused_with_ddl_too() -> None:
    """They have nothing that could be put back."""
    objects = relation("pg_largeobject", oid=2613, schema="pg_catalog", counts=(1, 0, 0), modes=())
    assert len(verdict(relation(kind="f"), objects, ddl=True).refusals) == 2


def test_a_catalogue_write_is_refused_unless_the_unit_has_ddl() -> None:
    """ANALYZE is none."""
    direct = relation("pg_description", oid=2609, schema="pg_catalog", counts=(1, 0, 0))
    analysed = relation("pg_statistic", oid=2619, schema="pg_catalog", counts=(1, 1, 0), modes=())
    assert verdict(direct).refusals == ("the system catalogue pg_description was written",)
    assert verdict(direct, ddl=True).refusals == ()
    assert verdict(analysed).refusals == ()


def test_a_lock_on_a_catalogue_from_before_is_no_write() -> None:
    """COMMENT in a unit before keeps one in a rehearsal; rows count all the same, and where they may be explained the lock does."""
    kept = relation("pg_description", oid=2609, schema="pg_catalog")
    assert verdict(kept).refusals and not verdict(kept, held=(2609,)).refusals
    written = relation("pg_description", oid=2609, schema="pg_catalog", counts=(0, 1, 0))
    explained = relation("pg_class", oid=1259, schema="pg_catalog")
    assert len(verdict(written, explained, held=(2609, 1259)).refusals) == 2


def test_what_came_or_went_is_refused() -> None:
    """A relation more or less, or a row of the catalogue that nothing explains."""
    assert verdict(world=World(tracking=("on", "default"), relations=(11, "99"))).refusals
    assert verdict(strays=("pg_class",)).refusals
    assert verdict(vanished=1).refusals


def test_counters_that_were_switched_are_not_believed() -> None:
    """On again is not good enough."""
    (refusal,) = verdict(world=World(tracking=("on", "session"), relations=WORLD.relations)).refusals
    assert refusal.startswith("track_counts")


def test_our_own_tables_may_only_grow_by_images() -> None:
    """The state row is written after the accounts."""
    image = relation("image", schema="okto_change", counts=(5, 0, 0))
    assert verdict(image).refusals == ()
    for other in (
        relation("image", schema="okto_change", counts=(5, 0, 1)),
        relation("applied", schema="okto_change", counts=(1, 0, 0)),
        relation("image", schema="okto_change", modes=("AccessExclusiveLock",)),
    ):
        assert verdict(other).refusals
    assert verdict(relation("target", schema="okto_change", modes=("ExclusiveLock",))).refusals == ()


def test_a_sequence_may_advance_but_not_be_set_back() -> None:
    """A restart has another file and is taken back by ROLLBACK; setval is not."""
    s = relation("s", oid=40_000, kind="S")
    moved = verdict(s, before={40_000: sequence(5)}, after={40_000: sequence(9)})
    assert (moved.sequences, moved.refusals) == (("sequence public.s moved from 5 to 9",), ())
    back = verdict(s, before={40_000: sequence(5)}, after={40_000: sequence(2)})
    assert back.refusals == ("sequence public.s was set from 5 to 2",)
    down = sequence(2, ascending=False)
    assert verdict(s, before={40_000: sequence(5, ascending=False)}, after={40_000: down}).refusals == ()
    assert verdict(s, before={40_000: sequence(5)}, after={40_000: sequence(1, filenode=2)}).refusals == ()
    assert verdict(s, before={40_000: sequence(5)}, after={40_000: sequence(None)}).refusals
    assert verdict(s, before={40_000: sequence(None)}, after={40_000: sequence(1)}).sequences == (
        "sequence public.s moved from unused to 1",
    )


def test_a_materialized_view_that_was_refreshed_is_remembered() -> None:
    """A lock for reading is no refresh."""
    view = relation("m", oid=50_000, kind="m", modes=("AccessExclusiveLock",))
    assert verdict(view).refreshed == {50_000}
    assert verdict(relation("m", oid=50_000, kind="m", modes=())).refreshed == frozenset()


def test_what_was_written_past_a_capture_trigger_counts_as_the_server_counts() -> None:
    """Somebody switched it off and on: the images say nothing, the counters do."""
    found = verdict(relation(counts=(0, 5, 0)), covered=(20_000,), touched=(20_000,), declared=frozenset())
    assert [(writes.updated, writes.imaged, writes.declared) for writes in found.writes] == [(5, 0, False)]


def test_images_by_statement_are_doubted_where_the_server_counts_otherwise() -> None:
    """Rows that came through a parent of a moment, or that a subtransaction took back; TRUNCATE alone takes counts away."""
    for counts, images, expected in (
        ((0, 2, 0), {"U": 2, "u": 2}, set()),
        ((1, 2, 0), {"U": 2, "u": 2}, {20_000}),
        ((0, 5, 0), {}, {20_000}),
        ((0, 0, 0), {"t": 1, "T": 7}, set()),
        ((3, 0, 0), {"t": 1, "T": 7, "I": 4}, {20_000}),
    ):
        facts = Facts(
            relations=(relation(counts=counts),),
            vanished=0,
            covered=frozenset({20_000}),
            touched=frozenset(),
            images={20_000: images},
            before=Ledger(counters={}, world=WORLD, sequences={}, tables=frozenset()),
            world=WORLD,
            sequences={},
            restarted=frozenset(),
            strays=(),
            names={},
            alone=frozenset({20_000}),
        )
        assert doubted(facts) == expected


def test_ddl_is_refused_where_no_inverse_is_known() -> None:
    """What is shared by databases always, what an extension makes of its own never."""
    written = [
        relation(name, oid=oid, schema="pg_catalog", counts=(1, 0, 0))
        for oid, name in enumerate(("pg_class", "pg_database", "pg_operator"), 1)
    ]
    told = "the system catalogue {} was written: no inverse is known for what stands there"
    assert verdict(*written, ddl=True).refusals == (told.format("pg_database"), told.format("pg_operator"))
    extension = relation("pg_extension", oid=9, schema="pg_catalog", counts=(1, 0, 0))
    assert verdict(*written, extension, ddl=True).refusals == (told.format("pg_database"),)
    assert verdict(written[0], ddl=True).refusals == ()
