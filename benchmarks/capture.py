"""What images, undo and rehearsal cost against the plain statement, measured side by side on a server of our own.

``python benchmarks/capture.py [--rows 2000000] [--rounds 5] [--postgres installed|embedded]`` prints a table. Half of the
rows are changed. A round runs every way once, each on a fresh copy of the table; ratios are medians of the rounds' ratios.
The plain statement is run by psql; apply, dry run and rollback are whole processes of the installed command.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psycopg

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
    "INSERT": (True, "INSERT INTO {t} SELECT id + 100000000, code, merchant, amount, currency, status, note, details, created,"
                     " updated, tries, ok FROM {t} WHERE id % 2 = 0"),
}  # fmt: skip
LIMITS = {("UPDATE of an indexed column", "apply"): 1.2, ("UPDATE, key only", "apply"): 1.6,
          ("UPDATE of an indexed column", "rollback"): 1.3, ("UPDATE of an indexed column", "dry run"): 2.8,
          ("UPDATE of an indexed column", "triggers"): 1.7}  # fmt: skip
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

    dsn: str
    psql: str
    folder: Path
    rows: int
    repository: Path = Path()
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
        self.fresh(indexed)
        if "dry run" in ways:
            took["dry run"] = self.timed(lambda: self.okto("dry-run", "the-change", "--env", "sandbox"))[0]
        self.fresh(indexed)
        took["apply"], wal = self.timed(lambda: self.okto("apply", "the-change", "--env", "sandbox"))
        self.wal.setdefault(name, []).append(wal / base_wal)
        self.vacuum()
        took["rollback"] = self.timed(lambda: self.okto("rollback", "the-change", "--env", "sandbox"))[0]
        if "triggers" in ways:
            self.write(statement + "; DO $$BEGIN END$$")
            self.fresh(indexed)
            took["triggers"] = self.timed(lambda: self.okto("apply", "the-change", "--env", "sandbox"))[0]
            self.okto("rollback", "the-change", "--env", "sandbox")
        for way, seconds in took.items():
            if way in ways:
                self.ratios.setdefault((name, way), []).append(seconds / base)

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
        """Make the table anew."""
        self.execute("DROP TABLE IF EXISTS t")
        self.execute("DO $$DECLARE r record; BEGIN FOR r IN SELECT relname FROM pg_class WHERE relname LIKE 'rows\\_%'"
                     " AND relnamespace = to_regnamespace('okto_change') LOOP EXECUTE 'DROP TABLE okto_change.' || r.relname;"
                     " END LOOP; END$$")  # fmt: skip
        self.execute(f"CREATE TABLE t ({COLUMNS})")
        self.execute(f"INSERT INTO t {FILL.format(rows=self.rows)}")
        self.execute("ALTER TABLE t ADD PRIMARY KEY (id)")
        for index in INDEXES if indexed else ():
            self.execute(index.format(t="t"))
        self.vacuum()

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

    def write(self, statement: str) -> None:
        """Make a repository whose change runs the statement; a new one, so that nothing stands of the last."""
        self.execute("DROP SCHEMA IF EXISTS okto_change CASCADE")
        self.repository = Path(tempfile.mkdtemp(dir=self.folder))
        git = ["git", "-C", str(self.repository), "-c", "user.name=ana", "-c", "user.email=ana@example.org"]
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.repository)], check=True)
        self.file(".okto-change/policy/0001.yaml", POLICY.format(key=self.key()))
        self.file("changes/2026-01-01-the-change/plan.yaml", PLAN)
        self.file("changes/2026-01-01-the-change/change.sql", statement + ";\n")
        for command in ([*git, "add", "-A"], [*git, "commit", "-q", "-m", "Begin"]):
            subprocess.run(command, check=True)
        self.okto("lock", "the-change", "--env", "sandbox")
        for command in ([*git, "add", "-A"], [*git, "commit", "-q", "-m", "Lock"]):
            subprocess.run(command, check=True)

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
        environ = os.environ | {"OKTO_LEDGER_DSN": self.dsn, "XDG_STATE_HOME": str(self.folder / "state")}
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
        f"{bench.rows} rows, half of them changed; medians of the ratios to psql, lowest and highest round in brackets"
    )
    for name, seconds in bench.plain.items():
        print(f"\n{name}: psql {median(seconds):.2f} s, WAL of apply {median(bench.wal[name]):.2f} x")
        for way in WAYS:
            found = bench.ratios.get((name, way))
            if not found:
                continue
            limit = LIMITS.get((name, way))
            over = limit is not None and median(found) > limit
            missed += over
            words = "" if limit is None else f"   limit {limit} {'MISSED' if over else 'kept'}"
            print(f"  {way:<10} {median(found):5.2f} x  [{min(found):.2f} - {max(found):.2f}]{words}")
    print(f"\nlargest process of ours: {bench.memory / 1024:.0f} MB")
    return int(missed > 0 or bench.memory > MEMORY)


def main() -> int:
    """Measure and print; return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--postgres", choices=("auto", "installed", "embedded"), default="auto")
    parser.add_argument("--only", action="append", choices=CHANGES, help="these changes; all by default")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        server.running(given.postgres, durable=True, settings=SETTINGS) as running,
    ):
        psql = running.binaries.folder / "psql"
        bench = Bench(running.conninfo(), str(psql if psql.exists() else "psql"), Path(folder), given.rows)
        for _ in range(given.rounds):
            for name in given.only or CHANGES:
                bench.round(name, WAYS if name.startswith("UPDATE of") else ("apply", "rollback"))
        return show(bench)


if __name__ == "__main__":
    sys.exit(main())
