"""Sessions of other kinds: only a config edit, only SQL from HEAD, a journal in another database, two at the same time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import psycopg
import pytest

from okto_change.demo import example
from okto_change.demo.stage import installed_command
from tests.plugins.market import PLAN, SQL, document, explained, limit_of, propose, query, write_change
from tests.plugins.server import Cluster
from tests.plugins.world import Answer, Shop

WARM = True
ENV, SANDBOX, ELSEWHERE = ("--env", "production"), ("--env", "sandbox"), ("--env", "elsewhere")
EDIT = """\
format: 1
title: Wait longer
reason: The acquirer is slow.
author: ana
steps:
  - name: timeout
    target: routing
    edit: acquirers.yaml
    set: {acquirers.south.timeout_ms: 9000}
"""
POLICY = """\
  elsewhere:
    journal: trail
    targets:
      ledger: {postgres: {dsn_env: SANDBOX_LEDGER}, database: SHARED}
      routing: {files: {root_env: SANDBOX_ROUTING}}
      trail: {postgres: {dsn_env: TRAIL}}
    from_head: true
    dry_run: optional
    execute: {may_be_author: true}
rules:
  - {id: elsewhere, when: {env: [elsewhere]}, require: {}}
"""


def test_a_config_edit_alone_goes_the_whole_way_and_back(market: Shop) -> None:
    """One line differs, comments stay; a later edit of the same key is a conflict, of another one is not."""
    place = ("wait-longer", *ENV)
    write_change(market, "wait-longer", plan=EDIT)
    propose(market, "wait-longer")
    market.approve("wait-longer")
    file = market.world.config("production")
    before = file.read_text()
    assert document(market.okto("ana", "apply", *place, "--json"))["result"] == "done"
    after = file.read_text()
    differing = [pair for pair in zip(before.split("\n"), after.split("\n"), strict=True) if pair[0] != pair[1]]
    assert differing == [("    timeout_ms: 4500", "    timeout_ms: 9000")]
    file.write_text(after.replace("9000", "9100"))
    conflict = document(market.okto("ana", "rollback", *place, "--json", expect=6))
    assert conflict["state"] == "nothing was changed"
    assert "acquirers.south.timeout_ms to 9100" in conflict["conflicts"][0]
    again = market.okto("ana", "apply", *place)
    assert "ALREADY APPLIED" in again.out, "an undo that stopped leaves it applied"
    (status,) = document(market.okto("ana", "status", *ENV, "--json"))["changes"]
    assert status["state"] == "conflict" and "stands committed" in status["detail"] and "rollback" in status["next"]
    file.write_text("# somebody else's comment\n" + after)
    assert document(market.okto("ana", "rollback", *place, "--json"))["result"] == "done"
    assert file.read_text() == "# somebody else's comment\n" + before


def test_sql_alone_runs_in_a_sandbox_from_the_commit_at_head(market: Shop) -> None:
    """No decision, no dry run, no push; what is not committed does not run."""
    place = ("play", *SANDBOX)
    folder = write_change(market, "play", merchant=20)
    market.okto("ana", "lock", *place)
    explained(market.okto("ana", "apply", *place, expect=1), 1, "play is not in the commit at HEAD", "commit it")
    market.world.git("ana", "add", "--all")
    market.world.git("ana", "commit", "--quiet", "--message", "Play")
    (folder / "limit.sql").write_text("DELETE FROM merchants;\n")
    assert document(market.okto("ana", "apply", *place, "--json"))["result"] == "done"
    (folder / "limit.sql").write_text(SQL)
    assert limit_of(market, 20, "sandbox") == "500"
    assert limit_of(market, 20, "production") != "500"
    market.okto("ana", "rollback", *place)
    assert limit_of(market, 20, "sandbox") != "500"


def test_a_change_that_breaks_an_invariant_is_rolled_back_with_exit_code_4(market: Shop) -> None:
    """The figures before and after are shown; its journal entry and its images are all that there is of it."""
    example.copy_change(example.LEDGER, market.world.clone("ana"))
    market.okto("ana", "lock", example.LEDGER, *SANDBOX)
    market.world.publish("ana", "A wrong change")
    balance = query(market, "SELECT currency, sum(amount) FROM ledger_entries GROUP BY 1 ORDER BY 1", "sandbox")
    outcome = document(market.okto("ana", "apply", example.LEDGER, *SANDBOX, "--json", expect=4))
    assert outcome["state"] == "rolled back; nothing was changed"
    assert "ledger balances" in outcome["summary"]
    after = query(market, "SELECT currency, sum(amount) FROM ledger_entries GROUP BY 1 ORDER BY 1", "sandbox")
    assert after == balance
    said = market.okto("ana", "rollback", example.LEDGER, *SANDBOX).out
    assert "NOTHING TO UNDO" in said


@pytest.fixture
def trail(market: Shop, server: Cluster) -> Iterator[str]:
    """Return the connection string of an empty database that the policy names as journal of environment ``elsewhere``."""
    policy = market.world.clone("ana") / example.POLICY
    shared = query(market, "SELECT current_database()", "sandbox")[0][0]
    policy.write_text(policy.read_text().replace("rules:\n", POLICY.replace("SHARED", shared), 1))
    market.world.publish("ana", "Keep a journal elsewhere")
    name = server.create()
    yield server.conninfo(name)
    server.drop(name)


def test_the_journal_may_be_in_another_database_than_the_change(market: Shop, trail: str) -> None:
    """Both targets of the change, its images and its trail are found again by rollback; without the trail nothing runs."""
    change = example.RELEASE
    place = (change, *ELSEWHERE)
    example.copy_change(change, market.world.clone("ana"))
    market.okto("ana", "lock", *place)
    market.world.publish("ana", "Release elsewhere")
    settlements = "SELECT md5(string_agg(s::text, '' ORDER BY id)) FROM settlements AS s"
    before = query(market, settlements, "sandbox"), market.world.config("sandbox").read_bytes()
    silent = market.okto("ana", "apply", *place, expect=1, TRAIL="host=127.0.0.1 port=1")
    explained(silent, 1, "cannot connect to trail")
    assert document(market.okto("ana", "status", *ELSEWHERE, "--json", expect=0, TRAIL=trail))["changes"] == []
    market.okto("ana", "apply", *place, expect=0, TRAIL=trail)
    assert (query(market, settlements, "sandbox"), market.world.config("sandbox").read_bytes()) != before
    with psycopg.connect(trail) as connection:
        entries = connection.execute("SELECT count(*) FROM okto_change.entry").fetchall()
    assert entries[0][0] > 10
    market.okto("ana", "rollback", *place, expect=0, TRAIL=trail)
    assert (query(market, settlements, "sandbox"), market.world.config("sandbox").read_bytes()) == before
    verified = document(market.okto("ana", "audit", "verify", *ELSEWHERE, "--json", expect=0, TRAIL=trail))
    assert verified["intact"] is True and verified["entries"] > entries[0][0]


def test_two_terminals_apply_once_and_the_second_is_told_who_works(market: Shop) -> None:
    """Meanwhile status says that it is running; afterwards there is one run."""
    place = ("slow", *SANDBOX)
    slow = SQL.replace(" WHERE", "  FROM pg_sleep(4)\n WHERE")
    write_change(market, "slow", merchant=21, files={"limit.sql": slow}, plan=PLAN)
    market.okto("ana", "lock", *place)
    market.world.publish("ana", "A slow change")
    with subprocess.Popen(
        [*installed_command(), "apply", *place],
        cwd=market.world.clone("ana"),
        env=market.world.environ(),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as first:
        wait_for(market, "pg_sleep")
        second = market.okto("ana", "apply", *place, expect=None)
        running = document(market.okto("ana", "status", *SANDBOX, "--json"))["changes"]
        out, err = first.communicate(timeout=60)
    assert (first.returncode, "DONE" in out) == (0, True), err
    told_or_late(second)
    states = {one["change"]: one for one in running}
    assert states["slow"]["state"] in {"running", "applied"}, "never 'rolled back' while it runs"
    if states["slow"]["state"] == "running":
        assert states["slow"]["concern"] == "running now" and "runs it since" in states["slow"]["detail"]
    starts = "SELECT count(*) FROM okto_change.entry WHERE change = 'slow' AND kind = 'run started'"
    assert query(market, starts, "sandbox") == [(1,)]


def wait_for(shop: Shop, word: str) -> None:
    """Wait until a statement with ``word`` runs in the sandbox."""
    running = f"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%UPDATE%{word}%' AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 60
    while not query(shop, running, "sandbox"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def told_or_late(second: Answer) -> None:
    """Demand that the second terminal was told who works, or came when all was done."""
    if second.code == 0:
        assert "ALREADY APPLIED" in second.out
    else:
        explained(second, 1, "another command works on slow in sandbox right now", "process", "wait until it has ended")
