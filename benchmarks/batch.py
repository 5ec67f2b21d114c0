"""What a chunked run and its undo cost against psql running the same UPDATE of the same rows in one statement.

``python -m benchmarks.batch [--rows 1000000] [--size 5000] [--rounds 5]`` prints a table. Every row of a table with 12 columns
and 4 indexes is changed, in an indexed column. A round runs every way once, each on a fresh copy of the table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from psycopg.conninfo import make_conninfo

from benchmarks.capture import SETTINGS, Bench
from okto_change.demo import server

LIMIT = 1.5
PLAIN = "UPDATE t SET status = 'RELEASED' WHERE status <> 'RELEASED'"
CHUNKED = PLAIN + " AND {{ batch }}"
PLAN = """\
format: 1
title: The change
reason: To be measured.
author: ana
steps:
  - name: the step
    target: ledger
    sql: change.sql
    batch: {{table: t, key: id, size: {size}}}
    timeouts: {{statement: 1h}}
"""


def measure(bench: Bench) -> tuple[float, float, float]:
    """Return seconds of psql, of apply, and of rollback, after a look that every row was changed and is back."""
    bench.fresh(indexed=True)
    plain, _ = bench.timed(lambda: bench.run_psql(PLAIN))
    bench.write(CHUNKED)
    bench.fresh(indexed=True)
    applied, _ = bench.timed(lambda: bench.okto("apply", "the-change", "--env", "sandbox"))
    demand(bench, "SELECT count(*) FROM t WHERE status <> 'RELEASED'")
    bench.vacuum()
    undone, _ = bench.timed(lambda: bench.okto("rollback", "the-change", "--env", "sandbox"))
    demand(bench, "SELECT count(*) FROM t WHERE status = 'RELEASED'")
    return plain, applied, undone


def demand(bench: Bench, question: str) -> None:
    """Raise SystemExit unless the answer is 0."""
    found = bench.execute(question)
    if found != 0:
        raise SystemExit(f"{question}: {found}")


def main() -> int:
    """Measure and print; return 1 when the limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", choices=("auto", "installed", "embedded"), default="auto")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server.running(given.postgres, durable=True, settings=SETTINGS) as running,
    ):
        psql, admin = running.binaries.folder / "psql", running.conninfo()
        bench = Bench(
            admin,
            make_conninfo(admin, dbname="bench"),
            str(psql if psql.exists() else "psql"),
            Path(folder),
            given.rows,
            Path(folder) / "repository",
            plan=PLAN.format(size=given.size),
        )
        rounds = [measure(bench) for _ in range(given.rounds)]
    ratios = [(applied / plain, undone / plain) for plain, applied, undone in rounds]
    apply, undo = (median(column) for column in zip(*ratios, strict=True))
    print(f"{given.rows} rows in chunks of {given.size}; psql {median(row[0] for row in rounds):.2f} s")
    for name, value, place in (("apply", apply, 0), ("rollback", undo, 1)):
        found = [ratio[place] for ratio in ratios]
        print(f"  {name:<10} {value:5.2f} x  [{min(found):.2f} - {max(found):.2f}]")
    print(f"  apply: limit {LIMIT} {'kept' if apply <= LIMIT else 'MISSED'}; process {bench.memory / 1024:.0f} MB")
    return int(apply > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
