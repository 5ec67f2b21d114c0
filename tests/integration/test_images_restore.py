"""Rows come back in a later session, conflicts are named, and nobody waits longer than the lock timeout."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import psycopg
import pytest

from okto_change.database.session import READ_COMMITTED, Session, connect
from okto_change.database.state import ensure_schema
from okto_change.errors import Conflict, DatabaseError, NotReversible
from okto_change.execution import images
from okto_change.model import Timeouts
from tests.plugins.attempts import Attempt, guarded

TABLES = """
CREATE TABLE p (id int PRIMARY KEY, email text UNIQUE, n int);
CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE, note text);
INSERT INTO p SELECT g, 'p' || g, g FROM generate_series(1, 10) AS g;
INSERT INTO c SELECT g, 1 + g % 10, 'c' || g FROM generate_series(1, 30) AS g;
"""


@pytest.fixture
def other(database: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Return the connection of somebody else, in autocommit, to a database with two tables."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)
        yield connection


@pytest.fixture
def session(database: str, other: psycopg.Connection[tuple[object, ...]]) -> Iterator[Session]:
    """Return a session to that database with the schema of okto-change installed."""
    assert not other.closed
    with connect("ledger", database) as opened:
        ensure_schema(opened)
        yield opened


def apply(session: Session, *statements: str, run: str = "r1") -> Attempt:
    """Run statements as a captured change and commit it."""
    attempt = guarded(session, run, "1", (), lambda: run_all(session, statements))
    images.finish(session, attempt.capture)
    session.commit()
    assert images.clean_up(session) == ()
    return attempt


def run_all(session: Session, statements: Iterable[str]) -> None:
    """Run statements one after the other."""
    for statement in statements:
        session.run(statement)


def undo(
    session: Session, *, run: str = "r1", only_clean: bool = False, timeouts: Timeouts | None = None
) -> images.Restored:
    """Roll a run back in a transaction of its own; roll that back when it raises."""
    session.begin(timeouts, isolation=READ_COMMITTED)
    try:
        restored = images.restore(session, run, unit="1", only_clean=only_clean)
        session.commit()
    finally:
        session.rollback()
    images.clean_up(session)
    return restored


def content(other: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return every row of both tables."""
    return [
        *other.execute("SELECT 'p', id, email, n::text FROM p ORDER BY 2").fetchall(),
        *other.execute("SELECT 'c', id, p::text, note FROM c ORDER BY 2").fetchall(),
    ]


