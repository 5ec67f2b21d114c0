"""What images, undo and rehearsal cost against the plain statement, measured side by side on a server of our own.

``python benchmarks/capture.py [--rows 2000000] [--rounds 5] [--postgres installed|embedded]`` prints a table. Half of the
rows are changed. A round runs every way once, each on a fresh copy of the table; ratios are medians of the rounds' ratios.
The plain statement is run by psql; apply, dry run and rollback are whole processes of the installed command.

A run at full size takes about an hour. ``--record FILE`` adds rounds to those of earlier runs, with ``--only`` and ``--ways``
some of them at a time; a file takes rounds of one server version and size only. Each ratio is to the plain statement of its
own round, whatever else the round left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from okto_change.demo import server

COLUMNS = """
    id bigint, code uuid NOT NULL, merchant int NOT NULL, amount numeric(12,2) NOT NULL, currency char(3) NOT NULL,
    status text NOT NULL, note text, details jsonb, created timestamptz NOT NULL, updated timestamptz, tries int, ok boolean
"""
FILL = """
SELECT g, md5(g::text)::uuid, g % 5000, (g % 100000) / 100.0, 'EUR', CASE WHEN g % 2 = 0 THEN 'PENDING' ELSE 'SETTLED' END,
       'note ' || g, jsonb_build_object('batch', g % 97, 'source', 'acquirer'),
       '2026-01-01'::timestamptz + g * interval '1 s', NULL, g % 4, true
  FROM generate_series(1, {rows}) AS g
"""
INDEXES = ("CREATE INDEX ON {t}(merchant)", "CREATE INDEX ON {t}(status, created)", "CREATE INDEX ON {t}(code)")
CHANGES = {
    "UPDATE of an indexed column": (True, "UPDATE {t} SET status = 'RELEASED' WHERE id % 2 = 0"),
    "UPDATE, key only": (False, "UPDATE {t} SET status = 'RELEASED' WHERE id % 2 = 0"),
    "DELETE": (True, "DELETE FROM {t} WHERE id % 2 = 0"),
    "INSERT": (
        True,
        "INSERT INTO {t} SELECT id + 100000000, code, merchant, amount, currency, status, note, details, created,"
        " updated, tries, ok FROM {t} WHERE id % 2 = 0",
    ),
}
LIMITS = {
    ("UPDATE of an indexed column", "apply"): 1.2,
    ("UPDATE, key only", "apply"): 1.6,
    ("UPDATE of an indexed column", "rollback"): 1.3,
    ("UPDATE of an indexed column", "dry run"): 2.8,
    ("UPDATE of an indexed column", "triggers"): 1.7,
}
WAL_LIMIT = 1.3
WAL_LIMITED = ("UPDATE of an indexed column", "UPDATE, key only")
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off"}
MEMORY = 150 * 1024
POLICY = """\
version: 1
repo: 7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f
protected_ref: refs/heads/main
approvals_refs: [refs/heads/okto-approvals]
people: {{ana: {{emails: [ana@example.org], keys: [{{key: "{key}", valid_from: 2026-01-01T00:00:00Z}}]}}}}
groups: {{engineers: [ana]}}
environments:
  sandbox:
    journal: ledger
    targets: {{ledger: {{postgres: {{dsn_env: OKTO_LEDGER_DSN}}}}}}
    from_head: true
    dry_run: optional
rules:
  - {{id: sandbox, when: {{env: [sandbox]}}, require: {{}}}}
"""
PLAN = """\
format: 1
title: The change
reason: To be measured.
author: ana
steps:
  - {name: the step, target: ledger, sql: change.sql, timeouts: {statement: 1h}}
