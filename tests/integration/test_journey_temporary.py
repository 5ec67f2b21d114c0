"""Data fixes that gather rows in a temporary table first: the rows of real tables are imaged and put back, nothing else counts."""

from __future__ import annotations

import pytest

from okto_change.errors import Refused
from okto_change.model import Result
from tests.plugins.journey import PAY, Bank

STEP = "  - {name: pay, target: ledger, sql: pay.sql, touches: [accounts]}\n"
DROP = "  - {name: drop, target: ledger, sql: book.sql}\n"
GATHERED = "UPDATE accounts AS a SET balance = w.amount FROM w WHERE w.id = a.id;\n"
FIXES = {
    "created and filled": "CREATE TEMP TABLE w (id integer PRIMARY KEY, amount numeric);\n"
    "INSERT INTO w SELECT id, balance * 2 FROM accounts WHERE id < 4;\n" + GATHERED,
    "as a query": "CREATE TEMPORARY TABLE w ON COMMIT DROP AS SELECT id, balance * 2 AS amount FROM accounts;\n"
    + GATHERED,
    "selected into": "SELECT id, balance * 2 AS amount INTO TEMP w FROM accounts;\n" + GATHERED,
    "indexed, altered, dropped": "CREATE TEMP TABLE w AS SELECT id, balance * 2 AS amount FROM accounts;\n"
    "CREATE INDEX w_id ON w (id);\nALTER TABLE w ADD COLUMN more text DEFAULT 'x';\nANALYZE w;\n"
    + GATHERED
    + "DROP TABLE w;\n",
    "dropped at the beginning": "CREATE TEMP TABLE w (id integer);\nDROP TABLE w;\nCREATE TEMP TABLE w (id integer, amount numeric);\n"
    "INSERT INTO w VALUES (1, 7);\n" + GATHERED + "DELETE FROM w;\n",
    "a view and a sequence": "CREATE TEMP SEQUENCE n;\nCREATE TEMP VIEW w AS SELECT id, balance * 2 AS amount FROM accounts;\n"
    "UPDATE accounts SET note = nextval('n')::text;\n",
}


@pytest.mark.parametrize("fix", FIXES)
def test_a_fix_by_way_of_a_temporary_table_is_applied_and_taken_back(bank: Bank, fix: str) -> None:
    """Rehearsed with its undo proven, applied, taken back and applied again; images are kept for the real table alone."""
    bank.plan(STEP, pay=FIXES[fix])
    found = bank.journey.dry_run().rehearsal
    assert found is not None and found.failure is None, found
    assert found.undo.proven, found.undo
    assert [writes.table for writes in found.writes] == ["public.accounts"]
    bank.journey.git.commit("Rehearsed")
    for _ in range(2):
        done = bank.journey.apply()
        assert done.result is Result.DONE, done
        assert not bank.unchanged()
        back = bank.journey.rollback()
        assert (back.result, back.state) == (Result.DONE, "every row and key is back as it was")
        assert bank.unchanged()


@pytest.mark.parametrize(
    "sneaky",
    [
        "CREATE TEMP TABLE w (id integer);\nDROP TABLE w;\nDO $$ BEGIN DROP TABLE audit; END $$;\n",
        "CREATE TEMP TABLE w (id integer);\nDROP TABLE w;\nDO $$ BEGIN ALTER TABLE accounts DROP COLUMN note; END $$;\n",
        "CREATE TEMP TABLE w (id integer);\nDO $$ BEGIN CREATE INDEX ON accounts (note); END $$;\n",
        "CREATE TEMP TABLE w (id integer);\nDROP TABLE w;\nDO $$ BEGIN COMMENT ON TABLE accounts IS 'x'; END $$;\n",
    ],
)
def test_what_else_such_a_step_does_to_definitions_is_seen(bank: Bank, sneaky: str) -> None:
    """Temporary objects excuse nothing: the accounts find what is permanent, and nothing is committed."""
    bank.plan(STEP, pay=sneaky)
    done = bank.journey.apply()
    assert done.result is Result.ROLLED_BACK and "not automatically reversible" in done.summary, done
    assert bank.unchanged() and bank.sql("SELECT to_regclass('audit') IS NULL") == [(False,)]


