"""A change repository with a policy of Ana and Bruno, and decisions that they sign and publish for real."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from okto_change import digest
from okto_change.approval import identity, publish, statement, trust
from okto_change.approval.decisions import Decision, examine
from okto_change.approval.rulebook import Policy
from okto_change.approval.trust import Mirror
from okto_change.model import Lock, Risk
from tests.plugins.people import GitRepo, Keys, Person

REPO = "7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f"
POLICY = ".okto-change/policy/0001.yaml"
CHANGE = "fix-settlements"
FOLDER = f"decisions/{CHANGE}/prod"


def policy_text(*people: Person, approvers: str = "ana, bruno", need: int = 1) -> str:
    """Return a policy of these people: everybody submits, approvers approve, anybody executes."""
    since = "valid_from: 2020-01-01T00:00:00Z"
    entries = "".join(f'  {who.name}:\n    keys: [{{key: "{who.public}", {since}}}]\n' for who in people)
    return f"""\
version: 1
repo: {REPO}
protected_ref: refs/heads/main
approvals_refs: [refs/heads/okto-approvals]
people:
{entries}groups: {{approvers: [{approvers}]}}
environments:
  prod: {{targets: {{ledger: {{postgres: {{service: prod}}}}}}, dry_run: optional}}
  staging: {{targets: {{ledger: {{postgres: {{service: staging}}}}}}, dry_run: optional}}
rules:
  - {{id: all, require: {{approvers: {need}}}}}
"""


def lock_for(environment: str = "prod", content: bytes = b"{}\n", change: str = CHANGE) -> Lock:
    """Return a lock; only its identity and digest matter here."""
    return Lock(
        content=content,
        digest=digest.sha256(content),
        repo=REPO,
        change=change,
        environment=environment,
        title="Fix",
        author="ana",
        steps=(),
        statements=(),
        checks=(),
        risk=Risk.LOW,
        risk_reasons=(),
        objects=(),
    )


@dataclass
class Scene:
    """A repository with a policy pushed, and the people in it."""

    repo: GitRepo
    keys: Keys

    def mirror(self) -> Mirror:
        """Return the mirror, freshly fetched."""
        return trust.open_mirror(self.repo.path)

    def policy(self) -> Policy:
        """Return the policy as trusted now."""
        return trust.read_policy(self.mirror())

    def decide(self, person: Person, decision: str, role: str = "", *, lock: Lock | None = None, age: int = 60) -> str:
        """Sign and publish a decision; return its path on the branch."""
        lock, mirror = lock or lock_for(), self.mirror()
        policy = trust.read_policy(mirror)
        who = identity.whoami(policy, person.key)
        issued = datetime.now(UTC) - timedelta(seconds=age)
        content = statement.build(
            repo=lock.repo,
            change=lock.change,
            environment=lock.environment,
            plan_digest=lock.digest,
            decision=decision,
            signer=who.person,
            role=role,
            issued_at=issued,
            expires_at=issued + timedelta(hours=8),
            policy_sha256=policy.sha256,
        )
        name = statement.file_name(statement.parse(content))
        path = f"{statement.folder(lock.change, lock.environment)}/{name}"
        file = statement.join(content, identity.sign(content, who))
        publish.publish(mirror, path, file, name=who.person, email=person.email, message=f"{who.person}: {decision}")
        return path

    def decisions(self, environment: str = "prod", change: str = CHANGE) -> tuple[Decision, ...]:
        """Return every decision as any command reads it."""
        mirror = self.mirror()
        policy = trust.read_policy(mirror)
        return examine(policy, mirror.decision_files(change, environment))

    def on_approvals(self) -> GitRepo:
        """Return a second clone with the branch of decisions checked out, to tamper with it."""
        path = self.repo.path.with_name("tampering")
        if not path.exists():
            run("git", "clone", "--quiet", "--branch", "okto-approvals", str(self.repo.origin), str(path))
            for name, value in (("user.name", "mallory"), ("user.email", "mallory@example.org")):
                run("git", "-C", str(path), "config", name, value)
        clone = GitRepo(path, self.repo.origin)
        clone.git("pull", "--quiet", "origin", "okto-approvals")
        return clone


def make_scene(repo: GitRepo, keys: Keys) -> Scene:
    """Commit and push the policy of Ana and Bruno."""
    repo.commit("Add the policy", {POLICY: policy_text(keys.ana, keys.bruno)})
    return Scene(repo, keys)


def run(*command: str, cwd: Path | None = None) -> str:
    """Run a command that must succeed; return what it printed."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=cwd)
    return done.stdout


def alarm(folder: Path, name: str = "alarm") -> tuple[Path, Path]:
    """Return a script that, if anybody ever runs it, leaves a file; and that file."""
    fired, script = folder / f"{name}-fired", folder / f"{name}.sh"
    script.write_text(f"#!/bin/sh\nps -o args= $PPID >> '{fired}'\nexit 0\n")
    script.chmod(0o755)
    return script, fired


def is_root() -> bool:
    """Whether the tests run as root."""
    return os.geteuid() == 0
