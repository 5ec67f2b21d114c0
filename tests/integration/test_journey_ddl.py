"""DDL with a hand-written undo: the rehearsal proves it or says what differs; irreversible lines are allowed, shown and kept."""

from __future__ import annotations

import json

import pytest

from okto_change.errors import Refused
from okto_change.model import Irreversible, Result
from okto_change.report import data, text
from okto_change.report.look import Look
from okto_change.report.markdown import dry_run as markdown_page
from okto_change.report.verdict import dry_run_code, outcome_code
from tests.plugins.journey import CHANGE, EDIT, FIRST, LAST, Bank

DDL = "  - {name: alter, target: ledger, sql: pay.sql, undo: pay.undo.sql}\n"
SETTLE = "ALTER TABLE accounts ADD COLUMN region text; CREATE INDEX accounts_region ON accounts (region);\n"


def reason(bank: Bank, change: str, undo: str) -> str | None:
    """Rehearse DDL with an undo script; return why it is not proven, None if it is. Nothing stays in either case."""
    bank.plan(DDL, pay=change, pay_undo=undo)
    before = bank.state()
    found = bank.journey.dry_run()
    assert found.rehearsal is not None and bank.state() == before
    assert found.rehearsal.failure is None, found.rehearsal.failure
    proof = found.rehearsal.undo
    assert proof.proven is (proof.reason is None)
    assert dry_run_code(found) == (0 if proof.proven else 1)
    return proof.reason


@pytest.mark.parametrize(
    ("change", "undo"),
    [
        pytest.param(SETTLE, "ALTER TABLE accounts DROP COLUMN region;\n", id="column and index"),
        pytest.param("CREATE TABLE t (id bigserial PRIMARY KEY);\n", "DROP TABLE t;\n", id="table"),
        pytest.param("GRANT SELECT ON accounts TO PUBLIC;\n", "REVOKE SELECT ON accounts FROM PUBLIC;\n", id="grant"),
        pytest.param(
            "CREATE SCHEMA trash; ALTER TABLE accounts SET SCHEMA trash;\n",
            "ALTER TABLE trash.accounts SET SCHEMA public; DROP SCHEMA trash;\n",
            id="moved aside",
        ),
        pytest.param(
            "ALTER TABLE accounts ALTER balance TYPE numeric(20,2);\n",
            "ALTER TABLE accounts ALTER balance TYPE numeric(12,2);\n",
            id="type",
        ),
        pytest.param(
            "CREATE TABLE kept AS SELECT id, note FROM accounts;\nALTER TABLE accounts DROP COLUMN note;\n",
            "ALTER TABLE accounts ADD COLUMN note text;\nUPDATE accounts AS a SET note = k.note FROM kept AS k WHERE k.id = a.id;\n"
            "DROP TABLE kept;\n",
            id="column kept elsewhere",
        ),
        pytest.param(
            "CREATE VIEW rich AS SELECT id FROM accounts WHERE balance > 300;\n",
            "DROP VIEW rich;\n",
            id="view",
        ),
    ],
)
def test_a_right_undo_script_is_proven(bank: Bank, change: str, undo: str) -> None:
    """Definitions, privileges and the rows that were moved are the same before the change and after its undo."""
    assert reason(bank, change, undo) is None


