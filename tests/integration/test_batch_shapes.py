"""Batches over every kind of key and table: byte-equal back, forth again and back, or refused before anything ran."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from okto_change.errors import OktoError, Refused
from okto_change.model import Event, EventKind, Result
from tests.plugins.journey import Bank

STEP = """\
  - name: fix
    target: ledger
    sql: fix.sql
    touches: [{touches}]
    batch: {{table: t, key: {key}, type: {type}, size: {size}}}
"""
FIX = "UPDATE t SET state = state || '!' WHERE state <> 'left' AND {{ batch }};\n"
LEFT = "SELECT tgname FROM pg_trigger WHERE tgname ~ '^okto_change_'"
"""capture triggers, which may be switched off"""
FILL = "INSERT INTO t SELECT {key}, CASE WHEN n % 4 = 0 THEN 'left' ELSE 'old' END FROM generate_series(1, 23) AS n"


def plan(
    bank: Bank, ddl: str, *, key: str = "id", type_: str = "bigint", size: int = 5, fix: str = FIX, touches: str = "t"
) -> None:
    """Make the tables, and a change that goes through ``t`` in chunks."""
    bank.sql(f"{ddl}; ANALYZE t")
    bank.plan(STEP.format(key=key, type=type_, size=size, touches=touches), fix=fix)


def rows(bank: Bank, *tables: str) -> list[tuple[Any, ...]]:
    """Return every row of these tables as text."""
    return [row for table in tables or ("t",) for row in bank.sql(f"SELECT x::text FROM {table} AS x ORDER BY 1")]


def there_and_back(bank: Bank, *tables: str) -> None:
    """Apply, take back, put back, take back: each time exactly what was there."""
    before = rows(bank, *tables)
    done = bank.journey.apply()
    assert done.result is Result.DONE, done
    after = rows(bank, *tables)
    assert after != before
    assert bank.journey.rollback().result is Result.DONE and rows(bank, *tables) == before
    again = bank.journey.redo()
    assert again.result is Result.DONE and rows(bank, *tables) == after, again
    assert bank.sql(LEFT) == []
    assert bank.journey.rollback().result is Result.DONE and rows(bank, *tables) == before
    assert bank.sql(LEFT) == []


def native(bank: Bank) -> bool:
    """Whether all images are native."""
    return bank.sql("SELECT count(*) > 0 FROM okto_change.image_native") == [(True,)] and bank.sql(
        "SELECT count(*) FROM okto_change.image"
    ) == [(0,)]


KEYS = {
    "negative and with gaps": ("id bigint PRIMARY KEY", "(n - 12) * 7", "bigint"),
    "uuid": ("id uuid PRIMARY KEY", "md5(n::text)::uuid", "uuid"),
    "text": ("id text PRIMARY KEY", "CASE n % 2 WHEN 0 THEN 'b' ELSE 'B''\"' END || n", "text"),
    "text of another collation": ('id text COLLATE "POSIX" PRIMARY KEY', "chr(64 + n) || 'é'", "text"),
    "an empty text": ("id text PRIMARY KEY", "repeat('x', n - 1)", "text"),
    "numeric": ("id numeric PRIMARY KEY", "n / 3.0", "numeric"),
    "date": ("id date PRIMARY KEY", "date '2026-01-31' + n * 40", "date"),
    "timestamptz": ("id timestamptz PRIMARY KEY", "now() + n * interval '1 day 0.001 s'", "timestamptz"),
    "timestamps without end": (
        "id timestamptz PRIMARY KEY",
        "CASE n WHEN 1 THEN '-infinity' WHEN 23 THEN 'infinity' ELSE now() + n * interval '1 day' END",
        "timestamptz",
    ),
    "before Christ": (
        "id timestamp PRIMARY KEY",
        "timestamp '0044-03-15 12:00:00.000001 BC' + n * interval '17 days'",
        "timestamp",
    ),
    "no number": ("id numeric PRIMARY KEY", "CASE n WHEN 1 THEN 'NaN' ELSE (n / 7.0)::numeric(20, 5) END", "numeric"),
    "text that ignores case": (
        "id text COLLATE caseless PRIMARY KEY",
        "CASE n % 2 WHEN 0 THEN 'a' ELSE 'B' END || n",
        "text",
    ),
    "smallint": ("id smallint PRIMARY KEY", "-n", "smallint"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_batch_goes_by_any_type_of_key(bank: Bank, name: str) -> None:
    """Also where the text of the key depends on settings."""
    column, value, type_ = KEYS[name]
    if "caseless" in column:
        bank.sql("CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
    bank.sql(f"ALTER DATABASE {bank.sql('SELECT current_database()')[0][0]} SET datestyle = 'German'")
    plan(bank, f"CREATE TABLE t ({column}, state text); {FILL.format(key=value)}", type_=type_)
    there_and_back(bank)
    assert native(bank)


def test_a_batch_goes_by_a_unique_column_beside_a_key_of_several(bank: Bank) -> None:
    """The rows are known by their primary key, the chunks go by another column."""
    ddl = "CREATE TABLE t (a int, b text, id bigint NOT NULL UNIQUE, state text, PRIMARY KEY (a, b))"
    fill = "INSERT INTO t SELECT n % 3, 'b' || n, 100 - n, 'old' FROM generate_series(1, 23) AS n"
    plan(bank, f"{ddl}; {fill}")
    there_and_back(bank)
    assert native(bank)


def test_a_batch_that_moves_its_key_does_not_commit(bank: Bank) -> None:
    """Where rows would come round again in a later chunk, or move out of their range."""
    ddl = "CREATE TABLE t (pk int PRIMARY KEY, id bigint NOT NULL UNIQUE, state text)"
    fill = "INSERT INTO t SELECT n, n, 'old' FROM generate_series(1, 23) AS n"
    try:
        plan(bank, f"{ddl}; {fill}", fix="UPDATE t SET id = id + 1000 WHERE {{ batch }};\n")
        ended = bank.journey.apply()
    except OktoError:
        return  # refused by analysis: better still
    assert ended.result in (Result.ROLLED_BACK, Result.UNDONE, Result.REFUSED), ended
    assert bank.sql("SELECT count(*) FROM t WHERE id < 1000") == [(23,)]


def test_a_key_that_may_be_null_is_refused(bank: Bank) -> None:
    """No range holds a row without a key."""
    ddl = "CREATE TABLE t (pk int PRIMARY KEY, id bigint UNIQUE, state text)"
    plan(bank, f"{ddl}; INSERT INTO t SELECT n, nullif(n, 3), 'old' FROM generate_series(1, 23) AS n")
    with pytest.raises(Refused) as caught:
        bank.journey.apply()
    assert any("OC610" in fault for fault in caught.value.faults)
    assert bank.sql("SELECT DISTINCT state FROM t") == [("old",)]


# ----------------------------------------------------------------------------------- what else hangs on the table

TABLE = f"CREATE TABLE t (id bigint PRIMARY KEY, state text); {FILL.format(key='n')}"


def test_a_table_with_a_trigger_that_writes_elsewhere(bank: Bank) -> None:
    """Captured by triggers, both tables taken back; the trigger does not fire again on the way."""
    trigger = """
        CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, row bigint, what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN INSERT INTO log (row, what) VALUES (NEW.id, NEW.state); RETURN NULL; END$$;
        CREATE TRIGGER note AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION note()"""
    plan(bank, f"{TABLE}; {trigger}", touches="t, log")
    there_and_back(bank, "t", "log")


def test_a_counter_that_every_chunk_moves(bank: Bank) -> None:
    """Chunks that change the same row of another table are taken back all the same, and looked at in their order."""
    trigger = """
        CREATE TABLE tally (id int PRIMARY KEY, n bigint); INSERT INTO tally VALUES (1, 0);
        CREATE FUNCTION tick() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE tally SET n = n + 1; RETURN NULL; END$$;
        CREATE TRIGGER tick AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tick()"""
    plan(bank, f"{TABLE}; {trigger}", touches="t, tally")
    there_and_back(bank, "t", "tally")


def test_a_delete_that_cascades(bank: Bank) -> None:
    """Children go and come back with their parents, chunk by chunk."""
    child = "CREATE TABLE child (id bigint PRIMARY KEY, t bigint REFERENCES t ON DELETE CASCADE)"
    fill = "INSERT INTO child SELECT n, n FROM generate_series(1, 23) AS n"
    plan(bank, f"{TABLE}; {child}; {fill}", fix="DELETE FROM t WHERE {{ batch }};\n", touches="t, child")
    there_and_back(bank, "t", "child")


def test_a_delete_of_rows_that_nothing_hangs_on(bank: Bank) -> None:
    """Native images, without new rows."""
    plan(bank, TABLE, fix="DELETE FROM t WHERE state = 'old' AND {{ batch }};\n")
    there_and_back(bank)
    assert native(bank)


def test_a_partitioned_table(bank: Bank) -> None:
    """Its rows lie in several tables; images are text."""
    parts = "CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (9); CREATE TABLE high PARTITION OF t FOR VALUES FROM (9) TO (99)"
    ddl = f"CREATE TABLE t (id bigint PRIMARY KEY, state text) PARTITION BY RANGE (id); {parts}; {FILL.format(key='n')}"
    plan(bank, ddl)
    there_and_back(bank)


def test_generated_columns_and_a_check_that_calls_a_function(bank: Bank) -> None:
    """What is computed comes back as it was; functions of checks find their names."""
    ddl = """
        CREATE FUNCTION good(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT length($1) < 9';
        CREATE TABLE t (id bigint PRIMARY KEY, state text CHECK (good(state)), loud text GENERATED ALWAYS AS (upper(state)) STORED)"""
    plan(bank, f"{ddl}; {FILL.format(key='n').replace('INTO t', 'INTO t (id, state)')}")
    there_and_back(bank)


def test_two_statements_that_change_two_tables(bank: Bank) -> None:
    """Each has native images of its own."""
    other = "CREATE TABLE other (id int PRIMARY KEY, t bigint, note text); INSERT INTO other SELECT n, n, 'o' FROM generate_series(1, 30) AS n"
    fix = FIX + "UPDATE other SET note = t.state FROM t WHERE t.id = other.t AND {{ batch.t }};\n"
    plan(bank, f"{TABLE}; {other}", fix=fix, touches="t, other")
    there_and_back(bank, "t", "other")
    assert native(bank)


def test_values_that_come_as_foreseen_in_some_chunks_only(bank: Bank) -> None:
    """There the new values stand beside the old rows; the other chunks have new rows of their own. Both go back and forth."""
    lies = "CREATE FUNCTION lies(id bigint) RETURNS text LANGUAGE sql STABLE AS $$SELECT CASE WHEN id > 12 THEN random()::text ELSE 'f' END$$"
    plan(bank, f"{lies}; {TABLE}", fix="UPDATE t SET state = lies(id) WHERE state <> 'left' AND {{ batch }};\n")
    there_and_back(bank)
    assert native(bank)
    kept = bank.sql("SELECT foreseen, sum(rows) > 0 FROM okto_change.image_native GROUP BY foreseen ORDER BY foreseen")
    assert kept == [(False, True), (True, True)]
    changed = "chunk {}: public.t (id={}): changed since: state"
    assert bank.journey.redo().result is Result.DONE
    bank.sql("UPDATE t SET state = 'mine' WHERE id IN (2, 22)")
    found = bank.journey.rollback()
    assert sorted(found.conflicts) == [changed.format(1, 2), changed.format(5, 22)], found


# ----------------------------------------------------------------------------------- meanwhile


def after(bank: Bank, chunk: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """Return a watcher that acts once a chunk is committed."""

    def watch(event: Event) -> None:
        bank.journey.events.append(event)
        if event.kind is EventKind.COMMITTED and event.data.get("chunk") == chunk:
            act()

    return watch


def test_rows_that_others_move_while_it_runs(bank: Bank) -> None:
    """Each goes by the key that it has when its range is due. What was done to one that moved is named by the undo, twice if so."""
    plan(bank, TABLE)

    def move() -> None:
        bank.sql("UPDATE t SET id = id + 100 WHERE id = 2")  # done, and now above the end
        bank.sql("UPDATE t SET id = -5 WHERE id = 21; UPDATE t SET id = 900 WHERE id = 22")  # never to be done
        bank.sql(
            "DELETE FROM t WHERE id = 19; UPDATE t SET id = 19 WHERE id = 3"
        )  # done, and now before a range that is due

    assert bank.journey.apply(after(bank, 2, move)).result is Result.DONE
    moved = "SELECT id, state FROM t WHERE id IN (102, -5, 900, 19) ORDER BY id"
    assert bank.sql(moved) == [(-5, "old"), (19, "old!!"), (102, "old!"), (900, "old")]
    gone = ("chunk 1: public.t (id=2): removed since", "chunk 1: public.t (id=3): removed since")
    for _ in range(2):
        part = bank.journey.rollback(only_clean=True)
        assert part.result is Result.CONFLICT and part.conflicts == gone, part
        assert bank.sql(moved) == [(-5, "old"), (19, "old!"), (102, "old!"), (900, "old")]
    assert bank.sql("SELECT count(*) FROM t WHERE state = 'old!'") == [(2,)]


@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE t ALTER state SET STATISTICS 50",
        "CREATE INDEX ON t (state)",
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW;END$$; "
        "CREATE TRIGGER nothing BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION nothing()",
        "CREATE TABLE kid () INHERITS (t); INSERT INTO kid VALUES (6000, 'old')",
        "VACUUM FULL t",
        "ANALYZE t",
    ],
)
def test_a_definition_that_changes_between_two_chunks(bank: Bank, ddl: str) -> None:
    """The next chunk looks anew; every row comes back, whichever way its chunk was captured."""
    plan(bank, TABLE)
    before = rows(bank)
    done = bank.journey.apply(after(bank, 2, lambda: [bank.sql(one) for one in ddl.split("; ")]))
    assert done.result is Result.DONE, done
    assert len(set(rows(bank)) & set(before)) == 5, "those left alone"
    back = bank.journey.rollback()
    assert back.result is Result.DONE, back
    assert [row for row in rows(bank) if "6000" not in row[0]] == before


ROOM = """
    WITH d AS (DELETE FROM okto_change.{0} RETURNING *) INSERT INTO okto_change.{0} SELECT * FROM d
"""


@pytest.mark.parametrize("fix", [FIX, "DELETE FROM t WHERE {{ batch }};\n"])
def test_images_that_find_room_before_the_end_of_their_table(bank: Bank, fix: str) -> None:
    """Those of later chunks lie where vacuum made room, not where they are looked for; they are found and proven all the same."""
    wide = "(SELECT string_agg(md5(n || ' ' || m), '') FROM generate_series(1, 58) AS m)"
    plan(
        bank,
        f"CREATE TABLE t (id bigint PRIMARY KEY, state text); INSERT INTO t SELECT n, {wide} FROM generate_series(1, 43) AS n",
        fix=fix,
    )
    before = rows(bank)

    def make_room() -> None:
        name = bank.sql("SELECT relname FROM pg_class WHERE relname LIKE 'rows%old' AND relkind = 'r'")[0][0]
        for _ in range(12):
            bank.sql(ROOM.format(name))
        bank.sql(f"VACUUM okto_change.{name}")

    done = bank.journey.apply(after(bank, 2, make_room))
    assert done.result is Result.DONE and native(bank), done
    name, home = bank.sql(
        "SELECT 'rows_' || home || '_' || relid || '_old', max(capture) FROM okto_change.image_native GROUP BY 1"
    )[0]
    lies = "(ctid::text::point)[0]"
    found = f"SELECT max({lies}) - max({lies}) FILTER (WHERE c0 = {home}) FROM okto_change.{name}"
    assert bank.sql(found)[0][0] > 8, "the last chunk lies far before the end"
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


def test_a_column_that_is_added_between_two_chunks_stops_the_undo_before_anything(bank: Bank) -> None:
    """The rows of the first chunks have another shape now."""
    plan(bank, TABLE)
    bank.journey.apply(after(bank, 2, lambda: bank.sql("ALTER TABLE t ADD more int")))
    left = rows(bank)
    stopped = bank.journey.rollback()
    assert stopped.result is Result.CONFLICT and any("more was added" in line for line in stopped.conflicts), stopped
    assert rows(bank) == left
    bank.sql("ALTER TABLE t DROP more")
    again = bank.journey.rollback()
    assert again.result is Result.CONFLICT and "column more" in again.conflicts[0], "later chunks had it"


def test_rows_that_come_round_again_are_seen_by_the_proof(bank: Bank) -> None:
    """A trigger that changes another column than the statement says is no simple fix any more."""
    plan(bank, f"{TABLE}; ALTER TABLE t ADD stamp text")
    sly = """CREATE FUNCTION sly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.stamp := 'sly'; RETURN NEW; END$$;
             CREATE TRIGGER sly BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION sly()"""
    before = rows(bank)
    done = bank.journey.apply(after(bank, 2, lambda: bank.sql(sly)))
    assert done.result is Result.DONE, done
    assert bank.sql("SELECT count(*) > 0 FROM t WHERE stamp = 'sly'") == [(True,)]
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


@pytest.mark.parametrize(
    "sly",
    [
        pytest.param("DEALLOCATE ALL", id="dropped"),
        pytest.param("PREPARE _pg3_900 AS SELECT 1", id="beside ours"),
        pytest.param("DEALLOCATE ALL; " + "; ".join(f"PREPARE _pg3_{n} AS SELECT 0" for n in range(20)), id="replaced"),
    ],
)
def test_a_function_that_meddles_with_prepared_statements_is_believed_nothing(bank: Bank, sly: str) -> None:
    """What the accounts ask is planned once for all chunks; where others could answer in their place, triggers capture."""
    ddl = f"""
        CREATE FUNCTION sly(state text) RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            IF (SELECT count(*) FROM pg_prepared_statements WHERE from_sql) = 0 THEN
                EXECUTE {"; EXECUTE ".join(f"'{one}'" for one in sly.split("; "))};
            END IF;
            RETURN state || '!';
        END$$"""
    fix = "UPDATE t SET state = sly(state) WHERE state <> 'left' AND {{ batch }};\n"
    plan(bank, f"{TABLE}; {ddl}", fix=fix)
    before = rows(bank)
    done = bank.journey.apply()
    assert done.result is Result.DONE, done
    told = [str(event.data.get("reason")) for event in bank.journey.events if event.kind is EventKind.RETRYING]
    assert any("meddles with prepared statements" in reason for reason in told), told
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


def test_writers_hammer_the_table_while_a_batch_goes_there_and_back(bank: Bank) -> None:
    """Rows that others insert and change keep what they wrote; all others are back as they were."""
    plan(
        bank,
        f"{TABLE}; INSERT INTO t SELECT n, 'old' FROM generate_series(100, 900) AS n; ALTER TABLE t ADD hits int NOT NULL DEFAULT 0",
        size=20,
    )
    before = rows(bank)
    ended = threading.Event()

    def hammer() -> None:
        with psycopg.connect(bank.ledger, autocommit=True) as other:
            number = 0
            while not ended.is_set():
                number += 1
                other.execute("INSERT INTO t (id, state) VALUES (%s, 'left') ON CONFLICT DO NOTHING", [-number])
                other.execute("UPDATE t SET hits = hits + 1 WHERE id = %s AND state = 'left'", [number % 6 * 4])

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        assert bank.journey.apply().result is Result.DONE
        done = bank.journey.rollback()
    finally:
        ended.set()
        thread.join()
    assert done.result is Result.DONE, done
    bank.sql("DELETE FROM t WHERE id < 0; UPDATE t SET hits = 0 WHERE hits <> 0")
    assert rows(bank) == before
