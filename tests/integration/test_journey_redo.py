"""Taking back in parts, looking before it, and putting back what was taken back: each row and key, or a named conflict."""

from __future__ import annotations

import pytest

from okto_change import pipeline
from okto_change.model import Event, EventKind, Result
from okto_change.report.verdict import outcome_code
from tests.plugins.journey import CHANGE, EDIT, FIRST, LAST, STEPS, Bank

NEW = "CREATE TABLE fees (id int PRIMARY KEY);\n"
SCHEMA = "  - {name: fees, target: ledger, sql: fees.sql, touches: [fees], undo: fees.undo.sql}\n"
CHECKS = """checks:
  before:
    - {name: two are poor, target: ledger, statement: "SELECT count(*) FROM accounts WHERE balance < 250", expect: 2}
  inside:
    - {name: none is poorer, target: ledger, statement: "SELECT count(*) FROM accounts WHERE balance < 100", expect: 0}
"""


def test_what_only_clean_left_is_taken_back_when_the_conflict_is_gone(bank: Bank) -> None:
    """The first undo says that it took back a part; the last one leaves everything as it was."""
    bank.plan(FIRST + EDIT)
    bank.journey.apply()
    bank.file.write_text(bank.file.read_text().replace("8000", "9000"))
    part = bank.journey.rollback(only_clean=True)
    assert part.result is Result.CONFLICT and part.summary.startswith("took back a part of run")
    assert "okto-change rollback" in str(part.hint) and bank.journey.status().state == "conflict"
    assert bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(100,)]
    bank.file.write_text(bank.file.read_text().replace("9000", "8000"))
    rest = bank.journey.rollback()
    assert rest.result is Result.DONE and bank.unchanged(), rest
    assert bank.journey.rollback().result is Result.NOTHING_TO_UNDO
    assert bank.journey.status().state == "undone"


def test_only_clean_that_leaves_every_row_says_so_and_a_later_one_takes_the_rest(bank: Bank) -> None:
    """A row in conflict because others depend on it is free again when they are gone."""
    bank.sql("CREATE TABLE cards (account int REFERENCES accounts)")
    insert = "INSERT INTO accounts VALUES (8, 1, 'x');\n"
    bank.plan(FIRST.replace("rows: 2", "rows: 1"), pay=insert)
    assert bank.journey.apply().result is Result.DONE
    bank.sql("INSERT INTO cards VALUES (8)")
    none = bank.journey.rollback(only_clean=True)
    assert (none.result, outcome_code(none, undo=True)) == (Result.CONFLICT, 6)
    assert none.summary.startswith("took back nothing of run") and "nothing else" in none.state, none
    bank.sql("DELETE FROM cards")
    assert bank.journey.rollback().result is Result.DONE
    assert bank.unchanged()


def test_a_redo_puts_rows_and_keys_back_and_can_be_taken_back_itself(bank: Bank) -> None:
    """Five times, with one journal that tells of each; what is applied is told as such."""
    bank.plan(STEPS)
    done = bank.journey.apply()
    after = bank.state()
    for _ in range(5):
        assert bank.journey.rollback().result is Result.DONE and bank.unchanged()
        again = bank.journey.redo()
        assert again.result is Result.DONE and bank.state() == after, again
        assert again.run != done.run and bank.journey.status().state == "applied"
        assert bank.journey.apply().result is Result.ALREADY_APPLIED
        assert bank.journey.redo().result is Result.NOTHING_TO_REDO
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()
    assert len(bank.journey.written(str(again.run))) > 5


def test_a_redo_after_an_undo_in_two_parts_puts_both_back(bank: Bank) -> None:
    """What the first undo took and what the second one took."""
    bank.plan(FIRST + EDIT)
    bank.journey.apply()
    after = bank.state()
    bank.file.write_text(bank.file.read_text().replace("8000", "9000"))
    bank.journey.rollback(only_clean=True)
    bank.file.write_text(bank.file.read_text().replace("9000", "8000"))
    bank.journey.rollback()
    assert bank.unchanged()
    assert bank.journey.redo().result is Result.DONE
    assert bank.state() == after


