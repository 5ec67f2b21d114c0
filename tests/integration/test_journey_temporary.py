"""Data fixes that gather rows in a temporary table first: the rows of real tables are imaged and put back, nothing else counts."""

from __future__ import annotations

import pytest

from okto_change.errors import Refused
from okto_change.model import Result
from tests.plugins.journey import Bank

STEP = "  - {name: pay, target: ledger, sql: pay.sql, touches: [accounts]}\n"
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