@pytest.mark.parametrize(
    "real",
    [
        "CREATE TEMP TABLE w (id integer);\nDROP TABLE w;\nDROP TABLE audit;\nUPDATE accounts SET note = '';\n",
        "CREATE TEMP TABLE w (id integer);\nALTER TABLE accounts ADD COLUMN w integer;\nUPDATE accounts SET note = '';\n",
        "SET LOCAL search_path = public, pg_temp;\nCREATE TEMP TABLE audit (id integer);\nALTER TABLE audit ADD COLUMN w integer;\n"
        "UPDATE accounts SET note = '';\n",
    ],
)
def test_definitions_of_real_tables_beside_rows_are_refused_as_ever(bank: Bank, real: str) -> None:
    """What is not temporary for sure is DDL, and does not go with rows in one step."""
    with pytest.raises(Refused, match="cannot be locked"):
        bank.plan(STEP, pay=real)


@pytest.mark.parametrize(
    ("fix", "steps"),
    [("created and filled", DROP + STEP), ("a view and a sequence", DROP + STEP), ("as a query", STEP + DROP)],
)
def test_a_table_is_put_aside_beside_such_a_fix(bank: Bank, fix: str, steps: str) -> None:
    """In a database where nothing was put aside before: the rehearsal makes the place for it, and takes it back with all else."""
    assert bank.sql("SELECT to_regnamespace('okto_trash')") == [(None,)]
    bank.sql("CREATE TABLE extra (id serial PRIMARY KEY, account integer REFERENCES accounts, note text DEFAULT 'x')")
    bank.sql("INSERT INTO extra (account) SELECT id FROM accounts; CREATE VIEW extras AS SELECT note FROM extra")
    bank.plan(steps, pay=FIXES[fix], book="DROP TABLE extra CASCADE;\n")
    demand_there_and_back(bank)
    assert bank.sql("SELECT count(*) FROM extras") == bank.sql("SELECT count(*) FROM accounts")


@pytest.mark.parametrize("fix", ["created and filled", "indexed, altered, dropped"])
def test_a_comment_before_such_a_fix_is_no_obstacle(bank: Bank, fix: str) -> None:
    """The rehearsal is one transaction, in which COMMENT keeps its lock on a catalogue."""
    bank.plan(DROP + STEP, pay=FIXES[fix], book="COMMENT ON TABLE accounts IS 'what people own';\n")
    demand_there_and_back(bank)


def test_a_comment_before_a_plain_fix_is_no_obstacle(bank: Bank) -> None:
    """Whatever takes the images."""
    bank.plan(DROP + STEP, pay=PAY, book="COMMENT ON TABLE accounts IS 'what people own';\n")
    demand_there_and_back(bank)


def demand_there_and_back(bank: Bank) -> None:
    """Rehearse, apply and take back a plan in a database without the trash."""
    found = bank.journey.dry_run().rehearsal
    assert found is not None and found.failure is None, found
    assert found.undo.proven, found.undo
    assert bank.sql("SELECT to_regnamespace('okto_trash')") == [(None,)]
    bank.journey.git.commit("Rehearsed")
    done = bank.journey.apply()
    assert done.result is Result.DONE and not bank.unchanged(), done
    back = bank.journey.rollback()
    assert back.result is Result.DONE and bank.unchanged(), back


def test_what_a_change_prepares_does_not_stand_in_the_way_of_its_next_attempt(bank: Bank) -> None:
    """The first attempt finds out which tables EXECUTE writes; what it prepared outlives its rollback, and is forgotten."""
    bank.plan(STEP, pay="PREPARE fix (integer) AS UPDATE accounts SET balance = balance + $1;\nEXECUTE fix (5);\n")
    found = bank.journey.dry_run().rehearsal
    assert found is not None and found.failure is None, found
    assert found.undo.proven, found.undo
    bank.journey.git.commit("Rehearsed")
    assert bank.journey.apply().result is Result.DONE
    assert not bank.unchanged()
    assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged()
