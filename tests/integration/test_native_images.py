"""Large fixes keep their images in tables of their own, and are taken back by whole sets, or row by row where that fails."""

from __future__ import annotations

import psycopg
import pytest

from okto_change.database.session import READ_COMMITTED, connect
from okto_change.database.state import ensure_schema
from okto_change.errors import Conflict
from okto_change.execution import images
from okto_change.model import EventKind, Preview, Result
from tests.plugins.journey import Journey

STEP = "  - name: the step\n    target: ledger\n    sql: change.sql\n"
ROWS = 24_000
TABLE = f"""
CREATE TABLE t(gone int, id bigint PRIMARY KEY, a int, b text, c numeric, d timestamptz,
               twice int GENERATED ALWAYS AS (a * 2) STORED);
ALTER TABLE t DROP COLUMN gone;
CREATE INDEX ON t(a);
INSERT INTO t (id, a, b, c, d) SELECT g, g, 'row ' || g, g / 7.0, '2026-01-01'::timestamptz + g * interval '1 s'
  FROM generate_series(1, {ROWS}) g;
ANALYZE t;
"""
CHANGES = {
    "update": "UPDATE t SET a = -a, b = NULL WHERE id <= 20000;",
    "update that changes nothing in some": "UPDATE t SET a = 7 WHERE id <= 20000;",
    "update with a match twice": "UPDATE t SET a = s.n"
    " FROM (SELECT g % 15000 AS id, -g AS n FROM generate_series(1, 30000) g) s WHERE s.id = t.id;",
    "delete": "DELETE FROM t WHERE id > 5000;",
    "insert": "INSERT INTO t (id, a) SELECT g, 1 FROM generate_series(100001, 115000) g;",
}


@pytest.fixture(autouse=True)
def table(database: str) -> None:
    """Make the large table."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLE)


def content(database: str) -> tuple[object, ...]:
    """Return a digest of every row."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*), md5(string_agg(t::text, '|' ORDER BY id)) FROM t").fetchone()
    assert row is not None
    return tuple(row)


