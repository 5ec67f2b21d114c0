"""A change repository with a sandbox that needs no approval, and the journey as calls in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from okto_change import pipeline
from okto_change.model import DryRun, Event, Outcome
from okto_change.pipeline.repository import Repository, open_repository
from tests.plugins.people import GitRepo

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
    journal: ledger
    targets:
      ledger: {{postgres: {{dsn_env: OKTO_LEDGER_DSN}}}}
      second: {{postgres: {{dsn_env: OKTO_SECOND_DSN}}}}
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

    @property
    def repository(self) -> Repository:
        """Open the repository anew, as every command does."""
        return open_repository(self.git.path)

    def write(self, steps: str, files: Mapping[str, str] | None = None, *, checks: str = "", lock: bool = True) -> None:
        """Write the plan's steps (YAML) and its files, lock and commit it."""
        plan = f"format: 1\ntitle: The change\nreason: It must be tested.\nauthor: ana\nsteps:\n{steps}{checks}"
        folder = f"changes/{CHANGE}/"
        self.git.write({folder + name: text for name, text in {"plan.yaml": plan, **(files or {})}.items()})
        if lock:
            pipeline.lock(self.repository, CHANGE, "sandbox")
        self.git.commit("The change")

    def dry_run(self) -> DryRun:
        """Rehearse."""
        return pipeline.dry_run(self.repository, CHANGE, "sandbox", static=False, watch=self.events.append)

    def apply(self, watch: Callable[[Event], None] | None = None) -> Outcome:
        """Apply."""
        return pipeline.apply(self.repository, CHANGE, "sandbox", watch=watch or self.events.append)

    def rollback(self, *, only_clean: bool = False) -> Outcome:
        """Take back."""
        return pipeline.rollback(self.repository, CHANGE, "sandbox", only_clean=only_clean, watch=self.events.append)

    def resume(self, run: str) -> Outcome:
        """Go on with a run."""
        return pipeline.resume(self.repository, run, watch=self.events.append)


@pytest.fixture
def journey(git_repo: GitRepo, tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Journey:
    """Return a repository whose sandbox has the fresh database as ``ledger`` and a folder as ``routing``."""
    config = tmp_path / "routing"
    config.mkdir()
    monkeypatch.setenv("OKTO_LEDGER_DSN", database)
    monkeypatch.setenv("OKTO_ROUTING", str(config))
    key = Path(git_repo.git("config", "user.signingkey")).with_suffix(".pub").read_text().strip()
    git_repo.commit("Begin", {".okto-change/policy/0001.yaml": POLICY.format(key=key)})
    return Journey(git_repo, config)
