"""A fix of 40 rows: the whole process of ``okto-change apply`` against ``sqitch deploy --verify``, on one server.

``python -m benchmarks.small [--pairs 7] [--many 300]`` prints both medians and the median of the pairs' ratios. Both update
the same 40 rows of the same table, connect alike, and look at the result: sqitch by a verify script, we by a check. The
first pair of each is not counted: it makes the tables that either tool keeps its books in. Then the engine runs that
many such fixes, and what they left in the catalogue is counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from benchmarks.capture import POLICY, SETTINGS, Bench
from okto_change.approval import policy
from okto_change.demo import server
from okto_change.execution import runner
from okto_change.model import Result
from okto_change.pipeline import running
from okto_change.pipeline.compiling import analyse_live, compile_change
from okto_change.pipeline.connections import open_journal, open_targets
from okto_change.pipeline.evidence import find, new_job

LIMIT = 1.0
ROWS = 10_000
CHANGE = "2026-01-01-the-change"
CATALOGUES = ("pg_class", "pg_type", "pg_attribute", "pg_index", "pg_constraint", "pg_trigger", "pg_proc", "pg_depend")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ana"
"""a public key: it signs nothing, the sandbox asks for nobody"""
PLAN = """\
format: 1
title: The change
reason: To be measured.
author: ana
steps:
  - {name: the step, target: ledger, sql: change.sql, rows: 40}
checks:
  inside:
    - {name: all are there, target: ledger, statement: "SELECT count(*) FROM t WHERE status = 'FIXED'", expect: 40}
"""
UPDATE = "UPDATE t SET status = 'FIXED', tries = {round} WHERE id BETWEEN 1 AND 40"
VERIFY = "SELECT 1 / (count(*) = 40)::int FROM t WHERE status = 'FIXED' AND tries = {round};\n"


class Sqitch:
    """A sqitch project whose every change is deployed on its own."""

    def __init__(self, folder: Path, dsn: str, binaries: Path) -> None:
        """Begin the project."""
        given = conninfo_to_dict(dsn)
        self.folder = folder
        self.environ = os.environ | {
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "SQITCH_FULLNAME": "ana",
            "SQITCH_EMAIL": "ana@example.org",
            "SQITCH_USER_CONFIG": str(folder / "none"),
            "PGHOST": str(given["host"]),
            "PGPORT": str(given["port"]),
            "PGUSER": str(given["user"]),
            "PGPASSWORD": str(given.get("password") or ""),
        }
        self.database = f"db:pg:{given['dbname']}"
        folder.mkdir()
        self.run("init", "bench", "--engine", "pg")

    def run(self, *arguments: str) -> None:
        """Run sqitch. Raises SystemExit with its output when it fails."""
        done = subprocess.run(
            ["sqitch", *arguments], cwd=self.folder, env=self.environ, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"sqitch {' '.join(arguments)}\n{done.stdout}{done.stderr}")

    def add(self, number: int) -> None:
        """Write one change."""
        self.run("add", f"c{number}", "-n", "a fix")
        (self.folder / f"deploy/c{number}.sql").write_text(f"BEGIN;\n{UPDATE.format(round=number)};\nCOMMIT;\n")
        (self.folder / f"verify/c{number}.sql").write_text(VERIFY.format(round=number))

    def deploy(self, number: int) -> None:
        """Deploy and verify one change."""
        self.run("deploy", "--verify", "--target", self.database, "--to-change", f"c{number}")


def catalogue(dsn: str) -> dict[str, int]:
    """Return how many rows each catalogue has that a table of images would leave its own in."""
    count = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*) FROM {}").format(name, sql.Identifier("pg_catalog", name)) for name in CATALOGUES
    )
    with psycopg.connect(dsn, autocommit=True) as connection:
        return dict(connection.execute(count).fetchall())


def run_many(dsn: str, runs: int) -> tuple[float, dict[str, int]]:
    """Run a fix of 40 rows so many times through the engine; return milliseconds a run, and what the catalogues grew by."""
    rules = policy.read(POLICY.format(key=KEY).encode(), "0001.yaml")
    entry = rules.environment("sandbox")
    files = {"plan.yaml": PLAN.encode(), "change.sql": f"{UPDATE.format(round='tries + 1')};\n".encode()}
    compiled = compile_change(rules, CHANGE, entry.name, files)
    environ = {"OKTO_LEDGER_DSN": dsn}
    with open_targets(entry, environ) as targets, open_journal(entry, environ, actor="ana") as journal:
        live = analyse_live(compiled, find(compiled, targets))

        def run(number: int) -> None:
            lock = replace(compiled.lock, change=f"{CHANGE}-{number}")
            job = new_job(lock, targets, entry.journal, statements=live.statements, person="ana", digest=lock.digest)
            outcome = running.loop(job, runner.apply(job), journal, lambda event: None)
            assert outcome.result is Result.DONE, outcome

        run(0)
        before, began = catalogue(dsn), time.perf_counter()
        for number in range(runs):
            run(number + 1)
        took = (time.perf_counter() - began) * 1000 / max(1, runs)
    after = catalogue(dsn)
    return took, {name: after[name] - before[name] for name in CATALOGUES}


def pair(bench: Bench, sqitch: Sqitch, number: int) -> tuple[float, float]:
    """Return the seconds of our apply and of sqitch's deploy; which goes first alternates."""
    bench.write(UPDATE.format(round=number), f"c{number}", PLAN)
    sqitch.add(number)
    seconds = [0.0, 0.0]
    for which in (number % 2, 1 - number % 2):
        began = time.perf_counter()
        if which == 0:
            bench.okto("apply", f"c{number}", "--env", "sandbox")
        else:
            sqitch.deploy(number)
        seconds[which] = time.perf_counter() - began
    return seconds[0], seconds[1]


