"""Images have a time: then their rows go, their digests stay and verify, and the run cannot be taken back any more."""

from __future__ import annotations

import psycopg
import pytest

from okto_change import pipeline
from okto_change.cli.main import main
from okto_change.errors import JournalBroken, Refused
from okto_change.model import Purge, Result
from tests.plugins.journey import CHANGE, EDIT, FIRST, Bank

POLICY = ".okto-change/policy/0001.yaml"
SECOND = "      second: {postgres: {dsn_env: OKTO_SECOND_DSN}}\n"
AGED = "UPDATE okto_change.capture SET at = at - interval '31 days'; UPDATE okto_change.edit_image SET at = at - interval '31 days'"


@pytest.fixture
def vault(bank: Bank) -> Bank:
    """Return a bank whose policy keeps images for thirty days."""
    text = (bank.journey.git.path / POLICY).read_text()
    bank.journey.git.commit(
        "Keep images",
        {
            POLICY: text.replace(SECOND, "").replace(
                "    from_head: true", "    images: {keep: 30d}\n    from_head: true"
            )
        },
    )
    return bank


def purge(bank: Bank, *, dry_run: bool = False) -> Purge:
    """Purge the sandbox."""
    return pipeline.purge(bank.journey.repository, "sandbox", dry_run=dry_run)


def images(bank: Bank) -> int:
    """Return how many images there are, config edits included."""
    counts = "SELECT (SELECT count(*) FROM okto_change.image) + (SELECT count(*) FROM okto_change.edit_image)"
    return int(bank.sql(counts)[0][0])


def test_images_inside_their_time_stay(vault: Bank) -> None:
    """A purge of fresh images does nothing, and says nothing in the journal."""
    vault.plan(FIRST + EDIT)
    vault.journey.apply()
    before, entries = images(vault), len(vault.journey.journal())
    assert purge(vault).images == () and purge(vault).kept == ()
    assert images(vault) == before > 0 and len(vault.journey.journal()) == entries
    assert vault.journey.rollback().result is Result.DONE and vault.unchanged()


def test_old_images_go_and_leave_counts_and_digests_that_verify(vault: Bank) -> None:
    """In the database and in the journal, the same; the file's digests are those of the edit itself."""
    vault.plan(FIRST + EDIT)
    run = vault.journey.apply().run
    vault.sql(AGED)
    planned = purge(vault, dry_run=True)
    assert planned.dry_run and images(vault) > 0
    done = purge(vault)
    assert done.images == planned.images and images(vault) == 0
    assert {(one.object, one.part, one.rows) for one in done.images} == {
        ("public.accounts", "text", 4),
        ("routing:acquirers.yaml", "before", 1),
        ("routing:acquirers.yaml", "after", 1),
    }
    told = [entry.event for entry in vault.journey.journal() if entry.event.kind.value == "images purged"]
    assert {event.run for event in told} == {run}
    listed = {(one["object"], one["part"], one["digest"]) for event in told for one in event.data["images"]}
    assert listed == {(one.object, one.part, one.digest) for one in done.images}
    edited = next(e.event.data for e in vault.journey.journal() if e.event.kind.value == "editing")
    assert ("routing:acquirers.yaml", "before", edited["before"]) in listed
    assert purge(vault).images == ()
    assert vault.journey.status().state == "applied" and "purged on" in (vault.journey.status().detail or "")


def test_a_digest_is_that_of_the_rows(vault: Bank) -> None:
    """Whoever has a backup can compute it again with plain SQL."""
    vault.plan(FIRST)
    vault.journey.apply()
    one = "sha256(convert_to(ROW(op, before, after)::text, 'UTF8'))"
    query = f"SELECT 'sha256:' || encode(sha256(string_agg({one}, '' ORDER BY {one})), 'hex') FROM okto_change.image"
    digest = vault.sql(query)[0][0]
    vault.sql(AGED)
    assert [one.digest for one in purge(vault).images] == [digest]


@pytest.mark.parametrize("steps", [FIRST, EDIT], ids=["rows", "a file"])
def test_a_purged_run_cannot_be_taken_back_and_says_since_when(vault: Bank, steps: str) -> None:
    """Nothing is changed; the date is told."""
    vault.plan(steps)
    vault.journey.apply()
    vault.sql(AGED)
    purge(vault)
    standing = vault.state()
    back = vault.journey.rollback()
    assert back.result is Result.REFUSED and vault.state() == standing
    assert "were purged on 20" in back.summary and "the change still stands" in back.state
    assert back.hint == "write a new change that puts things right"
    assert vault.journey.apply().result is Result.ALREADY_APPLIED