"""
WAYS = ("apply", "rollback", "dry run", "triggers")


@dataclass
class Bench:
    """A database, a repository and what was measured: (change, way) -> ratios; seconds and WAL bytes of the plain one."""

    admin: str
    dsn: str
    psql: str
    folder: Path
    rows: int
    repository: Path
    plan: str = PLAN
    server: str = ""
    states: int = 0
    memory: int = 0
    """kilobytes of our largest process"""
    ratios: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    wal: dict[str, list[float]] = field(default_factory=dict)
    plain: dict[str, list[float]] = field(default_factory=dict)

    def round(self, name: str, ways: tuple[str, ...]) -> None:
        """Measure every way of one change once."""
        indexed, text = CHANGES[name]
        statement = text.format(t="t")
        self.fresh(indexed)
        base, base_wal = self.timed(lambda: self.run_psql(statement))
        self.plain.setdefault(name, []).append(base)
        self.write(statement)
        took: dict[str, float] = {}
        if "dry run" in ways:
            self.fresh(indexed)
            took["dry run"] = self.timed(lambda: self.okto("dry-run", "the-change", "--env", "sandbox"))[0]
        if {"apply", "rollback"} & set(ways):
            self.fresh(indexed)
            took["apply"], wal = self.timed(lambda: self.okto("apply", "the-change", "--env", "sandbox"))
            self.wal.setdefault(name, []).append(wal / base_wal)
        if "rollback" in ways:
            self.vacuum()
            took["rollback"] = self.timed(lambda: self.okto("rollback", "the-change", "--env", "sandbox"))[0]
        if "triggers" in ways:
            self.write(statement + "; DO $$BEGIN END$$")
            self.fresh(indexed)
            took["triggers"] = self.timed(lambda: self.okto("apply", "the-change", "--env", "sandbox"))[0]
        for way, seconds in took.items():
            self.ratios.setdefault((name, way), []).append(seconds / base)

    def keep(self, record: Path | None) -> None:
        """Write what was measured so far."""
        if record is not None:
            ratios = [[*key, found] for key, found in self.ratios.items()]
            found = [self.conditions, ratios, self.wal, self.plain, self.memory]
            record.write_text(json.dumps(found), encoding="utf-8")

    def recall(self, record: Path | None) -> None:
        """Go on from what was measured before. Raises SystemExit when that was another server or size."""
        if record is not None and record.exists():
            conditions, ratios, self.wal, self.plain, self.memory = json.loads(record.read_text(encoding="utf-8"))
            if conditions != self.conditions:
                raise SystemExit(f"{record} has rounds of {conditions}, these would be of {self.conditions}")
            self.ratios = {(name, way): found for name, way, found in ratios}

    @property
    def conditions(self) -> list[object]:
        """What all rounds of a record have in common."""
        return [self.server, self.rows]

    def timed(self, work: Callable[[], None]) -> tuple[float, float]:
        """Return seconds and bytes of WAL."""
        self.execute("CHECKPOINT")
        start = self.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        end = self.execute("SELECT pg_current_wal_insert_lsn() - '0/0'")
        return seconds, float(str(end)) - float(str(start))

    def fresh(self, indexed: bool) -> None:
        """Make the database anew: a copy of the files of one that was filled, indexed and vacuumed."""
        template = f"filled_{'all' if indexed else 'key'}"
        with psycopg.connect(self.admin, autocommit=True) as connection:
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [template]).rowcount:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(template)))
                self.fill(make_conninfo(self.admin, dbname=template), indexed)
            connection.execute("DROP DATABASE IF EXISTS bench WITH (FORCE)")
            files = " STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
            connection.execute(f"CREATE DATABASE bench TEMPLATE {template}{files}".encode())
        self.states += 1  # what this machine remembers of the journal belongs to the database

    def fill(self, dsn: str, indexed: bool) -> None:
        """Fill the table, and let one run of another change make the tables that we need."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                f"CREATE TABLE t ({COLUMNS}); CREATE TABLE small (id int PRIMARY KEY, status text)".encode()
            )
            connection.execute(f"INSERT INTO t {FILL.format(rows=self.rows)}".encode())
            connection.execute("INSERT INTO small SELECT g, 'old' FROM generate_series(1, 1000) AS g")
            connection.execute("ALTER TABLE t ADD PRIMARY KEY (id)")
            for index in INDEXES if indexed else ():
                connection.execute(index.format(t="t").encode())
            connection.execute("VACUUM ANALYZE")
        here, self.dsn = self.dsn, dsn
        self.write("UPDATE small SET status = 'first' WHERE id = 1", "first-change")
        self.okto("apply", "first-change", "--env", "sandbox")
        self.dsn = here

    def vacuum(self) -> None:
        """Leave the table as autovacuum would."""
        self.execute("VACUUM ANALYZE t")

    def execute(self, statement: str) -> object:
        """Run a statement of the benchmark; return its first value."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None

    def run_psql(self, statement: str) -> None:
        """Run the plain statement."""
        subprocess.run([self.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.dsn, "-c", statement], check=True)

    def write(self, statement: str, change: str = "the-change", plan: str | None = None) -> None:
        """Make the statement a change of the repository, in place of what it was; ``plan`` in place of the usual one."""
        git = ["git", "-C", str(self.repository), "-c", "user.name=ana", "-c", "user.email=ana@example.org"]
        if not (self.repository / ".git").exists():
            subprocess.run(["git", "init", "-q", "-b", "main", str(self.repository)], check=True)
            self.file(".okto-change/policy/0001.yaml", POLICY.format(key=self.key()))
        shutil.rmtree(self.repository / f"changes/2026-01-01-{change}", ignore_errors=True)  # with what a dry run left
        usual = self.plan if change == "the-change" else PLAN
        self.file(f"changes/2026-01-01-{change}/plan.yaml", plan or usual)
        self.file(f"changes/2026-01-01-{change}/change.sql", statement + ";\n")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Write"], check=True)
        self.okto("lock", change, "--env", "sandbox")
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Lock"], check=True)

    def file(self, name: str, text: str) -> None:
        """Write a file of the repository."""
        path = self.repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def key(self) -> str:
        """Return a public key; it signs nothing, the sandbox asks for nobody."""
        path = self.folder / "key"
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ana", "-f", str(path)], check=True)
        return path.with_suffix(".pub").read_text(encoding="utf-8").strip()

    def okto(self, *arguments: str) -> None:
        """Run a command as a process of its own and note its memory. Raises SystemExit with its output when it fails."""
        environ = os.environ | {"OKTO_LEDGER_DSN": self.dsn, "XDG_STATE_HOME": str(self.folder / f"state{self.states}")}
        argv = [str(Path(sys.executable).with_name("okto-change")), *arguments]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(argv, cwd=self.repository, env=environ, stdout=output, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.memory = max(self.memory, usage.ru_maxrss)
            if process.returncode:
                output.seek(0)
                raise SystemExit(f"{' '.join(argv)}\n{output.read().decode()}")


def show(bench: Bench) -> int:
    """Print the table; return 1 when a limit is missed."""
    missed = 0
    print(
        f"PostgreSQL {bench.server}, {bench.rows} rows, half of them changed; medians of the ratios to psql, lowest and"
        " highest round in brackets, number of rounds"
    )
    for name, seconds in bench.plain.items():
        print(f"\n{name}: psql {median(seconds):.2f} s, WAL of apply {_wal(bench, name)}")
        missed += name in WAL_LIMITED and bool(bench.wal.get(name)) and median(bench.wal[name]) > WAL_LIMIT
        for way in WAYS:
            found = bench.ratios.get((name, way))
            if not found:
                continue
            limit = LIMITS.get((name, way))
            over = limit is not None and median(found) > limit
            missed += over
            words = "" if limit is None else f"   limit {limit} {'MISSED' if over else 'kept'}"
            print(f"  {way:<10} {median(found):5.2f} x  [{min(found):.2f} - {max(found):.2f}] {len(found)}{words}")
    print(f"\nlargest process of ours: {bench.memory / 1024:.0f} MB")
    return int(missed > 0 or bench.memory > MEMORY)


def _wal(bench: Bench, name: str) -> str:
    found = bench.wal.get(name)
    if not found:
        return "not measured"
    limit = f"   limit {WAL_LIMIT} {'MISSED' if median(found) > WAL_LIMIT else 'kept'}" if name in WAL_LIMITED else ""
    return f"{median(found):.2f} x{limit}"


def main() -> int:
    """Measure and print; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", choices=("auto", "installed", "embedded"), default="auto")
    parser.add_argument("--only", action="append", choices=CHANGES, help="these changes; all by default")
    parser.add_argument("--ways", action="append", choices=WAYS, help="these ways; all by default")
    parser.add_argument("--record", type=Path, help="a file that the rounds are added to; the table is of all in it")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server.running(given.postgres, durable=True, settings=SETTINGS) as running,
    ):
        psql = running.binaries.folder / "psql"
        admin = running.conninfo()
        dsn = make_conninfo(admin, dbname="bench")
        bench = Bench(
            admin, dsn, str(psql if psql.exists() else "psql"), Path(folder), given.rows, Path(folder) / "repository"
        )
        bench.server = running.binaries.version
        bench.recall(given.record)
        for _ in range(given.rounds):
            for name in given.only or CHANGES:
                usual = WAYS if name.startswith("UPDATE of") else ("apply", "rollback")
                bench.round(name, tuple(way for way in usual if way in (given.ways or WAYS)))
                bench.keep(given.record)
        return show(bench)


if __name__ == "__main__":
    sys.exit(main())
