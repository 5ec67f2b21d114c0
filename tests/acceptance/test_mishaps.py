"""Whatever is wrong outside okto-change, the message says what happened, what state things are in and what to do."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from okto_change.demo import example
from tests.plugins.server import Cluster
from tests.plugins.world import Shop

WARM = True
LIMIT = example.LIMIT


@pytest.fixture
def shop_with_change(shop: Shop) -> Shop:
    """Return a shop in which a change is committed, pushed and locked for the sandbox."""
    example.copy_change(LIMIT, shop.world.clone("ana"))
    shop.okto("ana", "lock", LIMIT, "--env", "sandbox")
    shop.world.publish("ana", "A change")
    return shop


def explained(shop: Shop, *arguments: str, code: int, words: str, **variables: str) -> str:
    """Run a command of Ana's that must fail with ``code``; return what it said, which must explain itself."""
    answer = shop.okto("ana", *arguments, expect=code, **variables)
    assert "Traceback" not in answer.said
    assert words in answer.err, answer.err
    assert "state: " in answer.err, answer.err
    return answer.err


def test_an_unknown_change_or_environment(shop_with_change: Shop) -> None:
    """The known ones are listed."""
    said = explained(shop_with_change, "check", "no-such-thing", code=2, words="no-such-thing")
    assert LIMIT in said
    explained(shop_with_change, "lock", LIMIT, "--env", "prodction", code=2, words="production")


def test_outside_of_a_repository(shop_with_change: Shop, tmp_path: Path) -> None:
    """The hint names init."""
    said = explained(shop_with_change, "-C", str(tmp_path), "status", code=1, words="git")
    assert "okto-change init" in said


def test_a_server_that_is_down_and_a_variable_that_is_not_set(shop_with_change: Shop) -> None:
    """Nothing ran, exit code 1."""
    run = ("dry-run", LIMIT, "--env", "sandbox")
    down = "host=127.0.0.1 port=1 dbname=x user=postgres"
    explained(shop_with_change, *run, code=1, words="ledger", SANDBOX_LEDGER=down)
    explained(shop_with_change, *run, code=1, words="SANDBOX_LEDGER", SANDBOX_LEDGER="")


def test_a_wrong_password_is_not_shown(shop_with_change: Shop, server: Cluster) -> None:
    """The message names the target, never the connection string."""
    with psycopg.connect(shop_with_change.world.dsn("sandbox"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS okto_visitor")
        connection.execute("CREATE ROLE okto_visitor LOGIN PASSWORD 'right'")
    host, port = server.address
    login = {"host": host, "port": str(port), "user": "okto_visitor", "password": "wr0ng-and-secret"}
    dsn = psycopg.conninfo.make_conninfo(shop_with_change.world.dsn("sandbox"), **login)
    said = explained(
        shop_with_change, "dry-run", LIMIT, "--env", "sandbox", code=1, words="password", SANDBOX_LEDGER=dsn
    )
    assert "wr0ng-and-secret" not in said


def test_a_role_without_privileges(shop_with_change: Shop) -> None:
    """Nothing was changed, and the message is PostgreSQL's own with a hint."""
    with psycopg.connect(shop_with_change.world.dsn("sandbox"), autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS okto_guest")
        connection.execute("CREATE ROLE okto_guest LOGIN PASSWORD 'guest'")
    dsn = psycopg.conninfo.make_conninfo(shop_with_change.world.dsn("sandbox"), user="okto_guest", password="guest")
    answer = shop_with_change.okto("ana", "apply", LIMIT, "--env", "sandbox", expect=1, SANDBOX_LEDGER=dsn)
    assert "permission denied" in answer.err or "privilege" in answer.err
    assert "Traceback" not in answer.said


def test_a_key_that_is_not_there_or_not_in_the_policy(shop_with_change: Shop, tmp_path: Path) -> None:
    """Exit code 3, with what to do."""
    submit = ("submit", LIMIT, "--env", "sandbox", "--yes", LIMIT)
    explained(shop_with_change, *submit, "--key", str(tmp_path / "none"), code=3, words="none")
    shop_with_change.world.git("ana", "config", "--unset", "user.signingkey")
    explained(shop_with_change, *submit, code=3, words="key")


def test_an_uncommitted_edit_cannot_be_submitted(shop_with_change: Shop) -> None:
    """What is signed is what is committed."""
    file = shop_with_change.change("ana", LIMIT) / "raise.sql"
    file.write_text(file.read_text() + "-- one more thought\n")
    explained(shop_with_change, "submit", LIMIT, "--env", "sandbox", "--yes", LIMIT, code=1, words="uncommitted")


def test_a_half_written_plan_tells_every_fault_with_its_line(shop_with_change: Shop) -> None:
    """All faults at once."""
    file = shop_with_change.change("ana", LIMIT) / "plan.yaml"
    file.write_text("format: 1\ntitel: Half\nsteps:\n  - name: one\n")
    said = explained(shop_with_change, "check", LIMIT, code=1, words="plan.yaml:2")
    assert "plan.yaml:4" in said and "reason" in said


def test_a_binary_sql_file_is_refused(shop_with_change: Shop) -> None:
    """It is named; nothing of it reaches the terminal."""
    (shop_with_change.change("ana", LIMIT) / "raise.sql").write_bytes(bytes(range(256)) * 8)
    said = explained(shop_with_change, "check", LIMIT, code=1, words="raise.sql")
    assert "\x1b" not in said and "\x00" not in said


def test_a_plan_of_fifty_megabytes_is_refused_quickly(shop_with_change: Shop) -> None:
    """Before it is read into memory."""
    with (shop_with_change.change("ana", LIMIT) / "raise.sql").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    explained(shop_with_change, "check", LIMIT, code=1, words="MiB")


def test_a_variable_that_leads_to_another_environment(shop_with_change: Shop) -> None:
    """Nobody approves what runs in a sandbox, so the sandbox's variable must not lead to production."""
    shop, run = shop_with_change, ("--env", "sandbox", "--yes")
    shop.okto("ana", "apply", LIMIT, *run)
    policy = shop.world.clone("ana") / example.POLICY
    policy.write_text(policy.read_text().replace("  sandbox:\n", "  staging:\n").replace("[sandbox]", "[staging]"))
    shop.world.publish("ana", "Call the sandbox staging")
    shop.okto("ana", "lock", LIMIT, "--env", "staging")
    shop.world.publish("ana", "Lock for staging")
    for command in ("dry-run", "apply"):
        said = explained(shop, command, LIMIT, "--env", "staging", code=1, words="SANDBOX_LEDGER leads to the database")
        assert "of sandbox, not of staging" in said
    assert "of sandbox, not of staging" in " ".join(
        shop.okto("ana", "doctor", "--env", "staging", expect=1).out.split()
    )
    database = psycopg.conninfo.conninfo_to_dict(shop.world.dsn("sandbox"))["dbname"]
    named = f"{{dsn_env: SANDBOX_LEDGER}}, database: {database}}}"
    policy.write_text(policy.read_text().replace("{dsn_env: SANDBOX_LEDGER}}", named))
    shop.world.publish("ana", "Name the database")
    shop.okto("ana", "lock", LIMIT, "--env", "staging")
    shop.world.publish("ana", "Lock for staging again")
    shop.okto("ana", "apply", LIMIT, "--env", "staging", "--yes")