@pytest.mark.parametrize(
    ("change", "undo", "told"),
    [
        pytest.param(
            "CREATE TABLE t (id int);\n", "SELECT 1;\n", "table public.t was left behind", id="forgotten table"
        ),
        pytest.param(
            "CREATE INDEX i ON accounts (note); CREATE INDEX j ON accounts (balance);\n",
            "DROP INDEX i;\n",
            "index public.j was left behind",
            id="forgotten index",
        ),
        pytest.param(
            "GRANT SELECT ON accounts TO PUBLIC;\n", "SELECT 1;\n", "table public.accounts is not as it was", id="grant"
        ),
        pytest.param(
            "GRANT UPDATE (note) ON accounts TO PUBLIC;\n",
            "SELECT 1;\n",
            "column public.accounts.note is not as it was",
            id="column grant",
        ),
        pytest.param(
            "COMMENT ON TABLE accounts IS 'x';\n", "SELECT 1;\n", "public.accounts is not as it was", id="comment"
        ),
        pytest.param(
            "ALTER TABLE accounts ADD CONSTRAINT small CHECK (balance < 9000);\n",
            "ALTER TABLE accounts ALTER balance DROP NOT NULL;\n",
            "constraint small on public.accounts was left behind",
            id="forgotten constraint",
        ),
        pytest.param(
            "ALTER TABLE accounts ALTER note SET DEFAULT 'x';\n",
            "SELECT 1;\n",
            "column public.accounts.note",
            id="default",
        ),
        pytest.param(
            "CREATE POLICY p ON accounts;\n", "SELECT 1;\n", "policy p on public.accounts was left behind", id="policy"
        ),
        pytest.param("CREATE SCHEMA s;\n", "SELECT 1;\n", "schema s was left behind", id="schema"),
        pytest.param("DROP TABLE audit;\n", "SELECT 1;\n", "table public.audit is gone", id="dropped table"),
        pytest.param(
            "DROP TABLE accounts;\n",
            "CREATE TABLE accounts (id integer PRIMARY KEY, balance numeric(12,2) NOT NULL CHECK (balance >= 0), note text);\n",
            "public.accounts has 0 rows, it had 5",
            id="rows of a dropped table",
        ),
        pytest.param(
            "ALTER TABLE accounts DROP COLUMN note;\n",
            "ALTER TABLE accounts ADD COLUMN note text;\n",
            "rows of public.accounts have other values than before",
            id="values of a dropped column",
        ),
        pytest.param(
            "UPDATE accounts SET note = note;\nALTER TABLE accounts ALTER balance TYPE integer USING balance / 7;\n",
            "ALTER TABLE accounts ALTER balance TYPE numeric(12,2) USING balance * 7;\n",
            "rows of public.accounts have other values than before",
            id="lossy type",
        ),
    ],
)
def test_a_wrong_undo_script_is_not_proven_and_what_differs_is_named(
    bank: Bank, change: str, undo: str, told: str
) -> None:
    """Also where no row is written: whatever the undo forgets or cannot bring back is the reason; exit code 1."""
    found = reason(bank, change, undo)
    assert found is not None and told in found, found
    assert "okto_change" not in found


def test_an_undo_script_that_fails_is_not_proven(bank: Bank) -> None:
    """The server's message and the script's name are the reason."""
    bank.plan(DDL, pay=SETTLE, pay_undo="DROP INDEX nowhere;\n")
    found = bank.journey.dry_run().rehearsal
    assert found is not None and not found.undo.proven
    assert 'index "nowhere" does not exist' in str(found.undo.reason or found.failure)


def test_ddl_with_an_undo_script_is_applied_and_taken_back_again_and_again(bank: Bank) -> None:
    """The outcome says whose undo it was, and never that rows were compared when they were not."""
    bank.plan(DDL + EDIT, pay=SETTLE, pay_undo="ALTER TABLE accounts DROP COLUMN region;\n")
    for _ in range(2):
        done = bank.journey.apply()
        assert done.result is Result.DONE and "the undo of 'alter' is its author's script" in done.state
        back = bank.journey.rollback()
        assert back.result is Result.DONE and back.state == "undone; 'alter' by its author's script"
        assert bank.unchanged()


def test_an_undo_script_that_fails_leaves_the_change_standing_and_says_so(bank: Bank) -> None:
    """Rolled back, exit code 4; the change is applied as before."""
    bank.plan(DDL, pay=SETTLE, pay_undo="DROP INDEX nowhere;\n")
    assert bank.journey.apply().result is Result.DONE
    back = bank.journey.rollback()
    assert (back.result, outcome_code(back, undo=True)) == (Result.ROLLED_BACK, 4)
    assert (
        "pay.undo.sql" in back.summary and back.state == "the undo was rolled back; the change still stands as before"
    )
    assert bank.journey.status().state == "applied"


def test_an_irreversible_line_is_allowed_shown_and_kept(bank: Bank) -> None:
    """The dry run shows it, apply runs it and promises no way back, rollback refuses with the author's reason."""
    bank.plan(
        "  - {name: forget, target: ledger, sql: pay.sql, undo: {irreversible: the paper archive has it}}\n",
        pay="DROP TABLE audit;\n",
    )
    found = bank.journey.dry_run()
    assert found.rehearsal is not None and dry_run_code(found) == 0
    assert found.rehearsal.undo.reason == "declared irreversible: the paper archive has it"
    assert [step.undo for step in found.steps] == [Irreversible(reason="the paper archive has it")]
    bank.journey.git.commit("Rehearsed")
    done = bank.journey.apply()
    assert done.result is Result.DONE and done.hint is None
    assert done.state == "committed; it cannot be taken back, forget is irreversible: the paper archive has it"
    back = bank.journey.rollback()
    assert (back.result, outcome_code(back, undo=True)) == (Result.REFUSED, 1)
    assert "the paper archive has it" in back.summary
    assert back.state == "nothing was undone; the change still stands as before"
    assert bank.journey.status().state == "applied"
    assert bank.sql("SELECT to_regclass('audit') IS NULL") == [(True,)]


