"""A world full of card numbers and sensitive columns: whatever is done in it, no output, entry or file holds one."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from okto_change.cli.main import main
from tests.plugins.journey import CHANGE, Journey

PANS = ("4111111111111111", "5555 5555 5555 4444", "3782-822463-10005", "6011111111111117")
MAILS = ("ana.souza@secret.example", "bruno.lima@secret.example", "carla.reis@secret.example")
NAMES = ("Anabela", "Brunilde", "Carlota")
SECRETS = (*PANS, *(pan.replace(" ", "").replace("-", "") for pan in PANS), *MAILS, *NAMES)
TABLES = f"""
CREATE TABLE customers (
    id int PRIMARY KEY, email text UNIQUE, name text NOT NULL, status text CHECK (status <> 'broken'), score int,
    note text, extra jsonb, cards text[], pan bigint);
INSERT INTO customers VALUES
    (1, '{MAILS[0]}', '{NAMES[0]}', 'new', 1, 'paid with {PANS[0]}', '{{"card": "{PANS[1]}", "raw": {PANS[3]}}}', ARRAY['{PANS[2]}'],
     {PANS[0]}),
    (2, '{MAILS[1]}', '{NAMES[1]}', 'new', 2, '{PANS[1]}', '{{}}', ARRAY['{PANS[0]}', '{PANS[3]}'], {PANS[3]});
CREATE TABLE contacts (email text PRIMARY KEY, phone text, city text);
INSERT INTO contacts VALUES ('{MAILS[0]}', '1', 'Porto'), ('{MAILS[1]}', '2', 'Porto');
CREATE TABLE payments (id int PRIMARY KEY, pan text NOT NULL, email text REFERENCES contacts, amount int) PARTITION BY LIST (id);
CREATE TABLE payments_1 PARTITION OF payments FOR VALUES IN (1, 2, 3);
INSERT INTO payments VALUES (1, '{PANS[0]}', '{MAILS[0]}', 10);
CREATE TABLE tokens (pan text PRIMARY KEY);
INSERT INTO tokens VALUES ('{PANS[0]}');
CREATE VIEW mailing AS SELECT id, email AS address FROM customers;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'changing % with card %', NEW.email, NEW.note;
    RAISE WARNING 'changing % with card %', NEW.email, NEW.note;
    IF NEW.status = 'refused' THEN
        RAISE EXCEPTION 'customer % may not be refused, card %', NEW.email, NEW.note
            USING DETAIL = 'name ' || NEW.name, HINT = 'ask ' || NEW.email, ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END$$;