def test_a_purged_run_with_an_undo_script_can_still_be_taken_back(vault: Bank) -> None:
    """The script needs no images."""
    step = "  - {name: pay, target: ledger, sql: pay.sql, rows: 2, touches: [accounts], undo: pay.undo.sql}\n"
    vault.plan(step, pay_undo="UPDATE accounts SET balance = balance - 1 WHERE id <= 2;\n")
    vault.journey.apply()
    vault.sql(AGED)
    purge(vault)
    assert vault.journey.rollback().result is Result.DONE and vault.unchanged()


def test_what_was_taken_back_is_purged_together_and_only_when_all_of_it_is_old(vault: Bank) -> None:
    """A run and its undo tell only together what stands."""
    vault.plan(FIRST)
    vault.journey.apply()
    vault.sql(AGED)
    vault.journey.rollback()
    assert purge(vault).images == ()
    vault.sql(AGED)
    done = purge(vault)
    assert len({one.run for one in done.images}) == 2 and images(vault) == 0
    assert vault.journey.apply().result is Result.DONE
    assert vault.journey.rollback().result is Result.DONE and vault.unchanged()


def test_images_of_a_run_that_is_not_settled_stay(vault: Bank) -> None:
    """Whatever their age: somebody must decide first."""
    vault.plan(FIRST + EDIT)
    vault.journey.killed("apply", "editing", "after")
    vault.sql(AGED)
    before = images(vault)
    found = purge(vault)
    assert found.images == () and images(vault) == before > 0
    assert any("is not settled" in line for line in found.kept)


def test_images_of_runs_that_this_journal_does_not_know_stay(vault: Bank) -> None:
    """Another environment may work on the same database."""
    vault.plan(FIRST)
    vault.journey.apply()
    vault.sql(AGED)
    vault.sql("UPDATE okto_change.capture SET run = 'elsewhere'")
    found = purge(vault)
    assert found.images == () and found.kept == (
        "ledger: run elsewhere is of another repository, or not in this environment's journal",
    )