def test_a_redo_stops_where_somebody_changed_a_row_since_the_undo(bank: Bank) -> None:
    """The row is named, nothing is changed in any unit, and the change stays undone."""
    bank.plan(STEPS)
    bank.journey.apply()
    bank.journey.rollback()
    bank.sql("UPDATE accounts SET balance = 7 WHERE id = 2")
    meanwhile = bank.state()
    again = bank.journey.redo()
    assert (again.result, outcome_code(again)) == (Result.CONFLICT, 6)
    assert "id=2" in again.conflicts[0] and "nothing was changed" in again.state and bank.state() == meanwhile
    assert bank.journey.status().state == "undone"
    assert bank.journey.apply().result is Result.DONE


def test_a_check_inside_that_no_longer_holds_stops_a_redo(bank: Bank) -> None:
    """Others moved the world since: failing before COMMIT is free."""
    bank.plan(FIRST, checks=CHECKS)
    bank.journey.apply()
    bank.journey.rollback()
    bank.sql("UPDATE accounts SET balance = 5 WHERE id = 4")
    again = bank.journey.redo()
    assert again.result is Result.ROLLED_BACK and "none is poorer" in again.summary
    assert bank.journey.status().state == "undone"


def test_a_change_that_was_never_rolled_back_has_nothing_to_redo(bank: Bank) -> None:
    """Never run, or standing."""
    bank.plan(FIRST)
    assert bank.journey.redo().result is Result.NOTHING_TO_REDO
    run = bank.journey.apply().run
    assert f"run {run} stands" in bank.journey.redo().summary


def test_a_preview_shows_what_would_come_back_and_changes_nothing(bank: Bank) -> None:
    """Rows by table and key, the diff of the file, conflicts, and the checks of before, asked of what would be."""
    bank.plan(FIRST + EDIT, checks=CHECKS)
    run = bank.journey.apply().run
    meanwhile, entries = bank.state(), len(bank.journey.journal())
    shown = bank.journey.rollback_preview()
    assert (shown.run, shown.steps, shown.conflicts) == (run, ("wait longer", "pay"), ())
    assert [(one.table, one.updated) for one in shown.writes] == [("public.accounts", 2)]
    assert [(row.key, row.columns["balance"]) for row in shown.rows] == [
        ({"id": "1"}, ("101.00", "100.00")),
        ({"id": "2"}, ("201.00", "200.00")),
    ]
    assert "-    timeout_ms: 8000" in shown.edits[0][1] and [check.passed for check in shown.checks] == [True]
    bank.sql("UPDATE accounts SET balance = 7 WHERE id = 2")
    shown = bank.journey.rollback_preview()
    assert [row.key for row in shown.rows] == [{"id": "1"}] and "id=2" in shown.conflicts[0]
    bank.sql("UPDATE accounts SET balance = 201 WHERE id = 2")
    assert bank.state() == meanwhile and len(bank.journey.journal()) == entries
    assert bank.journey.rollback(only_clean=True).result is Result.CONFLICT
    again = bank.journey.redo_preview()
    assert again.redo and [row.columns["balance"] for row in again.rows] == [("100.00", "101.00")]
    assert "+    timeout_ms: 8000" in again.edits[0][1]


def test_an_undo_says_where_the_world_is_not_as_the_plan_found_it(bank: Bank) -> None:
    """Every row is back; that a check of before finds another figure is told, and stops nothing."""
    bank.plan(FIRST, checks=CHECKS)
    bank.journey.apply()
    bank.sql("UPDATE accounts SET balance = 5 WHERE id = 4")
    back = bank.journey.rollback()
    assert back.result is Result.DONE and [check.passed for check in back.checks] == [False]
    assert "'two are poor' expected 2 before the change, finds 3 now" in back.notes[-1]


