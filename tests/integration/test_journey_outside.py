"""What acts outside the transaction is refused before a rehearsal, however deep it hides: a rehearsal would do it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from okto_change.errors import OktoError
from tests.plugins.journey import Journey

STEP = "  - {name: pay, target: ledger, sql: pay.sql}\n"
TABLES = """
CREATE SEQUENCE numbers; SELECT setval('numbers', 50);
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1);
CREATE FUNCTION deep() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'SELECT setval(''numbers'', 3)'; END$$;
CREATE FUNCTION "Middle"() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM deep ( ); RETURN OLD; END$$;
CREATE TRIGGER watch BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION "Middle"();
CREATE FUNCTION harmless() RETURNS int LANGUAGE sql AS $$SELECT 1 /* setval('numbers', 1) */ $$;
"""


@pytest.fixture
def ask(database: str) -> Callable[[str], object]:
    """Return a way to ask the database, which has tables whose triggers do more than one sees."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES)

    def answer(query: str) -> object:
        with psycopg.connect(database, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    return answer


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM parent WHERE id = 1;\n",
        "SELECT deep();\n",
        "UPDATE parent SET id = 2 WHERE (SELECT public.deep()) IS NULL;\n",
    ],
    ids=["a trigger of a child", "a function called", "a function in WHERE"],
)
def test_setval_in_a_function_is_found_before_the_rehearsal_moves_the_sequence(
    journey: Journey, ask: Callable[[str], object], text: str
) -> None:
    """The dry run names the function, and the sequence stands where it stood."""
    journey.write(STEP, {"pay.sql": text})
    with pytest.raises(OktoError) as refused:
        journey.dry_run()
    assert "public.deep, which this may run, calls setval" in str(refused.value.faults)
    assert ask("SELECT last_value FROM numbers") == 50


def test_a_function_that_only_talks_of_setval_is_no_reason(journey: Journey, ask: Callable[[str], object]) -> None:
    """A comment calls nothing."""
    journey.write(STEP, {"pay.sql": "INSERT INTO parent VALUES (harmless() + 1);\n"})
    rehearsal = journey.dry_run().rehearsal
    assert rehearsal is not None
    assert rehearsal.undo.proven
    assert ask("SELECT last_value FROM numbers") == 50


def test_a_database_whose_dates_are_not_iso_is_worked_on(journey: Journey, database: str) -> None:
    """Moments of ours are read whatever the database is set to, and the author's SQL finds its settings as they are."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE said (id int PRIMARY KEY, day text); INSERT INTO said VALUES (1, '')")
        connection.execute(
            "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET datestyle = German', current_database());"
            " EXECUTE format('ALTER DATABASE %I SET intervalstyle = sql_standard', current_database()); END$$"
        )
    journey.write(STEP, {"pay.sql": "UPDATE said SET day = date '2026-11-23' WHERE id = 1;\n"})
    journey.dry_run()
    journey.git.commit("Rehearsed")
    assert journey.apply().result.value == "done"
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT day FROM said").fetchall() == [("23.11.2026",)]
    assert journey.journal()
    assert "turn" not in str(journey.status())
    assert journey.rollback().result.value == "done"
