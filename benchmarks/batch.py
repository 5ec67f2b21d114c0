"""What a chunked run and its undo cost against psql running the same UPDATE in one statement, and against psql in chunks.

``python -m benchmarks.batch [--rows 2000000] [--size 10000] [--rounds 5]`` prints a table. Half of the rows of one of 12 columns
and 4 indexes are changed, in an indexed column. A round runs every way once, each on a fresh copy; ratios are
medians of the rounds' ratios. The processes of ours are whole commands.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from psycopg.conninfo import make_conninfo

from benchmarks.capture import SETTINGS, Bench
from okto_change.demo import server

LIMITS = {"apply": 1.5, "rollback": 1.3}
PLAIN = "UPDATE t SET status = 'RELEASED' WHERE id % 2 = 0"
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


def measure(bench: Bench, size: int) -> dict[str, float]:
    """Return seconds of each way, after a look that every row was changed and is back."""
    bench.fresh(indexed=True)
    took = {"psql": bench.timed(lambda: bench.run_psql(PLAIN))[0]}
    bench.fresh(indexed=True)
    took["psql in chunks"] = bench.timed(lambda: in_chunks(bench, size))[0]
    bench.write(CHUNKED)
    bench.fresh(indexed=True)
    took["apply"] = bench.timed(lambda: bench.okto("apply", "the-change", "--env", "sandbox"))[0]
    demand(bench, "SELECT count(*) FROM t WHERE (id % 2 = 0) <> (status = 'RELEASED')")
    bench.vacuum()
    took["rollback"] = bench.timed(lambda: bench.okto("rollback", "the-change", "--env", "sandbox"))[0]
    demand(bench, "SELECT count(*) FROM t WHERE status <> CASE WHEN id % 2 = 0 THEN 'PENDING' ELSE 'SETTLED' END")
    return took


def in_chunks(bench: Bench, size: int) -> None:
    """Run the statement for each range of the key by one psql, a transaction each: the least that chunks can cost."""
    ranges = ((first, first + size - 1) for first in range(1, bench.rows + 1, size))
    text = "".join(f"{PLAIN} AND id BETWEEN {first} AND {last};\n" for first, last in ranges)
    command = [bench.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", bench.dsn]
    subprocess.run(command, input=text.encode(), check=True)


def demand(bench: Bench, question: str) -> None:
    """Raise SystemExit unless the answer is 0."""
    found = bench.execute(question)
    if found != 0:
        raise SystemExit(f"{question}: {found}")


def show(bench: Bench, size: int, rounds: list[dict[str, float]]) -> int:
    """Print the table; return 1 when a limit is missed."""
    plain = median(round_["psql"] for round_ in rounds)
    print(f"{bench.rows:,} rows in chunks of {size:,}, half of them changed; psql in one statement {plain:.2f} s")
    missed = 0
    for way in ("psql in chunks", "apply", "rollback"):
        ratios = [round_[way] / round_["psql"] for round_ in rounds]
        limit = LIMITS.get(way)
        over = limit is not None and median(ratios) > limit
        missed += over
        words = "" if limit is None else f"   limit {limit} {'MISSED' if over else 'kept'}"
        print(f"  {way:<15} {median(ratios):5.2f} x  [{min(ratios):.2f} - {max(ratios):.2f}]{words}")
    print(f"  largest process of ours: {bench.memory / 1024:.0f} MB")
    return int(missed > 0)


def main() -> int:
    """Measure and print; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--size", type=int, default=10_000)
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
        return show(bench, given.size, [measure(bench, given.size) for _ in range(given.rounds)])


if __name__ == "__main__":
    sys.exit(main())