@pytest.mark.parametrize("only_clean", [False, True])
def test_an_undo_script_is_held_against_the_definitions_of_before(bank: Bank, only_clean: bool) -> None:
    """What it leaves behind is a conflict; --only-clean runs it and names that."""
    bank.plan(SCHEMA, fees=NEW, fees_undo="DROP TABLE fees;\n")
    assert bank.journey.apply().result is Result.DONE
    bank.sql("ALTER TABLE fees RENAME TO charges; CREATE TABLE fees (id int PRIMARY KEY)")
    back = bank.journey.rollback(only_clean=only_clean)
    assert back.result is Result.CONFLICT
    assert bank.sql("SELECT to_regclass('fees') IS NULL, to_regclass('charges') IS NOT NULL") == [(only_clean, True)]
    assert any("index public.fees_pkey would be left behind" in line for line in back.conflicts), back.conflicts


def test_an_undo_script_that_brings_everything_back_says_what_was_compared(bank: Bank) -> None:
    """Definitions now, rows in the rehearsal only; tables that others made meanwhile are none of its business."""
    bank.plan(SCHEMA, fees=NEW, fees_undo="DROP TABLE fees;\n")
    bank.journey.apply()
    bank.sql("CREATE TABLE meanwhile (id int)")
    back = bank.journey.rollback()
    assert back.result is Result.DONE, back
    assert "compared with those before it" in back.notes[0] and "rehearsal only" in back.notes[1]
    assert bank.journey.redo().result is Result.REFUSED
    assert bank.journey.status().state == "undone"


AFTER = """checks:
  after:
    - {name: no strike, target: ledger, statement: "SELECT count(*) FROM accounts WHERE note = 'strike'", expect: 0}
"""


def test_a_redo_whose_check_after_it_fails_is_taken_back_by_itself(bank: Bank) -> None:
    """As apply: rows and keys are as before it, and it can be done again, as often as it takes, or taken back."""
    bank.plan(STEPS, checks=AFTER)
    bank.journey.apply()
    bank.journey.rollback()
    strike = "UPDATE accounts SET note = '{}' WHERE id = 5"
    for _ in range(2):
        bank.sql(strike.format("strike"))
        meanwhile = bank.state()
        again = bank.journey.redo()
        assert (again.result, outcome_code(again)) == (Result.UNDONE, 5), again
        assert (
            again.summary.startswith("the redo failed: changes/") and "'no strike' expected 0, found 1" in again.summary
        )
        assert again.state == (
            "'pay', 'wait longer', 'book' had been put back and is undone again;"
            " every row and key is as it was before the redo; the change is still undone"
        )
        assert bank.state() == meanwhile and bank.journey.status().state == "undone"
        assert bank.journey.rollback().result is Result.NOTHING_TO_UNDO
        bank.sql(strike.format("opened"))
        done = bank.journey.redo()
        assert done.result is Result.DONE and bank.journey.status().state == "applied", done
        assert bank.journey.rollback().result is Result.DONE and bank.unchanged()
    assert bank.journey.written(str(again.run)).count("undone") == 3


def test_a_redo_that_fails_at_a_later_unit_takes_the_earlier_ones_back(bank: Bank) -> None:
    """The check inside the second transaction sees what others did."""
    inside = CHECKS[CHECKS.index("  inside") :].replace("ledger", "second")
    bank.plan(STEPS, checks=f"checks:\n{inside}")
    bank.journey.apply()
    bank.journey.rollback()
    bank.sql("UPDATE accounts SET balance = 5 WHERE id = 4", bank.second)
    meanwhile = bank.state()
    again = bank.journey.redo()
    assert again.result is Result.UNDONE and "none is poorer" in again.summary, again
    assert bank.state() == meanwhile and bank.journey.status().state == "undone"


