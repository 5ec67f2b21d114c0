"""Ways round the capture: rows that a step writes through another table, or past triggers, are seen before COMMIT."""

from __future__ import annotations

import pytest

from okto_change.model import Result
from tests.plugins.journey import Bank

GONE = "undo: {irreversible: the paper archive has it}"
THROUGH = "DO $$ BEGIN\n  ALTER TABLE book ATTACH PARTITION page FOR VALUES FROM (0) TO (10);\n  {write};\n  ALTER TABLE book DETACH PARTITION page;\nEND $$;\n"


@pytest.fixture
def shelf(bank: Bank) -> Bank:
    """Return a bank with a partitioned table and a table that could be one of its partitions."""
    bank.sql("CREATE TABLE book (k integer NOT NULL, v text) PARTITION BY RANGE (k)")
    bank.sql("CREATE TABLE page (k integer NOT NULL, v text)")
    bank.sql("INSERT INTO page VALUES (1, 'one'), (2, 'two')")
    return bank


@pytest.mark.parametrize(
    "write", ["UPDATE book SET v = 'x'", "INSERT INTO book VALUES (3, 'three')", "DELETE FROM book WHERE k = 1"]
)
@pytest.mark.parametrize("way", [GONE, "undo: auto"])
def test_rows_written_through_a_parent_of_a_moment_are_seen(shelf: Bank, write: str, way: str) -> None:
    """A DO block attaches a table, writes through the parent and detaches it again: what it wrote is not declared."""
    step = f"  - {{name: sneak, target: ledger, sql: pay.sql, touches: [accounts], {way}}}\n"
    shelf.plan(step, pay=THROUGH.format(write=write))
    done = shelf.journey.apply()
    assert done.result is Result.ROLLED_BACK, done
    assert "page" in str(done) or "catalogue" in str(done), done
    assert shelf.sql("SELECT * FROM page ORDER BY k") == [(1, "one"), (2, "two")]


def test_rows_written_while_the_capture_is_switched_off_are_seen(bank: Bank) -> None:
    """An irreversible step needs no images; the tables that it writes must be declared all the same."""
    step = f"  - {{name: sneak, target: ledger, sql: pay.sql, touches: [audit], {GONE}}}\n"
    off = "DO $$ BEGIN\n  ALTER TABLE accounts DISABLE TRIGGER ALL;\n  UPDATE accounts SET note = 'x';\n  ALTER TABLE accounts ENABLE TRIGGER ALL;\nEND $$;\n"
    bank.plan(step, pay=off)
    done = bank.journey.apply()
    assert done.result is Result.ROLLED_BACK and "accounts: 5 rows" in str(done), done
    assert bank.unchanged()


def test_rows_that_a_subtransaction_took_back_are_no_alarm(bank: Bank) -> None:
    """Counters count them, images do not: the run looks again row by row, and goes through."""
    bank.sql(
        "CREATE FUNCTION tried() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " BEGIN INSERT INTO audit VALUES (1); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;"
        " INSERT INTO audit VALUES (NEW.id); RETURN NEW; END $$"
    )
    bank.sql("CREATE TRIGGER tried BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION tried()")
    bank.plan("  - {name: pay, target: ledger, sql: pay.sql, rows: 2, touches: [accounts, audit]}\n")
    before = bank.state()
    assert bank.journey.apply().result is Result.DONE
    assert bank.sql("SELECT count(*) FROM audit") == [(2,)]
    assert bank.journey.rollback().result is Result.DONE and bank.state() == before


@pytest.mark.parametrize(
    ("body", "images"),
    [
        ("UPDATE accounts SET note = 'x';", [("U",), ("u",)]),
        (
            "BEGIN UPDATE accounts SET note = 'y'; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;"
            " UPDATE accounts SET note = 'x';",
            [("U",)],
        ),
    ],
    ids=["plain", "taken back"],
)
def test_a_block_is_imaged_by_statement_and_by_row_where_that_does_not_add_up(
    bank: Bank, body: str, images: list[tuple[str]]
) -> None:
    """A statement's images are rows before and rows after, each by itself; a row's are one."""
    bank.plan(
        "  - {name: pay, target: ledger, sql: pay.sql, touches: [accounts]}\n", pay=f"DO $$ BEGIN {body} END $$;\n"
    )
    before = bank.state()
    assert bank.journey.apply().result is Result.DONE
    assert bank.sql('SELECT DISTINCT op::text COLLATE "C" FROM okto_change.image ORDER BY 1') == images
    assert bank.journey.rollback().result is Result.DONE and bank.state() == before