def execute(database: str, statement: str) -> list[tuple[object, ...]]:
    """Run a statement of somebody else's; return its rows."""
    with psycopg.connect(database, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def apply(journey: Journey, text: str) -> None:
    """Rehearse and apply a change that must be imaged natively."""
    journey.write(STEP, {"change.sql": text + "\n"})
    rehearsed = journey.dry_run().rehearsal
    assert rehearsed is not None
    assert rehearsed.undo.proven, rehearsed.failure or str(rehearsed.undo)
    assert rehearsed.rows, "a sample is shown"
    journey.git.commit("Rehearsed")
    assert journey.apply().result is Result.DONE
    kept = [event for event in journey.events if event.kind is EventKind.IMAGES_KEPT][-1]
    assert "reading rows ahead" in str(kept.data["capture"])
    assert not any(event.kind is EventKind.RETRYING for event in journey.events)


@pytest.mark.parametrize("text", CHANGES.values(), ids=CHANGES.keys())
def test_a_large_fix_goes_there_and_back_twice(text: str, journey: Journey, database: str) -> None:
    """Images are native, nothing is in the shared table, and all rows come back byte for byte, a second time too."""
    before = content(database)
    apply(journey, text)
    assert content(database) != before
    assert execute(database, "SELECT count(*) FROM okto_change.image") == [(0,)]
    assert execute(database, "SELECT sign, rows > 10000 FROM okto_change.image_native") == [(1, True)]
    assert journey.rollback().result is Result.DONE
    assert content(database) == before
    assert execute(database, "SELECT count(*) FROM okto_change.image") == [(0,)]
    assert journey.apply().result is Result.DONE
    assert journey.rollback().result is Result.DONE
    assert content(database) == before


REWRITES = {
    "vacuum full": ("VACUUM FULL t",),
    "cluster": ("CLUSTER t USING t_pkey",),
    "alter table": ("ALTER TABLE t SET UNLOGGED", "ALTER TABLE t SET LOGGED"),
}


@pytest.mark.parametrize("rewrite", REWRITES.values(), ids=REWRITES.keys())
def test_a_rewritten_table_is_no_conflict(rewrite: tuple[str, ...], journey: Journey, database: str) -> None:
    """Its rows may name the rewrite as their writer; then their columns alone tell whether somebody changed them."""
    before = content(database)
    apply(journey, CHANGES["update"])
    for statement in rewrite:
        execute(database, statement)
    execute(database, "UPDATE t SET c = c + 1 WHERE id = 12")
    assert journey.rollback().conflicts == ("public.t (id=12): changed since: c",)
    execute(database, "UPDATE t SET c = 12 / 7.0 WHERE id = 12")
    assert journey.rollback().result is Result.DONE
    assert content(database) == before


CONFLICTS = {
    "another column changed": ("UPDATE t SET c = 0 WHERE id = 12;", "public.t (id=12): changed since: c"),
    "the changed column changed": ("UPDATE t SET a = 5 WHERE id = 12;", "public.t (id=12): changed since: a, twice"),
    "a row gone": ("DELETE FROM t WHERE id = 12;", "public.t (id=12): removed since"),
}


@pytest.mark.parametrize(("meanwhile", "named"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_a_row_changed_since_is_a_conflict_and_the_rest_can_be_undone(
    meanwhile: str, named: str, journey: Journey, database: str
) -> None:
    """Rollback names the row and changes nothing; with only_clean it undoes the others and leaves that one."""
    before = content(database)
    apply(journey, CHANGES["update"])
    execute(database, meanwhile)
    now = content(database)
    refused = journey.rollback()
    assert refused.result is Result.CONFLICT
    assert refused.conflicts == (named,)
    assert content(database) == now
    assert journey.rollback(only_clean=True).conflicts == (named,)
    execute(
        database,
        "DELETE FROM t WHERE id = 12; INSERT INTO t (id, a, b, c, d)"
        " SELECT 12, 12, 'row 12', 12 / 7.0, '2026-01-01'::timestamptz + 12 * interval '1 s'",
    )
    assert content(database) == before


def test_a_key_taken_since_is_a_conflict(journey: Journey, database: str) -> None:
    """A deleted row whose key somebody uses again is named; nothing is put back over it."""
    apply(journey, CHANGES["delete"])
    execute(database, "INSERT INTO t (id, a) VALUES (6000, 1)")
    refused = journey.rollback()
    assert refused.result is Result.CONFLICT
    assert refused.conflicts == ("public.t (id=6000): another row has this key now",)


def test_children_added_since_keep_an_inserted_row(journey: Journey, database: str) -> None:
    """Taking back an INSERT must not cascade into rows that others attached to it."""
    execute(database, "CREATE TABLE child(id int PRIMARY KEY, t bigint REFERENCES t ON DELETE CASCADE)")
    apply(journey, CHANGES["insert"])
    execute(database, "INSERT INTO child VALUES (1, 100005)")
    refused = journey.rollback()
    assert refused.result is Result.CONFLICT
    assert "rows of public.child that others wrote" in refused.conflicts[0]
    assert execute(database, "SELECT * FROM child") == [(1, 100005)]


def test_a_trigger_made_since_does_not_fire_on_the_way_back(journey: Journey, database: str) -> None:
    """Triggers of others are off while rows are put back, and on afterwards."""
    before = content(database)
    apply(journey, CHANGES["update"])
    execute(
        database,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.b := 'stamped'; RETURN NEW; END$$;"
        "CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )
    assert journey.rollback().result is Result.DONE
    assert content(database) == before
    assert execute(database, "SELECT tgenabled FROM pg_trigger WHERE tgname = 'stamp'") == [("O",)]


def test_rows_that_the_planner_did_not_expect_become_native_at_the_second_try(journey: Journey, database: str) -> None:
    """Where the estimate is far too low the first try stops early and says so; no trigger is needed."""
    execute(database, "CREATE FUNCTION yes(bigint) RETURNS boolean LANGUAGE sql STABLE STRICT AS 'SELECT $1 > 0'")
    execute(database, "DELETE FROM pg_statistic WHERE starelid = 't'::regclass")
    before = content(database)
    journey.write(
        STEP, {"change.sql": "UPDATE t SET a = 0 WHERE yes(id) AND b = 'row ' || id AND c = id / 7.0 AND id > 0;\n"}
    )
    assert journey.apply().result is Result.DONE
    reasons = [str(event.data["reason"]) for event in journey.events if event.kind is EventKind.RETRYING]
    assert len(reasons) == 1
    assert "in a table of their own" in reasons[0]
    assert journey.rollback().result is Result.DONE
    assert content(database) == before


def test_a_table_altered_since_is_a_conflict(journey: Journey, database: str) -> None:
    """Images fit only the shape that the table had."""
    apply(journey, CHANGES["update"])
    execute(database, "ALTER TABLE t ADD COLUMN later int")
    refused = journey.rollback()
    assert refused.result is Result.CONFLICT
    assert refused.conflicts == ("public.t: column later was added since",)


def test_types_of_others_make_large_fixes_a_matter_of_triggers(journey: Journey, database: str) -> None:
    """A native image would tie somebody's type down; both tries are announced, and the undo is right."""
    execute(database, "CREATE TYPE mood AS ENUM ('ok'); ALTER TABLE t ADD COLUMN m mood DEFAULT 'ok'")
    before = content(database)
    journey.write(STEP, {"change.sql": CHANGES["update"] + "\n"})
    assert journey.apply().result is Result.DONE
    reasons = [str(event.data["reason"]) for event in journey.events if event.kind is EventKind.RETRYING]
    assert [reason.partition(":")[0] for reason in reasons] == [
        "keeping images in a table of their own",
        "capturing with triggers",
    ]
    assert journey.rollback().result is Result.DONE
    assert content(database) == before


@pytest.mark.parametrize("op", ["U", "D", "I"])
def test_an_undo_can_be_undone_and_done_again(op: str, database: str) -> None:
    """Redo works from the same two tables, whichever side the rows stand on."""
    text, rows = {
        "U": ("UPDATE t SET a = 0, b = 'x' WHERE id > 12000", "FROM t WHERE id > 12000"),
        "D": ("DELETE FROM t WHERE id > 12000", "FROM t WHERE id > 12000"),
        "I": ("INSERT INTO t (id, a) SELECT g, g FROM generate_series(50001, 62000) g", ""),
    }[op]
    preview = Preview(table="t", columns=(), select="", count="", alias="t", rows=rows, sets=("a", "b"))
    before = content(database)
    with connect("ledger", database) as session:
        ensure_schema(session)
        session.begin()
        relid = images.resolve(session, ["t"])["t"]
        capture = images.begin_ahead(session, "run", "1", [(relid, op, preview)])
        if op == "I":
            images.ahead_of_insert(session, capture, relid)
        else:
            images.ahead_of_change(session, capture, preview, op, relid)
        session.run(text)
        images.prove(session, capture)
        accounting = images.account(session, capture)
        assert accounting.refusals == ()
        assert accounting.missing == frozenset()
        assert accounting.writes[0].total == 12_000
        session.commit()
        changed = content(database)
        for run, undo, wanted in (("run", "undo", before), ("undo", "redo", changed), ("redo", "undo again", before)):
            session.begin(isolation=READ_COMMITTED)
            assert images.restore(session, run, unit="1", undo_run=undo).rows == 12_000
            session.commit()
            assert content(database) == wanted
        assert session.execute("SELECT count(*) FROM okto_change.image") == [(0,)]


def test_large_fixes_on_the_same_rows_are_taken_back_last_first(database: str) -> None:
    """What a later fix wrote and its undo put back does not stand in the way of the earlier one's."""
    preview = Preview(
        table="t", columns=(), select="", count="", alias="t", rows="FROM t WHERE id > 12000", sets=("a",)
    )
    before = content(database)
    with connect("ledger", database) as session:
        ensure_schema(session)
        relid = images.resolve(session, ["t"])["t"]
        for run in ("first", "second"):
            session.begin()
            capture = images.begin_ahead(session, run, "1", [(relid, "U", preview)])
            images.ahead_of_change(session, capture, preview, "U", relid)
            session.run("UPDATE t SET a = a + 1 WHERE id > 12000")
            images.prove(session, capture)
            images.account(session, capture)
            session.commit()
        for run in ("second", "first"):
            session.begin(isolation=READ_COMMITTED)
            assert images.restore(session, run, unit="1", undo_run=f"{run} back").rows == 12_000
            session.commit()
    assert content(database) == before


def test_a_row_written_again_with_equal_values_is_a_conflict(journey: Journey, database: str) -> None:
    """Somebody looked at the row and kept it so: undo asks first."""
    apply(journey, CHANGES["update"])
    execute(database, "UPDATE t SET a = a WHERE id = 12")
    refused = journey.rollback()
    assert refused.result is Result.CONFLICT
    assert len(refused.conflicts) == 1
    assert refused.conflicts[0].startswith("public.t (id=12)")


ASSIGNED = {
    "values that are known beforehand": ("UPDATE t SET a = a + 1, b = upper(b) WHERE id <= 20000;", True),
    "values that differ at every call": ("UPDATE t SET a = 0, b = random()::text WHERE id <= 20000;", False),
    "values of a function that lies about it": ("UPDATE t SET a = 0, b = lies() WHERE id <= 20000;", False),
    "values that every row gets": ("UPDATE t SET b = 'x', d = now(), a = NULL WHERE id <= 20000;", True),
    "values of other rows": ("UPDATE t SET b = (SELECT max(o.b) FROM t AS o), a = 0 WHERE id <= 20000;", False),
    "values that the column rounds": ("UPDATE t SET c = c + 0.12345678901234567890, b = 5 WHERE id <= 20000;", True),
}


@pytest.mark.parametrize(("text", "foreseen"), ASSIGNED.values(), ids=ASSIGNED.keys())
def test_new_values_stand_beside_the_old_rows_where_they_come_as_foreseen(
    text: str, foreseen: bool, journey: Journey, database: str
) -> None:
    """Else they have a table of their own; both ways lead back and forth byte for byte."""
    execute(database, "CREATE FUNCTION lies() RETURNS text LANGUAGE sql STABLE AS 'SELECT random()::text'")
    execute(database, "ALTER TABLE t DROP COLUMN twice")
    before = content(database)
    apply(journey, text)
    changed = content(database)
    assert execute(database, "SELECT foreseen FROM okto_change.image_native") == [(foreseen,)]
    uniform = execute(database, "SELECT uniform FROM okto_change.image_native") == [(True,)]
    assert uniform == ("now()" in text)
    news = execute(database, "SELECT relname FROM pg_class WHERE relname LIKE 'rows\\_%\\_new'")
    assert [execute(database, f"SELECT count(*) FROM okto_change.{name}") for (name,) in news] == (
        [] if foreseen and not uniform else [[(1 if uniform else 20_000,)]]
    )
    assert journey.rollback().result is Result.DONE
    assert content(database) == before
    journey.redo()
    assert content(database) == changed
    execute(database, "UPDATE t SET d = NULL WHERE id = 77")
    assert journey.rollback().conflicts == ("public.t (id=77): changed since: d",)
    assert journey.rollback(only_clean=True).conflicts == ("public.t (id=77): changed since: d",)


OTHERWISE = {
    "another row instead": "UPDATE t SET a = 0 WHERE id > 12001 OR id = 5",
    "a row more": "UPDATE t SET a = 0 WHERE id > 12000 OR id = 5",
    "a row less": "UPDATE t SET a = 0 WHERE id > 12001",
    "another column too": "UPDATE t SET a = 0, b = CASE id WHEN 15000 THEN 'y' ELSE b END WHERE id > 12000",
    "values of a column that is not assigned, swapped between two rows": "UPDATE t SET a = 0, b = CASE id"
    " WHEN 15000 THEN 'row 16000' WHEN 16000 THEN 'row 15000' ELSE b END WHERE id > 12000",
    "an equal number of other digits": "UPDATE t SET a = 0, c = CASE id WHEN 14000 THEN 2000.00 ELSE c END WHERE id > 12000",
    "another row written twice": "UPDATE t SET a = 0 WHERE id > 12001; UPDATE t SET a = 0 WHERE id = 12002",
}


def captured(database: str, text: str, *, uniform: bool = True) -> tuple[bool, bool]:
    """Image what sets ``a`` of 12 000 rows to 0, run ``text`` instead, prove and commit; tell what came as foreseen."""
    preview = Preview(
        table="t",
        columns=(),
        select="",
        count="",
        alias="t",
        rows="FROM t WHERE id > 12000",
        sets=("a",),
        values=("0",),
        uniform=uniform,
    )
    with connect("ledger", database) as session:
        ensure_schema(session)
        session.begin()
        relid = images.resolve(session, ["t"])["t"]
        capture = images.begin_ahead(session, "run", "1", [(relid, "U", preview)])
        images.ahead_of_change(session, capture, preview, "U", relid)
        session.run(text)
        images.prove(session, capture)
        accounting = images.account(session, capture)
        assert not accounting.refusals
        assert not accounting.missing
        session.commit()
        (found,) = session.execute("SELECT foreseen, uniform FROM okto_change.image_native")
        return bool(found[0]), bool(found[1])


@pytest.mark.parametrize("uniform", [True, False], ids=["once", "beside each row"])
@pytest.mark.parametrize("text", OTHERWISE.values(), ids=OTHERWISE.keys())
def test_what_came_otherwise_than_the_statement_was_read_is_never_proven(
    text: str, uniform: bool, database: str
) -> None:
    """A misread WHERE or SET list: whichever row, however many, and whatever adds up to the same."""
    execute(database, "ALTER TABLE t DROP COLUMN twice; UPDATE t SET c = 2000 WHERE id = 14000")
    with pytest.raises(images.Unproven):
        captured(database, text, uniform=uniform)


UNFORESEEN = {
    "one row": "UPDATE t SET a = CASE id WHEN 15000 THEN 1 ELSE 0 END WHERE id > 12000",
    "the first row": "UPDATE t SET a = CASE id WHEN 12001 THEN 1 ELSE 0 END WHERE id > 12000",
    "one row without a value": "UPDATE t SET a = CASE id WHEN 15000 THEN NULL ELSE 0 END WHERE id > 12000",
    "all but one": "UPDATE t SET a = CASE id WHEN 15000 THEN 0 ELSE id END WHERE id > 12000",
}


@pytest.mark.parametrize("uniform", [True, False], ids=["once", "beside each row"])
@pytest.mark.parametrize("text", UNFORESEEN.values(), ids=UNFORESEEN.keys())
def test_new_values_that_came_otherwise_are_kept_as_they_came(text: str, uniform: bool, database: str) -> None:
    """Where one row got another value than the rest, all new values are written, and both ways are exact."""
    execute(database, "ALTER TABLE t DROP COLUMN twice")
    before = content(database)
    assert captured(database, text, uniform=uniform) == (False, False)
    changed = content(database)
    assert execute(
        database,
        "SELECT count(*) FROM okto_change.rows_1_{}_new".format(*execute(database, "SELECT 't'::regclass::oid")[0]),
    ) == [(12_000,)]
    with connect("ledger", database) as session:
        for run, undo, wanted in (("run", "undo", before), ("undo", "redo", changed)):
            session.begin(isolation=READ_COMMITTED)
            assert images.restore(session, run, unit="1", undo_run=undo).rows == 12_000
            session.commit()
            assert content(database) == wanted


def test_a_value_that_every_row_got_is_a_value_somebody_changed_since(database: str) -> None:
    """The one row of new values is compared with each row on the way back."""
    execute(database, "ALTER TABLE t DROP COLUMN twice")
    assert captured(database, "UPDATE t SET a = 0 WHERE id > 12000") == (True, True)
    execute(database, "UPDATE t SET a = 5 WHERE id = 15000; UPDATE t SET a = NULL WHERE id = 15001")
    with connect("ledger", database) as session:
        session.begin(isolation=READ_COMMITTED)
        with pytest.raises(Conflict) as conflict:
            images.restore(session, "run", unit="1", undo_run="undo")
    assert conflict.value.faults == ("public.t (id=15000): changed since: a", "public.t (id=15001): changed since: a")
