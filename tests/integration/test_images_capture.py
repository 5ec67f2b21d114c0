"""Capture records exactly this run, accounts say what was written and what was missed, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from okto_change.database.session import Session, connect
from okto_change.database.state import ensure_schema
from okto_change.errors import DatabaseError, NotReversible
from okto_change.execution import images
from okto_change.model import TableWrites
from tests.plugins.attempts import guarded

TABLES = """
CREATE TABLE t (id int PRIMARY KEY, a int);
CREATE TABLE log (id int, what text);
CREATE TABLE part (id int, k int) PARTITION BY LIST (k);
CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2);
INSERT INTO t SELECT g, g FROM generate_series(1, 5) AS g;
INSERT INTO part SELECT g, 1 + g % 2 FROM generate_series(1, 4) AS g;
CREATE FUNCTION logged() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO log VALUES (NEW.id, TG_OP); RETURN NULL; END$$;
CREATE TRIGGER logged AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION logged();
"""


@pytest.fixture
def prepared(database: str) -> str:
    """Return the connection string of a database with tables, partitions and a trigger that writes elsewhere."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
    return database


@pytest.fixture
def session(prepared: str) -> Iterator[Session]:
    """Return a session to that database with the schema of okto-change installed."""
    with connect("ledger", prepared) as opened:
        ensure_schema(opened)
        yield opened


def run(session: Session, statement: str) -> None:
    """Run one statement."""
    session.run(statement)


def as_role(database: str, role: str) -> str:
    """Return the connection string of another role of the same database."""
    return make_conninfo(database, options=f"-c role={role}")


def test_accounting_finds_the_table_that_a_trigger_wrote(session: Session) -> None:
    """It is missing the first time; with it covered, every row of it is imaged and the other one is undeclared."""
    session.begin()
    capture = images.start(session, "r1", "1", {"t"})
    session.run("UPDATE t SET a = 0 WHERE id <= 2")
    assert images.account(session, capture, touches={"t"}).missing == {"public.log"}
    session.rollback()
    session.begin()
    capture = images.start(session, "r1", "1", {"t", "public.log"})
    session.run("UPDATE t SET a = 0 WHERE id <= 2")
    accounting = images.account(session, capture, touches={"t"})
    assert accounting.missing == frozenset() and accounting.refusals == ()
    assert accounting.writes == (
        TableWrites(table="public.log", inserted=2, updated=0, deleted=0, imaged=2, declared=False),
        TableWrites(table="public.t", inserted=0, updated=2, deleted=0, imaged=2, declared=True),
    )
    session.rollback()


def test_partitions_count_as_their_parent(session: Session) -> None:
    """Rows that move between partitions are a delete and an insert of the declared table."""
    session.begin()
    capture = images.start(session, "r1", "1", {"part"})
    session.run("UPDATE part SET k = 2 WHERE k = 1")
    accounting = images.account(session, capture, touches={"public.part"})
    assert accounting.writes == (
        TableWrites(table="public.part", inserted=2, updated=0, deleted=2, imaged=4, declared=True),
    )
    session.rollback()


def test_touches_are_resolved_as_the_plan_was_written(session: Session) -> None:
    """A search_path that the change sets does not give the names another meaning."""
    session.begin()
    capture = images.start(session, "r1", "1", {"t", "log"})
    session.run("SET LOCAL search_path = pg_catalog")
    session.run("DELETE FROM public.t WHERE id = 1")
    assert [writes.declared for writes in images.account(session, capture, touches={"t"}).writes] == [True]
    assert session.execute("SHOW search_path") == [("pg_catalog",)]
    session.rollback()


def test_counts_of_earlier_transactions_of_the_session_are_not_ours(session: Session) -> None:
    """They may still wait in the session to be reported."""
    session.run("INSERT INTO t SELECT g, g FROM generate_series(100, 200) AS g")
    session.begin()
    capture = images.start(session, "r1", "1", {"t", "log"})
    session.run("DELETE FROM t WHERE id = 1")
    accounting = images.account(session, capture)
    assert [(writes.table, writes.total) for writes in accounting.writes] == [("public.t", 1)]
    session.rollback()


def test_leftover_triggers_record_nothing_and_are_dropped_later(prepared: str, session: Session) -> None:
    """Between COMMIT and the cleaning up they are switched off; a run that is under way keeps its own."""
    attempt = guarded(session, "r1", "1", {"t", "log"}, lambda: run(session, "UPDATE t SET a = 0"))
    assert set(images.finish(session, attempt.capture)) == {"public.log", "public.t"}
    session.commit()
    assert set(images.leftovers(session)) == {"public.log", "public.t"}
    session.run("UPDATE t SET a = 1")
    assert session.execute("SELECT count(*) FROM okto_change.image") == [(5 + 5 + 5,)]  # before, after, the log
    with psycopg.connect(prepared) as reader:
        reader.execute("SELECT FROM t")
        assert images.clean_up(session) == ("public.t",)
    assert images.clean_up(session) == ()
    assert images.leftovers(session) == ()


