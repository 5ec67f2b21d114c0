"""A change repository with a sandbox that needs no approval, and the journey as calls in this process or in a doomed one."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from okto_change import pipeline
from okto_change.model import ChangeStatus, DryRun, Entry, Event, Outcome, UndoPreview
from okto_change.pipeline.repository import Repository, open_repository
from tests.plugins import doomed
from tests.plugins.home import clean_environment
from tests.plugins.people import GitRepo, Keys, make_repository
from tests.plugins.server import Cluster

CHANGE = "2026-11-22-the-change"
POLICY = """\
version: 1
repo: 7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f
protected_ref: refs/heads/main
approvals_refs: [refs/heads/okto-approvals]
people:
  ana:
    emails: [ana@example.org]
    keys:
      - {{key: "{key}", valid_from: 2026-01-01T00:00:00Z}}
groups: {{engineers: [ana]}}
environments:
  sandbox:
    journal: {journal}
    targets:
      ledger: {{postgres: {{dsn_env: OKTO_LEDGER_DSN}}}}
      second: {{postgres: {{dsn_env: OKTO_SECOND_DSN}}}}
      records: {{postgres: {{dsn_env: OKTO_RECORDS_DSN}}}}
      routing: {{files: {{root_env: OKTO_ROUTING}}}}
    from_head: true
    dry_run: optional
rules:
  - {{id: sandbox, when: {{env: [sandbox]}}, require: {{}}}}
"""


@dataclass
class Journey:
    """One change in one repository. ``events`` collects what every command announced."""

    git: GitRepo
    config: Path
    events: list[Event] = field(default_factory=list)
    _head: str = ""
    _opened: Repository | None = None

    @property
    def repository(self) -> Repository:
        """Open the repository, as every command does; the one of before serves as long as nothing was committed."""
        head = (self.git.path / ".git" / "refs" / "heads" / "main").read_text()
        if head != self._head:
            self.close()
            self._head, self._opened = head, open_repository(self.git.path)
        assert self._opened is not None
        return self._opened

    def close(self) -> None:
        """End the git process that answers for the repository."""
        if self._opened is not None:
            self._opened.close()

    @property
    def kinds(self) -> list[str]:
        """What was announced so far, in words."""
        return [event.kind.value for event in self.events]

    def write(
        self,
        steps: str,
        files: Mapping[str, str] | None = None,
        *,
        checks: str = "",
        lock: bool = True,
        change: str = CHANGE,
    ) -> None:
        """Write the plan's steps (YAML) and its files, lock and commit it."""
        plan = f"format: 1\ntitle: The change\nreason: It must be tested.\nauthor: ana\nsteps:\n{steps}{checks}"
        folder = f"changes/{change}/"
        self.git.write({folder + name: text for name, text in {"plan.yaml": plan, **(files or {})}.items()})
        if lock:
            pipeline.lock(self.repository, change, "sandbox")
        self.git.commit("The change")

    def dry_run(self) -> DryRun:
        """Rehearse."""
        return pipeline.dry_run(self.repository, CHANGE, "sandbox", static=False, watch=self.events.append).dry_run

    def apply(self, watch: Callable[[Event], None] | None = None, *, change: str = CHANGE) -> Outcome:
        """Apply."""
        return pipeline.apply(self.repository, change, "sandbox", watch=watch or self.events.append)

    def rollback(self, watch: Callable[[Event], None] | None = None, *, only_clean: bool = False) -> Outcome:
        """Take back."""
        return pipeline.rollback(
            self.repository, CHANGE, "sandbox", only_clean=only_clean, watch=watch or self.events.append
        )

    def rollback_preview(self) -> UndoPreview:
        """Show what taking back would do."""
        found = pipeline.rollback_preview(self.repository, CHANGE, "sandbox")
        assert isinstance(found, UndoPreview), found
        return found

    def redo(self, watch: Callable[[Event], None] | None = None) -> Outcome:
        """Put back what was taken back."""
        return pipeline.redo(self.repository, CHANGE, "sandbox", watch=watch or self.events.append)

    def redo_preview(self) -> UndoPreview:
        """Show what putting back would do."""
        found = pipeline.redo_preview(self.repository, CHANGE, "sandbox")
        assert isinstance(found, UndoPreview), found
        return found

    def resume(self, run: str) -> Outcome:
        """Go on with a run."""
        return pipeline.resume(self.repository, run, watch=self.events.append)

    def status(self) -> ChangeStatus:
        """Return where the change stands, as ``okto-change status`` tells it."""
        return pipeline.status(self.repository, "sandbox").changes[0]

    def journal(self) -> tuple[Entry, ...]:
        """Return every entry, after a look at the whole chain."""
        report = pipeline.audit_verify(self.repository, "sandbox")
        assert report.problems == ()
        return pipeline.audit_log(self.repository, "sandbox")

    def written(self, run: str) -> list[str]:
        """Return what the journal holds of a run, in words."""
        return [entry.event.kind.value for entry in self.journal() if entry.event.run == run]

    def killed(self, command: str, kind: str, moment: str, *, nth: int = 1) -> None:
        """Run a command (``apply``, ``rollback``, ``redo``, ``resume RUN``) in a process that SIGKILL ends.

        ``moment`` is ``before`` or ``after`` the ``nth`` entry of that kind is durable.
        """
        assert doomed.run(self.git.path, CHANGE, command, kind, moment, nth) == -signal.SIGKILL