def test_ddl_without_a_way_back_is_refused_before_it_is_locked(bank: Bank) -> None:
    """A script or an irreversible line, or no lock."""
    with pytest.raises(Refused, match="cannot be locked"):
        bank.plan(FIRST.replace("rows: 2, touches: [accounts]", "undo: auto"), pay="CREATE ROLE okto_nobody;\n")


AUTO = "  - {name: widen, target: ledger, sql: pay.sql}\n"
BACKFILL = "  - {name: backfill, target: ledger, sql: book.sql, rows: 5, touches: [accounts]}\n"


def test_ddl_with_an_automatic_undo_is_rehearsed_applied_and_taken_back(bank: Bank) -> None:
    """Each of the two steps has its own way back; the last one is undone first, again and again."""
    bank.plan(
        AUTO + BACKFILL + EDIT,
        pay=SETTLE + "CREATE TABLE regions AS SELECT 1 AS id;\n",
        book="UPDATE accounts SET region = 'north';\n",
    )
    found = bank.journey.dry_run()
    assert found.rehearsal is not None
    assert found.rehearsal.failure is None, found.rehearsal.failure
    assert found.rehearsal.undo.proven, found.rehearsal.undo
    bank.journey.git.commit("Rehearsed")
    for _ in range(2):
        assert bank.journey.apply().result is Result.DONE
        assert bank.sql("SELECT count(*) FROM accounts WHERE region = 'north'") == [(5,)]
        back = bank.journey.rollback()
        assert (back.result, back.state) == (Result.DONE, "every row and key is back as it was"), back
        assert bank.unchanged() and bank.sql("SELECT to_regclass('regions') IS NULL") == [(True,)]


def test_values_written_since_stop_the_rollback_of_a_column(bank: Bank) -> None:
    """The conflict names the column and how many; nothing is changed, and the change still stands."""
    bank.plan(AUTO, pay="ALTER TABLE accounts ADD COLUMN region text;\n")
    assert bank.journey.apply().result is Result.DONE
    bank.sql("UPDATE accounts SET region = 'south' WHERE id <= 2")
    back = bank.journey.rollback()
    assert (back.result, back.state) == (Result.CONFLICT, "nothing was changed")
    assert back.conflicts == ("column public.accounts.region holds values written since: 2",)
    assert bank.journey.status().state == "conflict"
    bank.sql("UPDATE accounts SET region = NULL")
    assert bank.journey.rollback().result is Result.DONE


def test_a_failing_later_step_takes_definitions_back(bank: Bank) -> None:
    """Compensation uses the inverse too."""
    bank.plan(AUTO + LAST, pay=SETTLE, book="UPDATE accounts SET balance = -1 WHERE id <= 2;\n")
    done = bank.journey.apply()
    assert done.result is Result.UNDONE, done
    assert bank.unchanged() and bank.sql("SELECT to_regclass('accounts_region') IS NULL") == [(True,)]


def test_a_rewritten_table_is_read_before_and_after(bank: Bank) -> None:
    """A type that loses values is refused before COMMIT, one that does not is applied and taken back."""
    bank.plan(AUTO, pay="ALTER TABLE accounts ALTER balance TYPE bigint USING balance / 7;\n")
    found = bank.journey.dry_run().rehearsal
    assert found is not None and "rows of public.accounts have other values than before" in str(found.failure)
    assert bank.journey.apply().result is Result.ROLLED_BACK and bank.unchanged()
    bank.plan(AUTO, pay="ALTER TABLE accounts ALTER balance TYPE numeric(20,2);\n")
    assert bank.journey.apply().result is Result.DONE
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def test_what_the_rehearsal_read_first_is_read_first_by_the_run(bank: Bank) -> None:
    """Without it, the first attempt rewrites the table only to find that its rows had to be read before."""
    bank.plan(AUTO, pay="ALTER TABLE accounts ALTER balance TYPE bigint;\n")
    found = bank.journey.dry_run().rehearsal
    assert found is not None and found.compared == ("public.accounts",)
    bank.journey.events.clear()
    assert bank.journey.apply().result is Result.DONE and "retrying" in bank.journey.kinds
    assert bank.journey.rollback().result is Result.DONE
    bank.journey.git.commit("Rehearsed")
    bank.journey.events.clear()
    assert bank.journey.apply().result is Result.DONE and "retrying" not in bank.journey.kinds
    assert bank.journey.rollback().result is Result.DONE and bank.unchanged()