def test_a_truncate_over_the_limit_is_refused_before_it_happens(session: Session) -> None:
    """The error says how much it would copy."""
    session.begin()
    images.start(session, "r1", "1", {"t"}, truncate_limit=100)
    with pytest.raises(DatabaseError, match=r"TRUNCATE of public\.t would copy .* the limit is 100 bytes") as caught:
        session.run("TRUNCATE t")
    assert caught.value.sqlstate == "OKT01"
    session.rollback()


def test_captures_of_one_transaction_follow_each_other(session: Session) -> None:
    """Two units rehearsed in one transaction are undone last first, each proven."""
    session.begin()
    first = images.start(session, "r1", "1", {"t", "log"})
    session.run("UPDATE t SET a = a + 1")
    images.account(session, first)
    second = images.start(session, "r1", "2", {"t", "log"})
    session.run("DELETE FROM t WHERE id > 3")
    images.account(session, second)
    images.restore(session, "r1", unit="2")
    assert str(images.proof(session, second)) == "undo proven: 2 of 2 rows identical"
    images.restore(session, "r1", unit="1")
    assert str(images.proof(session, first)) == "undo proven: 10 of 10 rows identical"
    session.rollback()


@pytest.mark.parametrize(
    ("script", "rows"),
    [
        ("DELETE FROM log; INSERT INTO log VALUES (7, 'new')", 2),
        ("UPDATE log SET what = what || '!'; UPDATE log SET what = what || '?'; INSERT INTO log VALUES (7, 'new')", 2),
        ("UPDATE t SET a = 0 WHERE id = 1; DELETE FROM t WHERE id = 1; INSERT INTO log VALUES (7, 'new')", 3),
        ("DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (9, 9); UPDATE t SET a = -a WHERE id IN (2, 3)", 6),
    ],
)
@pytest.mark.parametrize("fixed", [True, False], ids=["by statement", "by row"])
def test_the_proof_counts_a_row_put_back_and_a_row_taken_away(
    session: Session, script: str, rows: int, fixed: bool
) -> None:
    """Both, where a table lost one and gained another; a rewritten row once, however often it was rewritten."""
    session.run("INSERT INTO log VALUES (1, 'old')")
    session.begin()
    capture = images.start(session, "r1", "1", {"t", "log"}, fixed=fixed)
    session.run(script)
    images.account(session, capture)
    images.restore(session, "r1", unit="1")
    assert str(images.proof(session, capture)) == f"undo proven: {rows} of {rows} rows identical"
    session.rollback()


def test_what_an_undo_moved_is_told_by_the_table_at_the_top(session: Session) -> None:
    """Its partitions are one table, as they are for the run that it takes back."""
    session.begin()
    capture = images.start(session, "r1", "1", {"part", "part1", "part2"})
    session.run("DELETE FROM part WHERE id <= 3")
    images.account(session, capture)
    images.restore(session, "r1", unit="1")
    (told,) = images.writes(session, "r1/undo")
    assert (told.table, told.inserted, told.imaged) == ("public.part", 3, 3)
    session.rollback()


def test_a_script_of_the_author_is_proven_or_not(session: Session) -> None:
    """The script's rows are captured as an undo of the run; what it leaves is named."""
    for script, said in (
        ("UPDATE t SET a = id; DELETE FROM log", "undo proven: 4 of 4 rows identical"),
        (
            "UPDATE t SET a = id WHERE id = 1; DELETE FROM log",
            "undo not proven: 1 rows are not as they were: public.t (id=2)",
        ),
    ):
        session.begin()
        capture = images.start(session, "r1", "1", {"t", "log"})
        session.run("UPDATE t SET a = 0 WHERE id <= 2")
        images.account(session, capture)
        undo = images.start(session, "r1/undo", "1", {"t", "log"}, undoes="r1")
        session.run("ALTER TABLE t DISABLE TRIGGER logged")
        session.run(script)
        assert images.account(session, undo, ddl=True).missing == frozenset()
        assert str(images.proof(session, capture)).startswith(said)
        session.rollback()


def test_what_stands_in_the_way_is_known_before(prepared: str, session: Session) -> None:
    """Foreign tables, catalogues, views without a table, tables of others."""
    session.run(
        "CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw;"
        "CREATE FOREIGN TABLE far (id int) SERVER s OPTIONS (filename '/nowhere');"
        "CREATE VIEW counted AS SELECT count(*) FROM t"
    )
    assert images.refusals_before(session, {"t", "part", "no such table"}) == ()
    assert images.refusals_before(session, {"far", "counted", "pg_class", "okto_change.image"}) == (
        "okto_change.image belongs to okto-change itself",
        "pg_catalog.pg_class is a system catalogue",
        "public.counted is a view that nothing can be written through",
        "public.far is a foreign table: its rows live elsewhere",
    )
    with psycopg.connect(prepared, autocommit=True) as admin:
        admin.execute("CREATE ROLE okto_stranger LOGIN")
        try:
            with connect("ledger", as_role(prepared, "okto_stranger")) as stranger:
                (refusal,) = images.refusals_before(stranger, {"t"})
                assert refusal.endswith("capturing and restoring its rows needs its owner")
        finally:
            admin.execute("DROP ROLE okto_stranger")