@pytest.fixture(scope="session")
def drawer(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Path:
    """Return a folder with a repository of Ana's and its origin, for copying; the policy has a place for the journal."""
    folder = tmp_path_factory.mktemp("drawer")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in clean_environment(folder).items():
            patch.setenv(name, value)
        for journal in ("ledger", "records"):
            place = folder / journal
            place.mkdir()
            text = POLICY.format(key=keys.ana.public, journal=journal)
            make_repository(place, keys.ana).commit("Begin", {".okto-change/policy/0001.yaml": text})
    return folder


@pytest.fixture
def journey(
    home: Path, tmp_path: Path, drawer: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Journey]:
    """Give a repository whose sandbox has the fresh database as ``ledger`` and a folder as ``routing``."""
    assert home.is_dir()
    with closing(_begin(drawer / "ledger", tmp_path, database, monkeypatch)) as made:
        yield made


def _begin(drawer: Path, folder: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Journey:
    for name in ("origin.git", "work"):
        shutil.copytree(drawer / name, folder / name)
    settings = folder / "work" / ".git" / "config"
    settings.write_text(settings.read_text().replace(str(drawer), str(folder)))
    config = folder / "routing"
    config.mkdir()
    monkeypatch.setenv("OKTO_LEDGER_DSN", database)
    monkeypatch.setenv("OKTO_ROUTING", str(config))
    return Journey(GitRepo(folder / "work", folder / "origin.git"), config)


# ----------------------------------------------------------------------------------- a small bank to break things in

ACCOUNTS = """
CREATE TABLE accounts (id integer PRIMARY KEY, balance numeric(12,2) NOT NULL CHECK (balance >= 0), note text);
CREATE TABLE audit (account integer, at timestamptz DEFAULT now());
INSERT INTO accounts SELECT n, n * 100, 'opened' FROM generate_series(1, 5) AS n;
"""
ROUTING = "# who is asked first\nacquirers:\n  north:\n    timeout_ms: 5000  # raised in 2024\n    retries: 2\n"
PAY = "UPDATE accounts SET balance = balance + 1 WHERE id <= 2;\n"
FIRST = "  - {name: pay, target: ledger, sql: pay.sql, rows: 2, touches: [accounts]}\n"
EDIT = "  - {name: wait longer, target: routing, edit: acquirers.yaml, set: {acquirers.north.timeout_ms: 8000}}\n"
LAST = "  - {name: book, target: second, sql: book.sql, rows: 2, touches: [accounts]}\n"
STEPS = FIRST + EDIT + LAST


@dataclass
class Bank:
    """A journey over two databases and a config file. ``before`` is everything in them when the plan was written.

    The journal lies in the ledger's database, reached by a variable of its own that a proxy may replace. The second
    database is made when a plan names it.
    """

    journey: Journey
    ledger: str
    copy: Callable[[], str]
    second: str = ""
    before: Any = None

    @property
    def file(self) -> Path:
        """The config file."""
        return self.journey.config / "acquirers.yaml"

    def state(self) -> tuple[Any, Any, bytes]:
        """Return every row of both databases, and the file."""
        return accounts(self.ledger), accounts(self.second) if self.second else None, self.file.read_bytes()

    def unchanged(self) -> bool:
        """Whether everything is as it was at the beginning."""
        return bool(self.state() == self.before)

    def plan(self, steps: str = STEPS, *, checks: str = "", **files: str) -> None:
        """Write and lock a plan; ``pay``, ``book`` and others fill the files of that name (``pay_undo``: pay.undo.sql)."""
        if "second" in steps and not self.second:
            self.second = self.copy()
        scripts = {name.replace("_", ".") + ".sql": text for name, text in ({"pay": PAY, "book": PAY} | files).items()}
        self.journey.write(
            steps, {name: text for name, text in scripts.items() if name in steps + checks}, checks=checks
        )
        self.before = self.state()

    def sql(self, text: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run a statement of somebody else's on the ledger, or on ``database``; return its rows."""
        with psycopg.connect(database or self.ledger, autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []


def accounts(conninfo: str) -> list[tuple[Any, ...]]:
    """Return the rows of the bank's tables and the triggers that hang on them."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return connection.execute(
            "SELECT a::text FROM accounts AS a UNION ALL SELECT a::text FROM audit AS a"
            " UNION ALL SELECT tgrelid::regclass || ' ' || tgname FROM pg_trigger"
            " WHERE NOT tgisinternal AND tgrelid::regclass::text !~ 'okto_change' ORDER BY 1"
        ).fetchall()


@pytest.fixture(scope="session")
def bank_template(server: Cluster) -> Iterator[str]:
    """Return the name of a database with the bank's tables and okto-change's schema, for copying."""
    from okto_change.database.session import connect
    from okto_change.database.state import ensure_schema

    name = server.create()
    with connect("template", server.conninfo(name)) as session:
        ensure_schema(session)
        session.run(ACCOUNTS)
    yield name
    server.drop(name)


@pytest.fixture
def bank(
    home: Path, tmp_path: Path, drawer: Path, server: Cluster, bank_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bank]:
    """Return a bank: a ledger, a second database when a plan names it, a config file."""
    assert home.is_dir()
    names: list[str] = []

    def copy(variable: str = "OKTO_SECOND_DSN") -> str:
        names.append(server.create(bank_template))
        monkeypatch.setenv(variable, server.conninfo(names[-1]))
        return server.conninfo(names[-1])

    ledger = copy("OKTO_RECORDS_DSN")
    with closing(_begin(drawer / "records", tmp_path, ledger, monkeypatch)) as begun:
        bank = Bank(begun, ledger, copy)
        bank.file.write_text(ROUTING)
        bank.before = bank.state()
        yield bank
    for name in names:
        server.drop(name)