def test_a_later_session_restores_from_the_image_table_alone(
    database: str, session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Nothing of the first session is needed."""
    before = content(other)
    apply(session, "DELETE FROM p WHERE id <= 4", "UPDATE p SET email = upper(email), n = -n")
    session.close()
    with connect("ledger", database) as later:
        assert undo(later).rows == 4 + 12 + 6
    assert content(other) == before


def test_a_second_rollback_finds_nothing_left_to_undo(
    session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """What stands of a run is its effect less what was taken back."""
    apply(session, "UPDATE p SET n = 0")
    assert undo(session).rows == 10
    after = content(other)
    assert undo(session).rows == 0
    assert content(other) == after


def test_a_run_without_images_cannot_be_restored(session: Session) -> None:
    """The message names the run."""
    session.begin(isolation=READ_COMMITTED)
    with pytest.raises(NotReversible, match="no images of run nobody"):
        images.restore(session, "nobody", unit="1")
    session.rollback()


def test_only_clean_leaves_the_rows_that_others_changed(
    session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Dirty rows are named and stay, also one that was written again with equal values; what gets clean can be undone later."""
    before = content(other)
    apply(session, "UPDATE p SET n = 0 WHERE id <= 5", "DELETE FROM c WHERE id <= 3")
    other.execute("UPDATE p SET email = 'changed' WHERE id = 2")
    other.execute("INSERT INTO c VALUES (3, 3, 'reused')")
    with pytest.raises(Conflict) as caught:
        undo(session)
    assert set(caught.value.faults) == {
        "public.c (id=3): another row has this key now",
        "public.p (id=2): changed since: email",
    }
    restored = undo(session, only_clean=True)
    assert (restored.rows, len(restored.conflicts)) == (4 + 2, 2)
    assert other.execute("SELECT id, n FROM p WHERE n = 0").fetchall() == [(2, 0)]
    assert other.execute("SELECT note FROM c WHERE id = 3").fetchall() == [("reused",)]
    other.execute("UPDATE p SET email = 'p2' WHERE id = 2")
    other.execute("DELETE FROM c WHERE id = 3")
    with pytest.raises(Conflict) as again:
        undo(session)
    assert again.value.faults == ("public.p (id=2): written again since, with the same values",)
    restored = undo(session, only_clean=True)
    assert (restored.rows, len(restored.conflicts)) == (1, 1)
    other.execute("UPDATE p SET n = 2 WHERE id = 2")
    assert content(other) == before


@pytest.mark.parametrize(
    ("table", "change", "theirs"),
    [
        ("x (id int, n int)", "UPDATE x SET n = n + 10", "UPDATE x SET n = 99 WHERE id = 2"),
        ("x (id int UNIQUE, n int)", "UPDATE x SET id = id + 10", "UPDATE x SET n = 99 WHERE id = 12"),
        ("x (id int PRIMARY KEY, n int)", "UPDATE x SET id = id + 10", "UPDATE x SET n = 99 WHERE id = 12"),
        ("x (id int PRIMARY KEY, n int)", "UPDATE x SET id = id + 10", "INSERT INTO x VALUES (2, 99)"),
        (
            "x (id int, n int, PRIMARY KEY (id, n)) PARTITION BY RANGE (n)",
            "UPDATE x SET n = n + 10",
            "DELETE FROM x WHERE n = 12",
        ),
    ],
)
def test_only_clean_never_leaves_a_row_beside_what_it_became(
    session: Session, other: psycopg.Connection[tuple[object, ...]], table: str, change: str, theirs: str
) -> None:
    """Where no key pairs rows with what they were, one that is left keeps all of those: none is there twice, none is lost."""
    other.execute(f"CREATE TABLE {table}".encode())
    if "PARTITION" in table:
        other.execute("CREATE TABLE x1 PARTITION OF x FOR VALUES FROM (0) TO (10)")
        other.execute("CREATE TABLE x2 PARTITION OF x FOR VALUES FROM (10) TO (100)")
    other.execute("INSERT INTO x SELECT g, g FROM generate_series(1, 3) AS g")
    apply(session, change)
    other.execute(theirs.encode())
    left = other.execute("SELECT id, n FROM x ORDER BY id, n").fetchall()
    restored = undo(session, only_clean=True)
    assert restored.rows == 0
    assert any("no key says so" in reason for reason in restored.conflicts)
    assert other.execute("SELECT id, n FROM x ORDER BY id, n").fetchall() == left


def test_only_clean_takes_back_what_unique_columns_pair(
    session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """In a table without a key: the row that somebody changed keeps its former self away, though its value is free again."""
    other.execute("CREATE TABLE x (id int UNIQUE, n int)")
    other.execute("INSERT INTO x SELECT g, g FROM generate_series(1, 3) AS g")
    apply(session, "UPDATE x SET n = n + 10")
    other.execute("UPDATE x SET id = 50 WHERE id = 2")
    assert undo(session, only_clean=True).rows == 4
    assert other.execute("SELECT id, n FROM x ORDER BY id").fetchall() == [(1, 1), (3, 3), (50, 12)]


def test_a_conflict_names_the_rows_and_changes_nothing(
    session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Changed, removed, taken and depended on are told apart, and no value of a row is shown but its key."""
    apply(session, "UPDATE p SET n = n + 1, email = 'new' || id WHERE id <= 3", "INSERT INTO p VALUES (50, 'x50', 50)")
    other.execute("UPDATE p SET n = 99 WHERE id = 1")
    other.execute("DELETE FROM p WHERE id = 2")
    other.execute("INSERT INTO p VALUES (60, 'p3', 1)")
    other.execute("INSERT INTO c VALUES (100, 50, 'mine'), (101, 50, 'mine')")
    meanwhile = content(other)
    with pytest.raises(Conflict) as caught:
        undo(session)
    assert set(caught.value.faults) == {
        "public.p (id=1): changed since: n",
        "public.p (id=2): removed since",
        "public.p (id=3): another row has its value of (email) now",
        "public.p (id=50): 2 rows of public.c that others wrote refer to it",
    }
    assert content(other) == meanwhile


def test_a_writer_in_the_way_is_waited_for_no_longer_than_the_lock_timeout(
    database: str, session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """The rollback fails cleanly with nothing changed, and works when the writer is gone."""
    before = content(other)
    apply(session, "UPDATE p SET n = 0")
    with psycopg.connect(database) as writer:
        writer.execute("UPDATE p SET n = n WHERE id = 1")
        began = time.monotonic()
        with pytest.raises(DatabaseError) as caught:
            undo(session, timeouts=Timeouts(lock=300, statement=5_000))
        assert caught.value.sqlstate == "55P03"
        assert time.monotonic() - began > 0.2
        writer.rollback()
    undo(session)
    assert content(other) == before


def test_the_row_locks_of_a_reader_are_waited_for_no_longer_than_the_lock_timeout(
    database: str, session: Session, other: psycopg.Connection[tuple[object, ...]]
) -> None:
    """SELECT FOR UPDATE takes no table lock that ours would meet, only the row's."""
    apply(session, "UPDATE p SET n = 0")
    with psycopg.connect(database) as reader:
        reader.execute("SELECT FROM p WHERE id = 1 FOR UPDATE")
        with pytest.raises(DatabaseError) as caught:
            undo(session, timeouts=Timeouts(lock=300, statement=5_000))
        assert caught.value.sqlstate == "55P03"
    assert other.execute("SELECT sum(n) FROM p").fetchone() == (0,)


def test_twenty_thousand_rows_come_back(session: Session, other: psycopg.Connection[tuple[object, ...]]) -> None:
    """Updates, deletes with cascade, and rows of a table without a key."""
    other.execute("INSERT INTO p SELECT g, 'e' || g, g FROM generate_series(11, 20000) AS g")
    other.execute("INSERT INTO c SELECT g, g - 20, 'x' FROM generate_series(31, 20000) AS g")
    other.execute("CREATE TABLE heap AS SELECT g % 100 AS a FROM generate_series(1, 20000) AS g")
    before = content(other)
    apply(
        session, "UPDATE p SET n = -n WHERE id > 10000", "DELETE FROM p WHERE id <= 10000", "UPDATE heap SET a = a + 1"
    )
    undo(session)
    assert content(other) == before


def test_the_net_change_is_shown_row_by_row_with_its_key(session: Session) -> None:
    """A row that was changed twice is one change, one that is back as it was is none; at most the asked number a table."""
    apply(
        session,
        "UPDATE p SET n = n + 1 WHERE id <= 3",
        "UPDATE p SET n = n - 1 WHERE id = 2",
        "DELETE FROM c WHERE id = 7",
        "INSERT INTO p VALUES (11, NULL, 5)",
    )
    session.begin()
    changes = images.sample(session, "r1")
    assert len(images.sample(session, "r1", limit=1)) == 2
    session.rollback()
    assert [(change.table, dict(change.key)) for change in changes] == [
        ("public.c", {"id": "7"}),
        ("public.p", {"id": "1"}),
        ("public.p", {"id": "3"}),
        ("public.p", {"id": "11"}),
    ]
    deleted, first, _, inserted = changes
    assert deleted.after is None and deleted.before == "(7,8,c7)"
    assert dict(first.columns) == {"n": ("1", "2")}
    assert inserted.before is None and dict(inserted.columns) == {"id": (None, "11"), "n": (None, "5")}