def main() -> int:
    """Measure and print; return 1 when the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--many", type=int, default=300)
    parser.add_argument("--postgres", choices=("auto", "installed", "embedded"), default="auto")
    given = parser.parse_args()
    if shutil.which("sqitch") is None:
        print("sqitch is not installed: nothing was compared")
        return 0
    # An installed package has its bytecode; so has this one, after the first run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with (
        tempfile.TemporaryDirectory() as folder,
        server.running(given.postgres, durable=True, settings=SETTINGS) as running,
    ):
        admin, psql = running.conninfo(), running.binaries.folder / "psql"
        dsn = make_conninfo(admin, dbname="bench")
        work = Path(folder)
        bench = Bench(admin, dsn, str(psql if psql.exists() else "psql"), work, ROWS, work / "repository")
        bench.fresh(indexed=True)
        sqitch = Sqitch(work / "sqitch", dsn, running.binaries.folder)
        pairs = [pair(bench, sqitch, number) for number in range(given.pairs + 1)][1:]
        took, left = run_many(dsn, given.many)
    ours, theirs = (median(column) * 1000 for column in zip(*pairs, strict=True))
    ratios = [mine / other for mine, other in pairs]
    print(
        f"a fix of 40 rows, {given.pairs} pairs: okto-change apply {ours:.0f} ms, sqitch deploy --verify {theirs:.0f} ms"
    )
    print(
        f"  {median(ratios):.2f} x  [{min(ratios):.2f} - {max(ratios):.2f}]   limit {LIMIT}"
        f" {'kept' if median(ratios) <= LIMIT else 'MISSED'}"
    )
    grown = ", ".join(f"{rows} in {name}" for name, rows in left.items() if rows) or "no row in any catalogue"
    print(f"{given.many} such fixes by the engine, {took:.1f} ms each: they left {grown}")
    return int(median(ratios) > LIMIT or any(left.values()))


if __name__ == "__main__":
    sys.exit(main())