CREATE TRIGGER tell BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION tell();
"""
SENSITIVE = "[customers.email, public.customers.name, contacts.email, payments_1.email]"
STEP = "  - {{name: it, target: ledger, sql: it.sql, touches: {touches}}}\n"
HARMLESS = "UPDATE customers SET status = 'done' WHERE id < 3;\n"
CHECKED = "checks:\n  inside:\n    - {{name: look, target: ledger, sql: look.sql, expect: {expect}}}\n"
FAILING = {
    "a unique index": "UPDATE customers SET email = (SELECT email FROM customers WHERE id = 2) WHERE id = 1;",
    "a key that is a card": "INSERT INTO tokens SELECT pan FROM payments;",
    "a check": "UPDATE customers SET status = 'broken' WHERE id = 1;",
    "not null": "UPDATE customers SET name = NULL WHERE id = 1;",
    "a trigger": "UPDATE customers SET status = 'refused' WHERE id = 1;",
    "a cast": "UPDATE customers SET score = email::int WHERE id = 1;",
    "a cast of a card": "UPDATE customers SET score = note::int WHERE id = 2;",
    "a foreign key": "DELETE FROM contacts WHERE city = 'Porto';",
    "a foreign key the other way": "UPDATE payments SET email = email || 'x';",
    "a partition": "UPDATE payments SET id = 7;",
}
QUERIES = [
    "SELECT email FROM customers WHERE id = 1",
    "SELECT * FROM customers ORDER BY id",
    "SELECT note, extra, cards, pan FROM customers",
    "SELECT upper(lower(email)), row_to_json(c), c FROM customers AS c",
    "SELECT string_agg(name, ',') FROM customers",
    "SELECT address FROM mailing",
    "SELECT pan, email FROM payments",
    "SELECT email FROM (SELECT email FROM contacts UNION ALL SELECT name FROM customers) AS u",
    "WITH c AS (SELECT * FROM customers) SELECT c.name FROM c",
    "SELECT email::int FROM customers",
]


@pytest.fixture
def vault(journey: Journey, database: str) -> Journey:
    """Return a journey whose policy names the sensitive columns of a database full of card numbers."""
    policy = ".okto-change/policy/0001.yaml"
    text = (journey.git.path / policy).read_text()
    old = "ledger: {postgres: {dsn_env: OKTO_LEDGER_DSN}}"
    assert old in text
    named = old.replace("}}", f"}}, sensitive: {SENSITIVE}}}")
    journey.git.commit("Name what is sensitive", {policy: text.replace(old, named)})
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    return journey


def write(
    journey: Journey, sql: str, *, touches: str = "[customers]", look: str | None = None, expect: str = "5"
) -> None:
    """Write the change with a statement and perhaps a check."""
    files = {"it.sql": sql} | ({"look.sql": look} if look else {})
    journey.write(STEP.format(touches=touches), files, checks=CHECKED.format(expect=expect) if look else "")


def everything(journey: Journey, capfd: pytest.CaptureFixture[str], *commands: str) -> str:
    """Run commands in each of their voices, then look at everything; return all that was said, written and journaled."""
    heard = []
    looks = (f"show {CHANGE}", "status --env sandbox", "audit log --env sandbox", "doctor --env sandbox")
    for command in (*commands, *looks):
        for voice in (
            ("", "--json") if command.split()[0] in {"dry-run", *(look.split()[0] for look in looks)} else ("-v",)
        ):
            main(["-C", str(journey.git.path), *command.split(), *voice.split()])
            heard += [*capfd.readouterr()]
    heard += [entry.content.decode() for entry in journey.journal()]
    files = [path for path in journey.git.path.parent.rglob("*") if path.is_file() and "objects" not in path.parts]
    return "\n".join([*heard, *(path.read_text(errors="replace") for path in files)])


def assert_silent(told: str) -> None:
    """No secret is told, in no spelling that holds it whole."""
    assert [secret for secret in SECRETS if secret.lower() in told.lower()] == []


DRY = f"dry-run {CHANGE} --env sandbox"
STATIC = f"{DRY} --static --markdown -"
APPLY = f"apply {CHANGE} --env sandbox --yes"
BACK = f"rollback {CHANGE} --env sandbox --yes"


def test_a_change_of_such_rows_tells_none_of_them(vault: Journey, capfd: pytest.CaptureFixture[str]) -> None:
    """Preview, rehearsal, run, undo: rows are shown by their key and by what may be shown of them."""
    write(vault, HARMLESS + "UPDATE customers SET name = name || email, note = note || '!', pan = pan WHERE id = 1;\n")
    told = everything(vault, capfd, STATIC, f"{DRY} --markdown -", APPLY, BACK)
    assert_silent(told)
    assert "ledger: rows before and after, in schema okto_change, for its owner alone, until 20" in told
    assert "411111******1111" in told and "(not shown)" in told and "id=1" in told


def test_rows_that_are_inserted_or_deleted_tell_nothing(vault: Journey, capfd: pytest.CaptureFixture[str]) -> None:
    """Their whole text would be shown."""
    sql = "DELETE FROM payments; DELETE FROM contacts WHERE city = 'Porto'; INSERT INTO contacts SELECT email || 'x' FROM customers;"
    write(vault, sql, touches="[payments, contacts]")
    told = everything(vault, capfd, STATIC, f"{DRY} --markdown -", APPLY, BACK)
    assert_silent(told)
    assert "(not shown)" in told


@pytest.mark.parametrize("cause", FAILING)
def test_an_error_of_the_server_quotes_no_row(vault: Journey, capfd: pytest.CaptureFixture[str], cause: str) -> None:
    """Details, messages, hints and context carry row contents; notices are not even listened to."""
    write(vault, FAILING[cause] + "\n", touches="[customers, contacts, payments, tokens]")
    told = everything(vault, capfd, DRY, APPLY)
    assert_silent(told)
    assert "rolled back; nothing was changed" in told


@pytest.mark.parametrize("query", QUERIES)
def test_a_check_shows_only_what_may_be_seen(vault: Journey, capfd: pytest.CaptureFixture[str], query: str) -> None:
    """It is judged on what it found, and tells none of it."""
    write(vault, HARMLESS, look=query + "\n")
    told = everything(vault, capfd, DRY, APPLY)
    assert_silent(told)
    assert "'look' failed: expected 5, found " in told or ": (not shown)" in told


def test_figures_of_a_sensitive_target_are_still_shown(vault: Journey, capfd: pytest.CaptureFixture[str]) -> None:
    """A count tells nobody's name."""
    write(vault, HARMLESS, look="SELECT count(*) FROM customers WHERE email IS NOT NULL\n")
    told = everything(vault, capfd, APPLY)
    assert "expected 5, found 2" in told


def test_conflicts_name_rows_without_sensitive_keys(
    vault: Journey, database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rows are named by their key, which may be an address."""
    write(vault, "UPDATE contacts SET city = 'Faro';\n", touches="[contacts]")
    assert vault.apply().run
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE contacts SET city = 'Beja' WHERE phone = '1'")
    told = everything(vault, capfd, BACK, f"{BACK} --only-clean")
    assert_silent(told)
    assert "public.contacts (email=(not shown)): changed since: city" in told


def test_a_bug_of_ours_leaves_no_row_in_its_log(
    vault: Journey, home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its traceback is written to a file that people send around."""
    write(vault, HARMLESS)

    def broken(*_: object, **__: object) -> None:
        raise ValueError(f"cannot read {MAILS[0]!r} of {json.dumps([MAILS[1]])}, card {PANS[0]}")

    monkeypatch.setattr("okto_change.execution.images.net.standing", broken)
    assert main(["-C", str(vault.git.path), *DRY.split()]) == 70
    logs = list(home.rglob("okto-change-*.log"))
    assert len(logs) == 1
    told = "".join([logs[0].read_text(), *capfd.readouterr()])
    assert_silent(told)
    assert "ValueError: cannot read '...' of ['...'], card 411111******1111" in told


def test_doctor_names_sensitive_columns_that_are_not_there(vault: Journey, database: str) -> None:
    """A column that was renamed is hidden by nobody."""
    from okto_change import pipeline

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE contacts RENAME email TO address")
    found = {one.name: one for one in pipeline.doctor(vault.repository, "sandbox")}
    assert not found["ledger: sensitive columns"].ok and "contacts.email" in found["ledger: sensitive columns"].message