def test_a_rule_of_others_in_the_way_of_a_cascade_is_known_before(prepared: str) -> None:
    """The undo of an INSERT deletes; a rule on the referring table that this role may not switch off would make it fail."""
    with psycopg.connect(prepared, autocommit=True) as admin:
        admin.execute("CREATE ROLE okto_parent LOGIN")
        try:
            admin.execute(
                "CREATE TABLE parent (id int PRIMARY KEY); ALTER TABLE parent OWNER TO okto_parent;"
                "CREATE TABLE child (parent int REFERENCES parent ON DELETE CASCADE);"
                "CREATE RULE kept AS ON UPDATE TO child DO INSTEAD NOTHING"
            )
            with connect("ledger", as_role(prepared, "okto_parent")) as theirs:
                assert images.refusals_before(theirs, {"parent"}, delete=False, update=False) == ()
                admin.execute("CREATE RULE gone AS ON DELETE TO child DO INSTEAD NOTHING")
                (refusal,) = images.refusals_before(theirs, {"parent"}, delete=False, update=False)
                assert refusal.startswith("rule gone of public.child stands in the way of what a foreign key to parent")
                admin.execute("ALTER TABLE child DISABLE RULE gone")
                assert images.refusals_before(theirs, {"parent"}, delete=False, update=False) == ()
        finally:
            admin.execute("DROP TABLE IF EXISTS child, parent; DROP ROLE okto_parent")


def test_rows_that_refer_to_these_need_not_be_readable_where_no_key_goes(prepared: str) -> None:
    """An UPDATE that leaves the key alone is taken back by a role that may not read the children; a DELETE of parents is not."""
    with psycopg.connect(prepared, autocommit=True) as admin:
        admin.execute("CREATE ROLE okto_merchants; GRANT CREATE ON SCHEMA public TO okto_merchants")
        try:
            admin.execute(
                "DO $$BEGIN EXECUTE format('GRANT CREATE, TEMP ON DATABASE %I TO okto_merchants', current_database()); END$$"
            )
            admin.execute(
                "CREATE TABLE parent (id int PRIMARY KEY, a int); CREATE TABLE child (parent int REFERENCES parent);"
                "INSERT INTO parent VALUES (1, 1), (2, 2); INSERT INTO child VALUES (1); ALTER TABLE parent OWNER TO okto_merchants"
            )
            with connect("ledger", as_role(prepared, "okto_merchants")) as theirs:
                ensure_schema(theirs)
                attempt = guarded(theirs, "r1", "1", {"parent"}, lambda: run(theirs, "UPDATE parent SET a = 0"))
                assert images.restore(theirs, "r1", unit="1").rows == 2
                assert images.proof(theirs, attempt.capture).proven
                theirs.rollback()
                guarded(theirs, "r2", "1", {"parent"}, lambda: run(theirs, "INSERT INTO parent VALUES (3, 3)"))
                with pytest.raises(NotReversible, match="permission denied for table child"):
                    images.restore(theirs, "r2", unit="1")
                theirs.rollback()
        finally:
            admin.execute(
                "DROP TABLE IF EXISTS child, parent; DROP OWNED BY okto_merchants CASCADE; DROP ROLE okto_merchants"
            )


def test_a_refusal_rolls_everything_back(session: Session) -> None:
    """The reasons are listed, and the transaction is closed."""
    with pytest.raises(NotReversible) as caught:
        guarded(session, "r1", "1", {"t"}, lambda: run(session, "SELECT lo_create(0)"))
    assert caught.value.faults == ("large objects were written; they have no triggers",)
    assert not session.in_transaction


def test_names_of_objects_inside_types_of_users_are_refused(session: Session) -> None:
    """A domain, a row or a range of them cannot be followed; beside types that hold no names, which can."""
    session.run(
        "CREATE DOMAIN place AS regclass; CREATE TYPE pair AS (a integer, b place[]); CREATE TYPE mood AS ENUM ('good')"
    )
    session.run("CREATE TABLE named (id integer, p pair); CREATE TABLE plain (id integer, m mood, r regclass)")
    session.begin()
    capture = images.start(session, "r1", "1", {"named", "plain"})
    session.run("INSERT INTO named VALUES (1, NULL); INSERT INTO plain VALUES (1, 'good', 'plain')")
    assert images.account(session, capture).refusals == (
        "public.named holds names of objects inside a type of its own; they cannot be kept as oids",
    )
    session.rollback()
