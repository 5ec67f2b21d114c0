"""The installed command goes through a large fix, is paused from another terminal, interrupted, resumed, and taken back."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from okto_change.demo.stage import installed_command
from tests.acceptance.test_failures_interrupted import started, wait_for
from tests.plugins.journey import CHANGE, Bank

FIX = """\
  - name: release
    target: ledger
    sql: release.sql
    rows: 40
    touches: [settlements]
    batch: {table: settlements, key: id, size: 1, pause: 200ms}
"""
ROWS = """
CREATE TABLE settlements (id bigint PRIMARY KEY, status text NOT NULL);
INSERT INTO settlements SELECT n, 'PENDING' FROM generate_series(1, 40) AS n;
ANALYZE settlements;
"""
RELEASE = "UPDATE settlements SET status = status || 'RELEASED' WHERE {{ batch }};\n"


def okto(folder: Path, *arguments: str, code: int) -> str:
    """Run the command in the repository and demand its exit code; return what it printed."""
    done = subprocess.run(
        [*installed_command(), *arguments], cwd=folder, text=True, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def chunks(bank: Bank) -> int:
    """Return how many chunks stand."""
    return int(bank.sql("SELECT count(*) FROM okto_change.chunk WHERE undone_by IS NULL")[0][0])


def test_a_large_fix_is_paused_interrupted_resumed_and_taken_back(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause from another process, Ctrl-C the second time, go on with the rest, take all of it back: no row is done twice."""
    monkeypatch.setenv("OKTO_SECOND_DSN", bank.ledger)  # status asks every target
    bank.sql(ROWS)
    bank.plan(FIX, release=RELEASE)
    here = bank.journey.git.path
    assert "rehearsed 2 of about 40 chunks; estimated from these: about 40 rows" in okto(
        here, "dry-run", CHANGE, "--env", "sandbox", code=0
    )
    with started(bank, "apply") as process:
        wait_for(lambda: chunks(bank) >= 2)
        run = str(bank.journey.status().run)
        assert "okto-change pause" in okto(here, "status", "--env", "sandbox", code=0)
        asked = json.loads(okto(here, "pause", run, "--json", code=0))
        out, err = process.communicate(timeout=60)
    assert process.returncode == 6 and "PAUSED  paused as ana asked at" in out, out + err
    assert (asked["run"], asked["target"], asked["progress"]["step"]) == (run, "ledger", "release")
    assert f"okto-change resume {run}" in out and "chunk 1 of about 40" in err
    stand = chunks(bank)
    assert 2 <= stand < 40
    assert "PAUSED" in okto(here, "status", "--env", "sandbox", code=0)
    with subprocess.Popen(
        [*installed_command(), "resume", run], cwd=here, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for(lambda: chunks(bank) > stand)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 6 and "interrupted by SIGINT" in out, out + err
    okto(here, "resume", run, code=0)
    assert bank.sql("SELECT DISTINCT status FROM settlements") == [("PENDINGRELEASED",)]
    okto(here, "rollback", CHANGE, "--env", "sandbox", "--yes", code=0)
    assert bank.sql("SELECT DISTINCT status FROM settlements") == [("PENDING",)]


def test_what_only_clean_left_of_a_large_fix_is_taken_back_later(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words lead from one rollback to the next: what is in the way, what is left, that all of it is back."""
    monkeypatch.setenv("OKTO_SECOND_DSN", bank.ledger)
    bank.sql("CREATE TABLE settlements (id bigint PRIMARY KEY, status text UNIQUE)")
    bank.sql("INSERT INTO settlements SELECT n, 'PENDING ' || n FROM generate_series(1, 40) AS n; ANALYZE settlements")
    step = FIX.replace("size: 1, pause: 200ms", "size: 10")
    bank.plan(step, release="UPDATE settlements SET status = 'RELEASED ' || id WHERE {{ batch }};\n")
    here, released = bank.journey.git.path, "SELECT id FROM settlements WHERE status LIKE 'RELEASED%' ORDER BY id"
    okto(here, "apply", CHANGE, "--env", "sandbox", "--yes", code=0)
    bank.sql("INSERT INTO settlements VALUES (107, 'PENDING 7'), (132, 'PENDING 32')")
    rollback = ("rollback", CHANGE, "--env", "sandbox")
    out = okto(here, *rollback, "--only-clean", "--yes", code=6)
    assert "took back a part of run" in out and "chunk 1: public.settlements (id=7)" in out
    assert bank.sql(released) == [(7,), (32,)]
    assert "which the dry run names" in okto(here, "status", "--env", "sandbox", code=0)
    bank.sql("DELETE FROM settlements WHERE id = 132; UPDATE settlements SET status = 'MINE' WHERE id = 31")
    out = " ".join(okto(here, *rollback, "--dry-run", code=6).split())
    assert "2 chunks to be taken back" in out and "of 2 of them what is left" in out and "id=7" in out
    assert bank.sql(released) == [(7,), (32,)]
    okto(here, *rollback, "--only-clean", "--yes", code=6)
    assert bank.sql(released) == [(7,)]
    bank.sql("DELETE FROM settlements WHERE id = 107")
    told = json.loads(okto(here, *rollback, "--yes", "--json", code=0))
    assert told["result"] == "done" and bank.sql(released) == []
    assert bank.sql("SELECT status FROM settlements WHERE id = 31") == [("MINE",)]
