"""A redo is the change once more, whatever state it left; only what somebody did since stands in its way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from okto_change.database.session import READ_COMMITTED, REPEATABLE_READ, Session, connect
from okto_change.database.state import ensure_schema
from okto_change.errors import Conflict
from okto_change.execution import images
from tests.integration.case_driver import Rows, rows
from tests.plugins.attempts import guarded

PARENT_AND_CHILD = """
CREATE TABLE p (id int PRIMARY KEY, a int);
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p{actions}, note text);
INSERT INTO p VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO c VALUES (1, 1, 'one'), (2, 2, 'two');
"""
REPLICA = "SET LOCAL session_replication_role = replica"
KEYLESS = """
CREATE TABLE p (id int UNIQUE, a int);
CREATE TABLE c (id int PRIMARY KEY, p int DEFAULT 1 REFERENCES p (id) ON DELETE SET DEFAULT, note text);
INSERT INTO p VALUES (1, 1), (2, 2), (3, 3), (NULL, 4);
INSERT INTO c VALUES (1, 1, 'one'), (2, 2, 'two');
"""
LISTENING = """
CREATE TABLE log (what text);
CREATE TABLE p (id int PRIMARY KEY, a int);
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE {action}, note text);
INSERT INTO p VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO c VALUES (1, 1, 'one'), (2, 2, 'two');
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END$$;
CREATE TRIGGER told AFTER UPDATE OR DELETE ON c FOR EACH STATEMENT EXECUTE FUNCTION told();
"""


@dataclass
class Bench:
    """A database, our session there and somebody else's, in autocommit."""

    conninfo: str
    session: Session
    other: psycopg.Connection[tuple[object, ...]]
    start: Rows = field(default_factory=dict)

    def made(self, schema: str, *statements: str) -> Rows:
        """Make the schema, apply a change and take it back; return the rows that it had left."""
        self.other.execute(schema)
        self.start = self.rows()

        def change() -> None:
            self.session.run("; ".join(statements))

        attempt = guarded(self.session, "run", "1", (), change)
        images.finish(self.session, attempt.capture)
        self.session.commit()
        images.clean_up(self.session)
        applied = self.rows()
        self.restore("run", "undo")
        assert self.rows() == self.start
        return applied

    def restore(self, run: str, name: str, *, only_clean: bool = False) -> images.Restored:
        """Take a run back in a transaction of its own."""
        self.session.begin(isolation=READ_COMMITTED)
        try:
            restored = images.restore(self.session, run, unit="1", undo_run=name, only_clean=only_clean)
            self.session.commit()
        finally:
            self.session.rollback()
        images.clean_up(self.session)
        return restored

    def rows(self) -> Rows:
        """Return every row there is."""
        return rows(self.conninfo)

    def demand_redo(self, applied: Rows) -> None:
        """Redo, take that back, and redo again: the rows of the change each time, and those of before in between."""
        self.restore("undo", "redo")
        assert self.rows() == applied
        self.restore("redo", "undo again")
        assert self.rows() == self.start
        self.restore("undo again", "redo again")
        assert self.rows() == applied

    def conflicts(self) -> tuple[str, ...]:
        """Try to redo; return what stands in its way. Nothing is changed."""
        before = self.rows()
        with pytest.raises(Conflict) as caught:
            self.restore("undo", "redo")
        assert self.rows() == before
        return caught.value.faults


@pytest.fixture
def bench(database: str) -> Iterator[Bench]:
    """Return an empty database with the schema of okto-change."""
    with connect("ledger", database) as session, psycopg.connect(database, autocommit=True) as other:
        ensure_schema(session)
        yield Bench(database, session, other)


# ------------------------------------------------------------------------------ references that nobody checked