def test_a_dropped_table_is_put_aside_and_comes_back(bank: Bank) -> None:
    """The lock and the dry run say what is done instead; apply and rollback keep every row."""
    bank.plan(AUTO, pay="DROP TABLE audit;\nALTER TABLE accounts DROP COLUMN note;\n")
    bank.sql("INSERT INTO audit VALUES (1)")
    before = bank.state()
    lock = bank.journey.git.path / "changes" / CHANGE / "locks" / "sandbox.json"
    assert (
        "moved to the schema okto_trash, not dropped" in lock.read_text()
        and "renamed to okto_gone_" in lock.read_text()
    )
    found = bank.journey.dry_run()
    assert found.rehearsal is not None
    assert found.rehearsal.failure is None and found.rehearsal.undo.proven, found.rehearsal
    assert [statement.instead is None for statement in found.statements] == [False, False]
    bank.journey.git.commit("Rehearsed")
    assert bank.journey.apply().result is Result.DONE
    assert bank.sql("SELECT to_regclass('audit') IS NULL") == [(True,)]
    assert bank.journey.rollback().result is Result.DONE and bank.state() == before


ELSEWHERE = {
    "database": "GRANT CREATE ON DATABASE {database} TO PUBLIC",
    "database revoked": "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",
    "comment on the database": "COMMENT ON DATABASE {database} IS 'x'",
    "setting of the database": "ALTER DATABASE {database} SET work_mem = '5MB'",
    "built-in function": "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_logdir() TO PUBLIC",
    "function among the built-in ones": "CREATE FUNCTION pg_catalog.okto_one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "built-in function altered": "ALTER FUNCTION pg_catalog.lower(text) COST 7",
    "view of the standard": "CREATE VIEW information_schema.okto_view AS SELECT 1 AS one",
    "role": "CREATE ROLE okto_elsewhere",
    "comment on a role": "COMMENT ON ROLE {user} IS 'x'",
    "publication of a schema": "CREATE PUBLICATION everything FOR TABLES IN SCHEMA public",
    "text search": "CREATE TEXT SEARCH CONFIGURATION simpler (COPY = simple)",
    "mapping of users": "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR PUBLIC SERVER s",
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_what_is_written_where_no_inverse_is_known_is_not_committed(bank: Bank, what: str) -> None:
    """Beside DDL that has an inverse, by a DO block: undoing would do nothing about it, and call that done."""
    ((database, user),) = bank.sql("SELECT quote_ident(current_database()), quote_ident(current_user)")
    inner = "".join(f"EXECUTE $x${one}$x$; " for one in ELSEWHERE[what].format(database=database, user=user).split(";"))
    bank.plan(AUTO, pay=f"CREATE TABLE regions (id integer);\nDO $$ BEGIN {inner}END $$;\n")
    done = bank.journey.apply()
    assert done.result is Result.ROLLED_BACK and "not automatically reversible" in done.summary, done
    assert bank.sql("SELECT to_regclass('regions') IS NULL") == [(True,)]


PLAIN = (
    "database",
    "comment on the database",
    "built-in function",
    "comment on a role",
    "function among the built-in ones",
    "built-in function altered",
    "view of the standard",
)


@pytest.mark.parametrize("what", PLAIN)
def test_a_plain_statement_that_no_inverse_is_known_for_is_not_committed_either(bank: Bank, what: str) -> None:
    """GRANT, COMMENT and others have inverses, but not of everything that they may name; the dry run says so."""
    ((database, user),) = bank.sql("SELECT quote_ident(current_database()), quote_ident(current_user)")
    bank.plan(AUTO, pay=ELSEWHERE[what].format(database=database, user=user) + ";\n")
    found = bank.journey.dry_run().rehearsal
    assert found is not None and "not automatically reversible" in str(found.failure), found
    bank.journey.git.commit("Rehearsed")
    assert bank.journey.apply().result is Result.ROLLED_BACK


def test_the_dry_run_shows_the_inverse_and_speaks_of_images_only_where_there_are_rows(bank: Bank) -> None:
    """The statements in full, on the page, in Markdown and in JSON; no images and no copies for definitions alone."""
    bank.plan(AUTO, pay="ALTER TABLE accounts ADD COLUMN region text;\nCOMMENT ON TABLE accounts IS 'x';\n")
    found = bank.journey.dry_run()
    page, markdown = text.dry_run(found, Look(width=200)), markdown_page(found)
    for shown in (page, markdown, json.dumps(data.dry_run(found))):
        assert "ALTER TABLE public.accounts DROP COLUMN region" in shown
        assert "COMMENT ON TABLE public.accounts IS NULL" in shown
    assert "what a rollback of widen runs on ledger" in page and "what a rollback of widen runs on ledger" in markdown
    assert "Images by" not in page and "images by" not in markdown and "UNMASKED" not in page
    bank.plan(
        AUTO + BACKFILL,
        pay="ALTER TABLE accounts ADD COLUMN region text;\n",
        book="UPDATE accounts SET region = 'n';\n",
    )
    page = text.dry_run(bank.journey.dry_run(), Look(width=200))
    assert page.count("Images by") == 1 and "UNMASKED" in page
