"""The installed command keeps its promises to whoever types it: what was approved runs, once, and can be taken back."""

from __future__ import annotations

import json
import subprocess

import psycopg
import pytest

from okto_change.demo import example
from okto_change.demo.stage import installed_command
from tests.plugins.world import Shop

RELEASE, LIMIT = example.RELEASE, example.LIMIT
LIMIT_OF_42 = "SELECT settings ->> 'daily_limit' FROM merchants WHERE id = 42"


def value(shop: Shop, sql: str, environment: str = "production") -> object:
    """Return the one value of a query."""
    with psycopg.connect(shop.world.dsn(environment)) as connection:
        row = connection.execute(sql.encode()).fetchone()
    return row[0] if row else None


def execute(shop: Shop, sql: str, environment: str = "production") -> None:
    """Run somebody else's statement."""
    with psycopg.connect(shop.world.dsn(environment), autocommit=True) as connection:
        connection.execute(sql.encode())


def test_a_change_with_sql_and_a_config_edit_goes_the_whole_way_and_back(shop: Shop) -> None:
    """Propose, approve, apply, apply again, roll back, verify: rows and file are as they were."""
    file = shop.world.config("production")
    before = file.read_bytes(), value(shop, "SELECT md5(string_agg(s::text, '' ORDER BY id)) FROM settlements AS s")
    shop.propose(RELEASE)
    assert "1 more (bruno)" in shop.okto("ana", "apply", RELEASE, "--env", "production", expect=3).err
    shop.approve(RELEASE)
    shop.okto("ana", "apply", RELEASE, "--env", "production")
    assert b"timeout_ms: 8000 " in file.read_bytes()
    assert value(shop, "SELECT count(*) FROM settlement_events WHERE kind = 'released'") == 37
    again = shop.okto("ana", "apply", RELEASE, "--env", "production")
    assert "ALREADY APPLIED" in again.out
    shop.okto("ana", "rollback", RELEASE, "--env", "production")
    after = file.read_bytes(), value(shop, "SELECT md5(string_agg(s::text, '' ORDER BY id)) FROM settlements AS s")
    assert after == before
    shop.okto("ana", "audit", "verify", "--env", "production")


def test_rollback_stops_at_later_work_and_leaves_it_alone(shop: Shop) -> None:
    """Exit code 6, the row is named, and neither it nor anything else is changed."""
    shop.propose(LIMIT)
    shop.approve(LIMIT)
    shop.okto("ana", "apply", LIMIT, "--env", "production")
    execute(shop, """UPDATE merchants SET settings = settings || '{"daily_limit": 1}' WHERE id = 42""")
    said = shop.okto("ana", "rollback", LIMIT, "--env", "production", expect=6).said
    assert "merchants" in said and "42" in said
    assert value(shop, LIMIT_OF_42) == "1"


def test_the_author_cannot_approve_and_a_rejection_blocks(shop: Shop) -> None:
    """Exit code 3 both times, with the reason."""
    shop.propose(LIMIT)
    shop.okto("ana", "approve", LIMIT, "--env", "production", "--yes", LIMIT, expect=None)
    assert shop.okto("ana", "apply", LIMIT, "--env", "production", expect=3).err
    shop.approve(LIMIT)
    shop.okto("bruno", "reject", LIMIT, "--env", "production", "--yes", LIMIT, "-m", "too high after all")
    assert "too high after all" in shop.okto("ana", "apply", LIMIT, "--env", "production", expect=3).err
    assert value(shop, LIMIT_OF_42) == "43000"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("raise.sql", "WHERE id =", "WHERE id <>"), ("plan.yaml", "value: 60000", "value: 600000")],
    ids=["an SQL file", "a parameter"],
)
def test_what_was_edited_after_approval_does_not_run(shop: Shop, name: str, old: str, new: str) -> None:
    """Exit code 3, and the message says which file changed, also when the lock was made anew."""
    shop.propose(LIMIT)
    shop.approve(LIMIT)
    file = shop.change("ana", LIMIT) / name
    file.write_text(file.read_text().replace(old, new))
    shop.world.publish("ana", "Edit after approval")
    assert name in shop.okto("ana", "apply", LIMIT, "--env", "production", expect=3).err
    shop.okto("ana", "lock", LIMIT, "--env", "production")
    shop.world.publish("ana", "Lock again")
    said = shop.okto("ana", "apply", LIMIT, "--env", "production", expect=3).err
    assert "submission" in said or "approvers" in said
    assert value(shop, LIMIT_OF_42) == "43000"


def test_two_terminals_apply_once(shop: Shop) -> None:
    """Of two at the same time one applies; the other waits or is told, and nothing happens twice."""
    shop.propose(RELEASE)
    shop.approve(RELEASE)
    command = [*installed_command(), "apply", RELEASE, "--env", "production"]
    both = [
        subprocess.Popen(
            command,
            cwd=shop.world.clone("ana"),
            env=shop.world.environ(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=100)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes[0] == 0 and codes[1] in {0, 1, 3}, said
    assert value(shop, "SELECT count(*) FROM settlement_events WHERE kind = 'released'") == 37


def test_json_is_one_object_on_stdout_for_answers_and_for_errors(shop: Shop) -> None:
    """Scripts read stdout and nothing else."""
    example.copy_change(LIMIT, shop.world.clone("ana"))
    lock = json.loads(shop.okto("ana", "lock", LIMIT, "--env", "production", "--json").out)
    assert isinstance(lock, dict)
    error = json.loads(shop.okto("ana", "lock", "no-such-change", "--env", "production", "--json", expect=2).out)
    assert isinstance(error, dict)