def test_a_journal_that_cannot_be_written_stops_the_purge(vault: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """No audit, no change."""
    vault.plan(FIRST)
    vault.journey.apply()
    vault.sql(AGED)
    before = images(vault)

    def broken(*_: object) -> None:
        raise JournalBroken("the disk is full")

    monkeypatch.setattr("okto_change.journal.store.Journal.append", broken)
    with pytest.raises(JournalBroken):
        purge(vault)
    assert images(vault) == before > 0


def test_no_purge_while_a_run_holds_the_target(vault: Bank) -> None:
    """And it says who does."""
    vault.plan(FIRST)
    vault.journey.apply()
    vault.sql(AGED)
    with psycopg.connect(vault.ledger) as other:
        other.execute("LOCK TABLE okto_change.target IN EXCLUSIVE MODE")
        with pytest.raises(Refused, match="is held by"):
            purge(vault)


def test_audit_verify_notices_digests_that_were_changed(vault: Bank) -> None:
    """The journal's chain and the database must say the same."""
    vault.plan(FIRST)
    run = vault.journey.apply().run
    vault.sql(AGED)
    purge(vault)
    assert pipeline.audit_verify(vault.journey.repository, "sandbox").problems == ()
    vault.sql("UPDATE okto_change.purged SET rows = 1")
    problems = pipeline.audit_verify(vault.journey.repository, "sandbox").problems
    assert problems == (f"what ledger keeps of the purged images of run {run} is not what the journal says",)


@pytest.mark.parametrize(("value", "parts"), [("n + 1", {"old"}), ("(SELECT 7)", {"old", "new"})])
def test_native_images_go_too(value: str, parts: set[str], vault: Bank) -> None:
    """Their tables are dropped; count and digest of each stay. Foreseen values lie beside the old rows."""
    vault.sql(
        "CREATE TABLE many (id int PRIMARY KEY, n int, pad text); "
        "INSERT INTO many SELECT g, g, repeat('x', 100) FROM generate_series(1, 30000) AS g"
    )
    step = "  - {name: all, target: ledger, sql: all.sql, touches: [many]}\n"
    vault.journey.write(step, {"all.sql": f"UPDATE many SET n = {value} WHERE n > 0;\n"})
    vault.journey.apply()
    natives = "SELECT count(*) FROM pg_class WHERE relname LIKE 'rows\\_%' AND relkind = 'r'"
    assert vault.sql(natives)[0][0] == len(parts)
    vault.sql(AGED)
    assert {(one.part, one.rows) for one in purge(vault).images} == {(part, 30000) for part in parts}
    assert vault.sql(natives)[0][0] == 0 and images(vault) == 0
    assert vault.journey.rollback().result is Result.REFUSED


@pytest.mark.parametrize(("value", "parts"), [("'new'", ["old"]), ("md5(random()::text)", ["new", "old"])])
def test_images_that_the_chunks_of_a_batch_share_go_chunk_by_chunk(value: str, parts: list[str], vault: Bank) -> None:
    """What one chunk has goes when it is old; the tables go with the last; the digests verify."""
    vault.sql(
        "CREATE TABLE many (id int PRIMARY KEY, state text); INSERT INTO many SELECT n, 'old' FROM generate_series(1, 6) AS n"
    )
    vault.plan(
        "  - {name: many, target: ledger, sql: many.sql, rows: 6, touches: [many], batch: {table: many, key: id, type: integer, size: 2}}\n",
        many=f"UPDATE many SET state = {value} WHERE {{{{ batch }}}};\n",
    )
    assert vault.journey.apply().result is Result.DONE
    left = vault.sql("SELECT state FROM many ORDER BY id")
    tables = "SELECT count(*) FROM pg_class WHERE relname ~ '^rows_' AND relkind = 'r'"
    vault.sql("UPDATE okto_change.capture SET at = at - interval '31 days' WHERE unit = '1/1'")
    assert [(one.rows, one.part) for one in purge(vault).images] == [(2, part) for part in parts]
    assert vault.sql(tables) == [(2,)] and vault.sql("SELECT sum(rows) FROM okto_change.image_native") == [(4,)]
    vault.sql("UPDATE okto_change.capture SET at = at - interval '31 days' WHERE unit <> '1/1'")
    ((run,),) = vault.sql("SELECT DISTINCT run FROM okto_change.capture")
    vault.sql("UPDATE okto_change.capture SET run = 'elsewhere'")
    assert len(purge(vault).kept) == 1, "a reason is told once, not once for each chunk"
    vault.sql(f"UPDATE okto_change.capture SET run = '{run}'")
    assert sum(one.rows for one in purge(vault).images) == 4 * len(parts) and vault.sql(tables) == [(0,)]
    assert vault.journey.journal()
    refused = vault.journey.rollback()
    assert refused.result is Result.REFUSED or "purged" in refused.summary, refused
    assert vault.sql("SELECT state FROM many ORDER BY id") == left


def test_the_command_tells_what_goes_and_what_stays(vault: Bank, capfd: pytest.CaptureFixture[str]) -> None:
    """As a page and as an object."""
    vault.plan(FIRST)
    vault.journey.apply()
    vault.sql(AGED)
    place = ["-C", str(vault.journey.git.path), "purge", "--env", "sandbox"]
    assert main([*place, "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert "WOULD PURGE  4 images of 1 run, images are kept for 30 days" in said and CHANGE in said
    assert main([*place, "--json"]) == 0
    assert '"kind": "purge"' in capfd.readouterr().out
    assert main(place) == 0
    assert "nothing to purge" in capfd.readouterr().out


def test_a_target_out_of_reach_is_told_and_the_others_are_purged(
    vault: Bank, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exit code says that something is left to do."""
    vault.plan(FIRST)
    vault.journey.apply()
    vault.sql(AGED)
    monkeypatch.setenv("OKTO_LEDGER_DSN", "host=127.0.0.1 port=1")
    assert main(["-C", str(vault.journey.git.path), "purge", "--env", "sandbox"]) == 1
    assert "NOT REACHED" in capfd.readouterr().out


def test_nobody_else_may_read_images_whatever_default_privileges_say(vault: Bank) -> None:
    """Schema, tables, sequences, and the tables made for large fixes; what was granted since is taken back by the next run."""
    role = vault.sql("SELECT 'reader_' || pg_backend_pid()")[0][0]
    vault.sql(f"CREATE ROLE {role}")
    try:
        vault.sql("DROP SCHEMA okto_change CASCADE")
        vault.sql(
            f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {role}; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;"
            f"ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO {role}; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {role}"
        )
        vault.sql(
            "CREATE TABLE many (id int PRIMARY KEY, n int); INSERT INTO many SELECT g, g FROM generate_series(1, 30000) AS g"
        )
        step = "  - {name: all, target: ledger, sql: all.sql, touches: [many]}\n"
        vault.journey.write(step, {"all.sql": "UPDATE many SET n = n + 1 WHERE n > 0;\n"})
        assert vault.journey.apply().result is Result.DONE
        readable = (
            "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'okto_change'::regnamespace AND c.relkind = 'r'"
            f" AND (has_table_privilege('{role}', c.oid, 'SELECT') OR has_table_privilege('public', c.oid, 'SELECT'))"
        )
        assert vault.sql(readable) == []
        assert vault.sql(f"SELECT has_schema_privilege('{role}', 'okto_change', 'USAGE')") == [(False,)]
        vault.sql(f"GRANT USAGE ON SCHEMA okto_change TO {role}; GRANT SELECT ON okto_change.image TO {role}")
        found = {one.name: one for one in pipeline.doctor(vault.journey.repository, "sandbox")}
        assert (
            not found["ledger: images"].ok and f"{role} may SELECT okto_change.image" in found["ledger: images"].message
        )
        assert vault.journey.rollback().result is Result.DONE
        assert vault.sql(readable) == []
    finally:
        vault.sql(f"DROP OWNED BY {role}; DROP ROLE {role}")