def test_a_redo_that_cannot_be_taken_back_says_what_stands(bank: Bank) -> None:
    """Whoever changed a row between its COMMIT and the check is not overwritten."""
    deferred = AFTER.replace("SELECT count(*) FROM accounts WHERE note = 'strike'", "SELECT strikes()")
    bank.sql("CREATE FUNCTION strikes() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'")
    bank.plan(FIRST, checks=deferred)
    bank.journey.apply()
    bank.journey.rollback()

    def meddle(event: Event) -> None:
        bank.journey.events.append(event)
        if event.kind is EventKind.COMMITTED:
            bank.sql("CREATE OR REPLACE FUNCTION strikes() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'")
            bank.sql("UPDATE accounts SET balance = 7 WHERE id = 2")

    again = pipeline.redo(bank.journey.repository, CHANGE, "sandbox", watch=meddle)
    assert (again.result, outcome_code(again)) == (Result.STUCK, 6), again
    assert "'pay' is committed and stands; undoing it failed" in again.state and "id=2" in again.conflicts[0]
    assert bank.sql("SELECT balance FROM accounts WHERE id = 2") == [(7,)]
    rest = bank.journey.rollback(only_clean=True)
    assert rest.result is Result.CONFLICT and bank.sql("SELECT balance FROM accounts WHERE id = 1") == [(100,)]


def test_a_redo_that_is_taken_back_leaves_what_only_clean_had_left(bank: Bank) -> None:
    """It ends as the rollback in parts did: the rest can be taken back later."""
    bank.sql("CREATE TABLE cards (account int REFERENCES accounts)")
    insert = "INSERT INTO accounts VALUES (8, 1, 'x'), (9, 1, 'x');\n"
    bank.plan(FIRST, checks=AFTER, pay=insert)
    bank.journey.apply()
    bank.sql("INSERT INTO cards VALUES (8)")
    bank.journey.rollback(only_clean=True)
    bank.sql("UPDATE accounts SET note = 'strike' WHERE id = 5")
    meanwhile = bank.state()
    again = bank.journey.redo()
    assert (again.result, bank.state()) == (Result.CONFLICT, meanwhile), again
    assert bank.journey.status().state == "conflict" and "left as they are" in again.state
    bank.sql("DELETE FROM cards; UPDATE accounts SET note = 'opened' WHERE id = 5")
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def rows(bank: Bank) -> list[list[tuple[object, ...]]]:
    """Return the accounts of both databases; a killed process leaves idle triggers until the next run there."""
    return [bank.sql("SELECT * FROM accounts ORDER BY id", database) for database in (bank.ledger, bank.second)]


@pytest.mark.parametrize("kind", ["undo committing", "undone"])
@pytest.mark.parametrize("then", ["rollback", "redo"])
def test_a_redo_killed_while_it_takes_itself_back_ends_either_way(bank: Bank, kind: str, then: str) -> None:
    """What stands is known unit by unit: rollback takes the rest back, redo puts the rest back."""
    bank.plan(FIRST + LAST, checks=AFTER)
    before = rows(bank)
    bank.journey.apply()
    after = rows(bank)
    bank.journey.rollback()
    bank.sql(
        "CREATE TABLE keep AS SELECT note FROM accounts WHERE id = 5; UPDATE accounts SET note = 'strike' WHERE id = 5"
    )
    bank.journey.killed("redo", kind, "after")
    bank.sql("UPDATE accounts SET note = (SELECT note FROM keep) WHERE id = 5")
    if then == "redo" and kind == "undo committing":
        assert bank.journey.redo().result is Result.NOTHING_TO_REDO  # the undo never was committed: all of it stands
    else:
        ended = bank.journey.redo() if then == "redo" else bank.journey.rollback()
        assert ended.result is Result.DONE, ended
    assert rows(bank) == (after if then == "redo" else before)
