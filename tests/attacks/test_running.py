"""Rows 18 and 45 once more, while a change runs: a no that comes late stops it at its next chunk, or before its COMMIT."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest

from okto_change.demo.stage import installed_command
from tests.attacks.stage import CHANGE, FOLDER, TABLE, Stage, words
from tests.plugins.server import Cluster

APPLY = ("apply", CHANGE, "--env", "prod", "--yes")
BATCH = """\
format: 1
title: Release every settlement
reason: The acquirer timed out.
author: ana
steps:
  - name: fix
    target: ledger
    sql: fix.sql
    touches: [settlements]
    undo: auto
    batch: {table: settlements, key: id, size: 1, pause: 250ms}
"""


@pytest.fixture
def ledger(stage: Stage, server: Cluster) -> Iterator[Stage]:
    """Return a world with a database of sixty settlements, in which everything is approved."""
    name = server.create()
    stage.variables["PROD_LEDGER"] = server.conninfo(name)
    with psycopg.connect(server.conninfo(name), autocommit=True) as connection:
        connection.execute(TABLE.encode())
        connection.execute("INSERT INTO settlements SELECT n, 'PENDING' FROM generate_series(10, 60) AS n")
    stage.approve("bruno")
    yield stage
    server.drop(name)


@pytest.fixture
def batch(ledger: Stage) -> Stage:
    """Return the same with a change that goes through them one by one."""
    sql = "UPDATE settlements SET status = 'SETTLED' WHERE status = 'PENDING' AND {{ batch }};\n"
    ledger.write({f"{FOLDER}/plan.yaml": BATCH, f"{FOLDER}/fix.sql": sql, f"{FOLDER}/fix.undo.sql": None})
    ledger.write({f"{FOLDER}/locks/staging.json": None})
    ledger.lock()
    ledger.publish(ledger.signed("ana", "submit"), ledger.signed("carla", "approve", "owners"))
    ledger.approve("bruno")
    return ledger


def settled(stage: Stage) -> int:
    """Return how many settlements are settled."""
    return int(str(ask(stage, "SELECT count(*) FROM settlements WHERE status <> 'PENDING'")))


def ask(stage: Stage, query: str) -> object:
    """Return the first value of a query."""
    with psycopg.connect(stage.variables["PROD_LEDGER"]) as connection:
        return (connection.execute(query.encode()).fetchone() or [None])[0]


def wait(until: Callable[[], object]) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + 60
    while not until():
        assert time.monotonic() < ends
        time.sleep(0.05)


class Started:
    """A run under way, by the executor's hand."""

    def __init__(self, stage: Stage) -> None:
        environ = stage.environ() | {"OKTO_CHANGE_KEY": str(stage.people["eva"].key)}
        self._process = subprocess.Popen(
            [*installed_command(), *APPLY],
            cwd=stage.work,
            env=environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def end(self) -> tuple[int, str]:
        """Return its exit code and all that it said."""
        out, err = self._process.communicate(timeout=100)
        return self._process.returncode, words(out + err)


@pytest.mark.parametrize("who", ["security", "the approver", "a veto"])
def test_a_no_stops_a_batch_at_its_next_chunk(batch: Stage, who: str) -> None:
    """Chunks that stand can be taken back; the run cannot be resumed as long as the no stands."""
    no, why = {
        "security": (
            batch.signed("davi", "revoke", of="bruno", comment="stolen"),
            "davi revoked what bruno signed: stolen",
        ),
        "the approver": (
            batch.signed("bruno", "revoke", age=0, comment="oops"),
            "bruno withdrew what was signed before: oops",
        ),
        "a veto": (batch.signed("carla", "reject", age=0, comment="wrong rows"), "rejected by carla: wrong rows"),
    }[who]
    run = Started(batch)
    wait(lambda: settled(batch) > 1)
    batch.publish(no)
    code, said = run.end()
    assert code == 6, said
    assert f"stopped: {why}" in said
    done = settled(batch)
    assert 1 < done < 60
    name = str(ask(batch, "SELECT DISTINCT run FROM okto_change.applied"))
    batch.refused(f"stopped: {why}", command=("resume", name), person="eva")
    assert settled(batch) == done
    batch.cleared("rollback", CHANGE, "--env", "prod", "--yes", person="eva")
    assert settled(batch) == 0


def test_a_no_of_somebody_else_does_not(batch: Stage) -> None:
    """A revocation by who may not, one of another version, an approval deleted from the branch: the run goes on."""
    batch.edit(f"{FOLDER}/plan.yaml", "250ms", "100ms")
    batch.edit(f"{FOLDER}/plan.yaml", "size: 1", "size: 4")
    batch.lock()
    batch.publish(batch.signed("ana", "submit"), batch.signed("carla", "approve", "owners"))
    approval = batch.approve("bruno")
    odd = batch.signed("bruno", "revoke", of="carla", comment="I may not")
    other = batch.signed("davi", "revoke", of="bruno", comment="another", plan_digest="0" * 64)
    run = Started(batch)
    wait(lambda: settled(batch) > 1)
    batch.publish(odd, other)
    batch.tamper({approval: None})
    code, said = run.end()
    assert code == 0, said
    assert settled(batch) == 60


@pytest.mark.parametrize("security", [True, False])
def test_a_no_that_comes_while_a_statement_waits_keeps_it_from_committing(ledger: Stage, security: bool) -> None:
    """The transaction is rolled back, and nothing was changed; what somebody says who may not lets it pass."""
    no = ledger.signed("davi" if security else "carla", "revoke", of="bruno", comment="stolen")
    with psycopg.connect(ledger.variables["PROD_LEDGER"]) as holder:
        holder.execute("SELECT FROM settlements WHERE id = 1 FOR UPDATE")
        run = Started(ledger)
        wait(lambda: ask(ledger, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        ledger.publish(no)
        time.sleep(1)
    code, said = run.end()
    if not security:
        assert code == 0, said
        assert settled(ledger) == 1
        return
    assert code == 4, said
    assert "davi revoked what bruno signed: stolen" in said
    assert "rolled back; nothing was changed" in said
    assert settled(ledger) == 0


def test_without_the_remote_a_run_goes_on_and_says_so(batch: Stage) -> None:
    """It was cleared by a fresh word; whoever can cut the line cannot stop it half-way."""
    batch.edit(f"{FOLDER}/plan.yaml", "size: 1", "size: 4")
    batch.lock()
    batch.publish(batch.signed("ana", "submit"), batch.signed("carla", "approve", "owners"))
    batch.approve("bruno")
    run = Started(batch)
    wait(lambda: settled(batch) > 1)
    batch.origin.rename(batch.folder / "away.git")
    code, said = run.end()
    assert code == 0, said
    assert said.count("the run goes on by the decisions known so far") == 1
    assert settled(batch) == 60


def test_a_batch_uses_its_approvals_up(batch: Stage) -> None:
    """As every change: what was taken back is not applied again by the same approvals."""
    batch.edit(f"{FOLDER}/plan.yaml", "size: 1, pause: 250ms", "size: 50")
    batch.lock()
    batch.publish(batch.signed("ana", "submit"), batch.signed("carla", "approve", "owners"))
    batch.approve("bruno")
    batch.cleared(*APPLY, person="eva")
    assert settled(batch) == 60
    batch.cleared("rollback", CHANGE, "--env", "prod", "--yes", person="eva")
    batch.refused("an earlier run used it; approvals count once", command=APPLY, person="eva")
    assert settled(batch) == 0
    batch.publish(batch.signed("carla", "approve", "owners", age=1))
    batch.approve("bruno", age=1)
    batch.cleared(*APPLY, person="eva")
    assert settled(batch) == 60