@pytest.mark.parametrize("actions", ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE SET DEFAULT"])
@pytest.mark.parametrize(
    "change",
    [
        ("DELETE FROM p WHERE id < 3",),
        ("UPDATE p SET id = id + 10",),
        ("UPDATE p SET id = id + 100", "UPDATE p SET id = id - 99"),
        ("TRUNCATE p CASCADE", "INSERT INTO c VALUES (1, 1, 'again'), (7, 7, 'seven')"),
        ("INSERT INTO c VALUES (7, 7, 'seven'), (8, 3, 'eight')",),
        ("UPDATE c SET p = p + 40, note = 'lost'",),
        ("DELETE FROM p WHERE id = 1", "UPDATE c SET note = 'kept'"),
        ("DELETE FROM p WHERE id = 2", "UPDATE c SET p = 9 WHERE id = 1", "INSERT INTO p VALUES (4, 4)"),
    ],
)
def test_what_a_change_did_as_a_replica_is_done_again(bench: Bench, actions: str, change: tuple[str, ...]) -> None:
    """Rows that refer to nothing after the change do so after its redo."""
    applied = bench.made(PARENT_AND_CHILD.format(actions=actions), REPLICA, *change)
    bench.demand_redo(applied)


@pytest.mark.parametrize(
    ("change", "meanwhile", "named"),
    [
        (
            "DELETE FROM p WHERE id = 1",
            "INSERT INTO c VALUES (5, 1, 'new')",
            "public.p (id=1): 1 rows of public.c that others wrote refer to it",
        ),
        (
            "DELETE FROM p WHERE id = 1",
            "UPDATE c SET note = 'worked on' WHERE id = 1",
            "public.p (id=1): 1 rows of public.c that others wrote refer to it",
        ),
        (
            "INSERT INTO c VALUES (7, 7, 'lost'), (8, 3, 'eight')",
            "DELETE FROM p WHERE id = 3",
            "public.c (id=8): the row of public.p that it refers to is gone",
        ),
        ("UPDATE c SET p = 9", "UPDATE c SET note = 'worked on' WHERE id = 1", "public.c (id=1): changed since: note"),
        (
            "INSERT INTO c VALUES (7, 7, 'lost')",
            "INSERT INTO c VALUES (7, 3, 'another')",
            "public.c (id=7): another row has this key now",
        ),
    ],
)
def test_references_that_others_made_since_stand_in_the_way(
    bench: Bench, change: str, meanwhile: str, named: str
) -> None:
    """The redo of what was done as a replica checks every reference that the change itself did not break."""
    bench.made(PARENT_AND_CHILD.format(actions=" ON DELETE CASCADE"), REPLICA, change)
    bench.other.execute(meanwhile)
    assert bench.conflicts() == (named,)


def test_a_value_that_is_unique_in_the_end_only_is_not_taken_twice(bench: Bench) -> None:
    """A replica does not check deferrable unique constraints either."""
    schema = "CREATE TABLE t (id int PRIMARY KEY, v int UNIQUE DEFERRABLE); INSERT INTO t VALUES (1, 1), (2, 2)"
    bench.made(schema, REPLICA, "UPDATE t SET v = 7 WHERE id = 1")
    bench.other.execute("INSERT INTO t VALUES (3, 7)")
    assert bench.conflicts() == ("public.t (id=1): another row has its value of (v) now",)


@pytest.fixture
def humble(bench: Bench) -> Iterator[str]:
    """Return a role that may do everything with the rows of all tables, and set no role of a replica."""
    role = f"okto_humble_{os.getpid()}"
    bench.other.execute(f"CREATE ROLE {role}".encode())
    yield role
    bench.other.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def test_a_role_that_may_not_be_a_replica_has_its_references_checked(bench: Bench, humble: str) -> None:
    """It could not have made such a change either; nothing is changed when it tries to redo that of somebody who can."""
    bench.made(PARENT_AND_CHILD.format(actions=""), REPLICA, "DELETE FROM p WHERE id = 1")
    bench.other.execute(
        f"GRANT ALL ON SCHEMA okto_change TO {humble}; GRANT ALL ON ALL TABLES IN SCHEMA okto_change TO {humble};"
        f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA okto_change TO {humble};"
        f"ALTER TABLE p OWNER TO {humble}; ALTER TABLE c OWNER TO {humble}".encode()
    )
    with connect("ledger", make_conninfo(bench.conninfo, options=f"-c role={humble}")) as bench.session:
        assert bench.conflicts() == ("public.p (id=1): 1 rows of public.c that others wrote refer to it",)


SWALLOWING = """
CREATE TABLE p (id int PRIMARY KEY, a int);
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE {action} ON UPDATE {action}, note text);
INSERT INTO p VALUES (1, 1), (2, 2), (3, 3);
INSERT INTO c VALUES (1, 1, 'one'), (2, 1, 'kept'), (3, 2, 'two');
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
    IF OLD.note = 'kept' THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD); END$$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON c FOR EACH ROW EXECUTE FUNCTION keep();
"""


@pytest.mark.parametrize("action", ["SET NULL", "CASCADE"])
@pytest.mark.parametrize("change", ["DELETE FROM p WHERE id = 1", "UPDATE p SET id = 11 WHERE id = 1"])
def test_what_a_trigger_kept_from_following_its_parent_is_left_again(bench: Bench, action: str, change: str) -> None:
    """A trigger can swallow what a foreign key carries on: then too rows refer to nothing. Rows of others are looked at as ever."""
    applied = bench.made(SWALLOWING.format(action=action), change)
    bench.demand_redo(applied)
    bench.restore("redo again", "undo at last")
    bench.other.execute("INSERT INTO c VALUES (9, 1, 'new')")
    with pytest.raises(Conflict) as caught:
        bench.restore("undo at last", "redo at last")
    assert caught.value.faults == ("public.p (id=1): 1 rows of public.c that others wrote refer to it",)


def test_what_was_done_as_a_replica_before_concerns_that_capture_alone(bench: Bench) -> None:
    """A rehearsal has the units of a plan in one transaction."""
    bench.other.execute(PARENT_AND_CHILD.format(actions=""))
    bench.session.begin(isolation=REPEATABLE_READ)
    for number, role in enumerate(("replica", "origin")):
        capture = images.start(bench.session, "run", str(number), ("p",))
        bench.session.run(f"SET LOCAL session_replication_role = {role}; UPDATE p SET a = a + 1")
        images.account(bench.session, capture)
    marked = bench.session.texts(
        "SELECT k.unit FROM okto_change.unchecked AS u JOIN okto_change.capture AS k ON k.id = u.capture"
    )
    assert marked[1] == [("0",)]
    bench.session.rollback()


# ------------------------------------------------------------------------------ what foreign keys set off


@pytest.mark.parametrize("action", ["SET DEFAULT", "SET NULL", "CASCADE"])
def test_a_row_that_others_refer_to_is_written_in_its_place(bench: Bench, action: str) -> None:
    """Without a key rows are found by content; deleted and inserted anew they would take their children along."""
    schema = KEYLESS.replace("SET DEFAULT", action)
    applied = bench.made(
        schema, "UPDATE p SET a = a + 1", "INSERT INTO c VALUES (3, 2, 'three')", "INSERT INTO p VALUES (NULL, 5)"
    )
    bench.demand_redo(applied)


def test_a_row_without_a_key_that_others_wrote_again_stands_in_the_way(bench: Bench) -> None:
    """Also where its unique value is the same."""
    bench.made(KEYLESS, "UPDATE p SET a = a + 1")
    bench.other.execute("UPDATE p SET a = 70 WHERE id = 2")
    assert bench.conflicts() == (
        "public.p: a row that the change left was changed, removed or written again since (1 times)",
        "public.p: a row: another row has its value of (id) now",
    )
    restored = bench.restore("undo", "redo", only_clean=True)
    assert (restored.rows, len(restored.conflicts)) == (4, 2)
    found = bench.other.execute("SELECT id, a FROM p ORDER BY id").fetchall()
    assert found == [(1, 2), (2, 70), (3, 4), (None, 5)]


@pytest.mark.parametrize("action", ["SET DEFAULT", "SET NULL", "CASCADE"])
def test_triggers_of_tables_that_are_reached_without_a_row_stay_silent(bench: Bench, action: str) -> None:
    """A foreign key sets off a statement on the other table even where it concerns no row."""
    applied = bench.made(LISTENING.format(action=action), "DELETE FROM p WHERE id = 3", "INSERT INTO log VALUES ('x')")
    bench.demand_redo(applied)


def test_what_such_a_trigger_told_others_since_is_kept(bench: Bench) -> None:
    """The row that it wrote for somebody else stays; a row that refers to the parent since stands in the way."""
    applied = bench.made(LISTENING.format(action="SET NULL"), "DELETE FROM p WHERE id = 3")
    bench.other.execute("UPDATE c SET note = note WHERE id = 1")
    bench.restore("undo", "redo")
    assert sorted(bench.rows()["public.log"]) == sorted([*applied["public.log"], "(UPDATE)"])
    bench.restore("redo", "undo again")
    bench.other.execute("UPDATE c SET p = 3 WHERE id = 1")
    with pytest.raises(Conflict, match="destroy") as caught:
        bench.restore("undo again", "redo again")
    assert caught.value.faults == ("public.p (id=3): 1 rows of public.c that others wrote refer to it",)
