"""Images taken ahead: chosen where they fit, refused with the reason where not, and never trusted without proof."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg
import pytest

from okto_change.model import Event, EventKind, Result
from okto_change.report import text
from okto_change.report.look import Look
from tests.plugins.journey import Journey

STEP = "  - name: the step\n    target: ledger\n    sql: change.sql\n"
TABLE = """
CREATE TABLE t(id int PRIMARY KEY, a int, b text);
INSERT INTO t SELECT g, g, 'row ' || g FROM generate_series(1, 6) g;
CREATE TABLE log(id int PRIMARY KEY);
"""
AHEAD = "reading rows ahead"
Prepare = Callable[[str, str], None]


@pytest.fixture
def prepare(journey: Journey, database: str) -> Prepare:
    """Return a function that makes the tables, runs more DDL and writes the change."""

    def run(change: str, schema: str = "") -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(TABLE + schema)
        journey.write(STEP, {"change.sql": change})

    return run


def rows(database: str, table: str = "t") -> list[tuple[object, ...]]:
    """Return the rows of a table in order."""
    with psycopg.connect(database) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table}").fetchall())


def way(journey: Journey) -> str:
    """Return how the rows of the last run were captured."""
    return str([event for event in journey.events if event.kind is EventKind.IMAGES_KEPT][-1].data["capture"])


def retried(journey: Journey) -> list[str]:
    """Return the reasons of every retry that was announced."""
    return [str(event.data["reason"]) for event in journey.events if event.kind is EventKind.RETRYING]


def there_and_back(journey: Journey, database: str) -> None:
    """Rehearse, apply and roll back; the undo must be proven and every row be as it was."""
    before = rows(database), rows(database, "log")
    rehearsed = journey.dry_run().rehearsal
    assert rehearsed is not None
    assert rehearsed.undo.proven, str(rehearsed.undo)
    assert rehearsed.captures == (way(journey),)
    journey.git.commit("Rehearsed")
    assert journey.apply().result is Result.DONE
    assert (rows(database), rows(database, "log")) != before
    assert journey.rollback().result is Result.DONE
    assert (rows(database), rows(database, "log")) == before


SIMPLE = {
    "update": "UPDATE t SET a = a + 1 WHERE id < 4;",
    "update of every row": "UPDATE t SET a = 0;",
    "delete": "DELETE FROM t WHERE b LIKE 'row%' AND id > 2;",
    "insert": "INSERT INTO t SELECT g, g, 'new' FROM generate_series(10, 14) g;",
    "with": "WITH x AS (SELECT 3 AS n) UPDATE t AS u SET a = x.n FROM x WHERE u.id <= x.n;",
    "a match twice": "UPDATE t SET a = s.n FROM (VALUES (1, 7), (1, 8), (2, 9)) s (id, n) WHERE s.id = t.id;",
    "several on other rows": "UPDATE t SET a = 0 WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (9, 9, NULL);",
    "settings of the author's": "SET LOCAL datestyle = 'SQL, DMY'; UPDATE t SET b = '2026-03-01'::date::text WHERE id = 1;",
}


@pytest.mark.parametrize("text", SIMPLE.values(), ids=SIMPLE.keys())
def test_simple_fixes_are_imaged_ahead(
    text: str, journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """No trigger is made, the undo is proven, and rolling back gives the same rows."""
    prepare(text + "\n")
    there_and_back(journey, database)
    assert AHEAD in way(journey)
    assert retried(journey) == []


PARTS = """
CREATE TABLE p(id int PRIMARY KEY, a int) PARTITION BY RANGE (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20);
INSERT INTO p SELECT g, g FROM generate_series(1, 15) g;
"""
IDLE = {
    "a delete of no row": "DELETE FROM t WHERE a > 1000;",
    "an update of no row": "UPDATE t SET a = 1 WHERE b = 'nobody';",
    "an insert of no row": "INSERT INTO t SELECT 7, 7, '' WHERE false;",
    "no row beside some": "DELETE FROM log WHERE id > 0; UPDATE t SET a = 0 WHERE id = 1;",
    "a partition without a match": "UPDATE p SET a = 0 WHERE a < 5;",
}


@pytest.mark.parametrize("text", IDLE.values(), ids=IDLE.keys())
def test_a_table_in_which_no_row_matches_needs_no_triggers(
    text: str, journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """A statement locks its table to be written, and all partitions; where it wrote nothing there is nothing to image."""
    prepare(text + "\n", PARTS)
    before = rows(database), rows(database, "p")
    assert journey.apply().result is Result.DONE
    assert AHEAD in way(journey)
    assert retried(journey) == []
    assert journey.rollback().result is Result.DONE
    assert (rows(database), rows(database, "p")) == before


TRIGGER = """
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.b := 'stamped'; RETURN NEW; END$$;
CREATE TRIGGER stamp BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
"""
PICK = "CREATE FUNCTION pick(int) RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT $1 < 3';"
CHILD = """
CREATE TABLE child(id int PRIMARY KEY, t int REFERENCES t ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO child VALUES (1, 1);
"""
RULE = "CREATE RULE r AS ON DELETE TO t DO ALSO INSERT INTO log VALUES (old.id);"
AHEAD_OF_TIME = {
    "a trigger": ("UPDATE t SET a = 0 WHERE id = 1;", TRIGGER, "the trigger stamp of public.t fires"),
    "a rule": ("DELETE FROM t WHERE id = 1;", RULE, "the rule r"),
    "a cascade": ("DELETE FROM t WHERE id = 1;", CHILD, "the foreign key child_t_fkey of public.child follows"),
    "a key shift": ("UPDATE t SET id = id + 1 WHERE id > 5;", "", "its key id is assigned"),
    "a volatile function": ("UPDATE t SET a = 0 WHERE pick(id);", PICK, "pick() may give another answer"),
    "chance": ("UPDATE t SET a = 0 WHERE id = 1 OR random() < 0.5;", "", "random() may give another answer"),
    "no key": ("UPDATE t SET a = 0 WHERE id < 3;", "ALTER TABLE t DROP CONSTRAINT t_pkey;", "public.t has no key"),
    "a view": ("UPDATE v SET a = 0 WHERE id < 3;", "CREATE VIEW v AS SELECT * FROM t;", "public.v is no table"),
    "on conflict": ("INSERT INTO t VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET a = 2;", "", "may update on conflict"),
    "a block": ("DO $$BEGIN UPDATE t SET a = 0; END$$;", "", "is neither UPDATE, DELETE nor INSERT"),
}


@pytest.mark.parametrize(("text", "schema", "reason"), AHEAD_OF_TIME.values(), ids=AHEAD_OF_TIME.keys())
def test_what_could_write_more_is_captured_by_triggers_from_the_start(
    text: str, schema: str, reason: str, journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """The rehearsal says why; nothing has to be tried twice for it; the undo is right."""
    prepare(text + "\n", schema)
    there_and_back(journey, database)
    assert way(journey).startswith("triggers")
    assert reason in way(journey)
    assert not any("capturing with triggers" in line for line in retried(journey))


SAVED = "SAVEPOINT s; UPDATE t SET a = 0 WHERE id = 1; RELEASE SAVEPOINT s;"
HIDDEN = "CREATE FUNCTION touch(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1'; CREATE VIEW chance AS SELECT random() AS r;"
WRITES = """
CREATE FUNCTION note(int) RETURNS int LANGUAGE sql AS 'INSERT INTO log VALUES ($1) RETURNING $1';
"""
LATE = {
    "the same row twice": (
        "UPDATE t SET a = 0 WHERE id = 1; UPDATE t SET a = 1 WHERE id < 3;",
        "",
        "changed by two statements",
    ),
    "an answer of chance behind a view": (
        "UPDATE t SET a = 0 WHERE id = 1 OR (SELECT r FROM chance WHERE t.id > 0) < 0.5;",
        HIDDEN + "INSERT INTO t SELECT g, g, '' FROM generate_series(100, 160) g;",
        "public.t: ",
    ),
    "a function that empties the table": (
        "SELECT sweep(); DELETE FROM t WHERE id = 1;",
        "CREATE FUNCTION sweep() RETURNS void LANGUAGE sql AS 'TRUNCATE t';",
        "the system catalogue is written too",
    ),
    "a SET clause that writes": ("UPDATE t SET a = note(id) WHERE id < 3;", WRITES, "public.log is written too"),
}


@pytest.mark.parametrize(("text", "schema", "reason"), LATE.values(), ids=LATE.keys())
def test_what_cannot_be_proven_is_done_again_with_triggers(
    text: str, schema: str, reason: str, journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """The first try is rolled back, the reason announced, the second one has triggers and is right."""
    prepare(text + "\n", schema)
    there_and_back(journey, database)
    assert way(journey).startswith("triggers")
    assert any(line.startswith("capturing with triggers: ") and reason in line for line in retried(journey))


def test_a_savepoint_of_the_author_ends_in_triggers(
    journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """Rows written inside a savepoint carry another transaction id; that proves nothing, so triggers take over."""
    prepare(SAVED + "\n")
    there_and_back(journey, database)
    assert way(journey).startswith("triggers")


def _meanwhile(journey: Journey, database: str, statement: str, moment: EventKind) -> Callable[[Event], None]:
    """Return a watcher that lets somebody else commit ``statement`` once, just before what ``moment`` announces."""
    done = threading.Event()

    def watch(event: Event) -> None:
        journey.events.append(event)
        if event.kind is moment and not done.is_set():
            done.set()
            with psycopg.connect(database, autocommit=True) as other:
                other.execute("SET lock_timeout = '2s'")
                other.execute(statement)

    return watch


def test_a_concurrent_writer_of_the_same_row_means_another_try(
    journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """Somebody commits between snapshot and UPDATE: serialization failure, retry, and the later value is what comes back."""
    prepare("UPDATE t SET a = a + 100 WHERE id = 1;\n")
    done = journey.apply(_meanwhile(journey, database, "UPDATE t SET a = 50 WHERE id = 1", EventKind.STATEMENT_STARTED))
    assert done.result is Result.DONE
    assert AHEAD in way(journey)
    assert any("concurrent update" in line for line in retried(journey))
    assert rows(database)[0] == (1, 150, "row 1")
    assert journey.rollback().result is Result.DONE
    assert rows(database)[0] == (1, 50, "row 1")


def test_rows_that_others_keep_writing_are_locked_at_the_third_attempt(
    journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """Two attempts lose against writers; the next one locks the table before it reads, says why, and loses nothing."""
    prepare("UPDATE t SET a = a + 100 WHERE id = 1;\n")
    tried: list[str] = []

    def watch(event: Event) -> None:
        journey.events.append(event)
        if event.kind is EventKind.STATEMENT_STARTED and len(tried) < 2:
            tried.append("written")
            with psycopg.connect(database, autocommit=True) as other:
                other.execute("UPDATE t SET a = a + 1 WHERE id = 1")

    assert journey.apply(watch).result is Result.DONE
    assert "locking the tables before reading them" not in retried(journey)[0]
    assert "locking the tables before reading them" in retried(journey)[1]
    assert way(journey).startswith("triggers")
    assert "others wrote the same rows during 2 attempts" in way(journey)
    assert rows(database)[0] == (1, 103, "row 1")
    assert journey.rollback().result is Result.DONE
    assert rows(database)[0] == (1, 3, "row 1")


def test_a_phantom_is_neither_changed_nor_imaged(journey: Journey, database: str, prepare: Callable[..., None]) -> None:
    """A row that starts to match after the snapshot belongs to its writer: it stays through apply and rollback."""
    prepare("UPDATE t SET a = 0 WHERE a < 4;\n")
    phantom = "INSERT INTO t VALUES (90, 1, 'phantom'); UPDATE t SET a = 1 WHERE id = 6"
    done = journey.apply(_meanwhile(journey, database, phantom, EventKind.STATEMENT_STARTED))
    assert done.result is Result.DONE
    assert AHEAD in way(journey)
    journey.rollback()
    assert [row[:2] for row in rows(database)] == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 1), (90, 1)]


def test_others_may_write_while_rows_are_imaged_ahead(
    journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """Between the statement and COMMIT somebody updates another row of the same table and does not wait."""
    prepare("UPDATE t SET a = 0 WHERE id = 1;\n")
    watch = _meanwhile(journey, database, "UPDATE t SET a = 9 WHERE id = 2", EventKind.COMMITTING)
    assert journey.apply(watch).result is Result.DONE
    assert rows(database)[:2] == [(1, 0, "row 1"), (2, 9, "row 2")]


def test_a_trigger_made_between_the_choice_and_the_statement_is_noticed(
    journey: Journey, database: str, prepare: Callable[..., None]
) -> None:
    """The proof reads what the server did, so a trigger that nobody knew of ends in triggers of ours, not in lost rows."""
    prepare("UPDATE t SET a = 0 WHERE id < 3;\n")
    sneaky = """
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN UPDATE t SET b = 'swept' WHERE id = NEW.id + 3; RETURN NULL; END$$;
        CREATE TRIGGER sneaky AFTER UPDATE OF a ON t FOR EACH ROW EXECUTE FUNCTION f();
    """
    before = rows(database)
    done = journey.apply(_meanwhile(journey, database, sneaky, EventKind.STATEMENT_STARTED))
    assert done.result is Result.DONE
    assert way(journey).startswith("triggers")
    assert any("4 rows updated" in line for line in retried(journey))
    assert journey.rollback().result is Result.DONE
    assert rows(database) == before


def test_writers_that_never_stop_lose_nothing(journey: Journey, database: str, prepare: Callable[..., None]) -> None:
    """While others add to every row, a change and its undo either take part once or not at all: no update is lost."""
    prepare("UPDATE t SET b = b || '!' WHERE id <= 3;\n")
    stop, added = threading.Event(), [0] * 7

    def hammer(seed: int) -> None:
        with psycopg.connect(database, autocommit=True) as other:
            while not stop.is_set():
                key = seed % 6 + 1
                other.execute("UPDATE t SET a = a + 1 WHERE id = %s", [key])
                added[key] += 1
                seed += 3

    writers = [threading.Thread(target=hammer, args=(start,)) for start in (3, 4)]
    for writer in writers:
        writer.start()
    try:
        outcomes = [(journey.apply().result, journey.rollback().result) for _ in range(3)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert outcomes
    marked = sum(str(row[2]).count("!") for row in rows(database))
    assert marked in (0, 3)
    assert [row[1] for row in rows(database)] == [key + added[key] for key in range(1, 7)]


def test_small_changes_share_one_table_of_images(prepare: Prepare, journey: Journey, database: str) -> None:
    """Change after change, whichever way its rows are captured: none leaves a relation of its own behind."""

    def relations() -> object:
        with psycopg.connect(database) as connection:
            return connection.execute(
                "SELECT array_agg(oid ORDER BY oid) FROM pg_class WHERE relkind <> 't'"
            ).fetchone()

    ways = ("UPDATE t SET a = a + 1 WHERE id < 4", "DO $$BEGIN UPDATE t SET a = a + 1; END$$")
    prepare(ways[0], "")
    assert journey.apply().result is Result.DONE
    before = relations()
    for number in range(6):
        change = f"2026-11-22-small-{number}"
        journey.write(STEP, {"change.sql": ways[number % 2]}, change=change)
        assert journey.apply(change=change).result is Result.DONE
    assert relations() == before


def test_the_dry_run_names_the_locks_of_capture_and_how_long(prepare: Prepare, journey: Journey) -> None:
    """Triggers lock what they watch: which tables, in which mode, and what the statements took."""
    prepare("DO $$BEGIN UPDATE t SET a = a + 1; END$$", "")
    report = journey.dry_run()
    assert report.rehearsal is not None
    assert (
        "hold SHARE ROW EXCLUSIVE (others read, nobody else writes) until COMMIT on public.t: "
        in report.rehearsal.captures[0]
    )
    assert "The statements took " in text.dry_run(report, Look(width=200))
