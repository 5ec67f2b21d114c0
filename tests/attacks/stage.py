"""What an attacker prepares: a repository with an approved change, hands to sign and push anything, and the command.

Statements are signed by ``ssh-keygen``, pushed by ``git`` and judged by ``okto-change``, in modules with ``WARM = True`` in a
fork of a process that has started; nothing is imitated but FIDO tokens.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from okto_change import digest
from okto_change.approval import statement
from tests.plugins import warm
from tests.plugins.home import clean_environment
from tests.plugins.people import Person, make_person
from tests.plugins.world import Answer

CHANGE = "fix-settlements"
FOLDER = f"changes/{CHANGE}"
LOCK = f"{FOLDER}/locks/prod.json"
POLICY = ".okto-change/policy/0001.yaml"
REPO = "7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f"
NAMESPACE = "decision@okto-change"
BRANCH = "okto-approvals"
PEOPLE = ("ana", "eva", "bruno", "carla", "davi", "mallory")
PLAN = """\
format: 1
title: Release a stuck settlement
reason: The acquirer timed out.
author: ana
parameters:
  settlement: {type: bigint, value: 1}
  per_environment: {staging: {settlement: 7}}
steps:
  - {name: fix, target: ledger, sql: fix.sql, rows: 1, touches: [settlements], undo: fix.undo.sql}
"""
SQL = "UPDATE settlements SET status = 'SETTLED' WHERE id = {{ settlement }};\n"
UNDO = "UPDATE settlements SET status = 'PENDING' WHERE id = {{ settlement }};\n"
TABLE = (
    "CREATE TABLE settlements (id bigint PRIMARY KEY, status text NOT NULL);"
    "INSERT INTO settlements SELECT n, 'PENDING' FROM generate_series(1, 9) AS n"
)
POLICY_TEXT = """\
version: 1
repo: {repo}
protected_ref: refs/heads/main
approvals_refs: [refs/heads/okto-approvals]
people:
{people}groups:
  engineers: [ana, eva]
  dba: [bruno, carla]
  owners: [carla, davi]
  security: [davi]
  policy-owners: [carla, davi]
environments:
  prod:
    targets: {{ledger: {{postgres: {{dsn_env: PROD_LEDGER}}}}}}
    dry_run: optional
    submit: [engineers]
    policy_change: keep
  staging:
    targets: {{ledger: {{postgres: {{dsn_env: STAGING_LEDGER}}}}}}
    dry_run: optional
    policy_change: keep
rules:
  - {{id: prod, when: {{env: [prod]}}, require: {{dba: 1, owners: 1}}}}
  - {{id: staging, when: {{env: [staging]}}, require: {{dba: 1}}}}
"""


@dataclass
class Stage:
    """One world: ``folder`` holds a home, a bare ``origin.git`` and ``work``, everybody's clone of it.

    ``Stage.of`` makes it: Ana's change stands on ``main``, locked for both environments, submitted by her and approved by
    Carla for the owners. What is missing in ``prod`` is a DBA; Bruno would be one.
    """

    folder: Path
    people: Mapping[str, Person]
    variables: dict[str, str] = field(default_factory=dict)
    warm: bool = False
    """commands are forks of a process that has started; else they are the installed command"""

    @property
    def work(self) -> Path:
        """The clone."""
        return self.folder / "work"

    @property
    def origin(self) -> Path:
        """The remote."""
        return self.folder / "origin.git"

    @property
    def mirror(self) -> Path:
        """The copy that okto-change keeps for itself."""
        (found,) = (self.folder / "home/.local/state/okto-change/mirrors").glob("*.git")
        return found

    def environ(self) -> dict[str, str]:
        """Return the environment of every command here."""
        return clean_environment(self.folder / "home") | {"COLUMNS": "100"} | self.variables

    def run(self, *command: str, feed: bytes = b"", cwd: Path | None = None) -> bytes:
        """Run any command that must succeed; return what it printed."""
        done = subprocess.run(
            command, cwd=cwd or self.work, env=self.environ(), input=feed, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
        return done.stdout

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run git in the clone, or in ``cwd``; return what it printed, stripped."""
        return self.run("git", *arguments, cwd=cwd).decode().strip()

    def okto(self, *arguments: str, person: str = "", cwd: Path | None = None) -> Answer:
        """Run okto-change, with a person's key."""
        variables = {"OKTO_CHANGE_KEY": str(self.people[person].key)} if person else {}
        environ = self.environ() | variables
        run = warm.run if self.warm else warm.installed
        done = run(arguments, cwd=cwd or self.work, env=environ)
        return Answer(done.returncode, done.stdout, done.stderr)

    # ------------------------------------------------------------------------------------------------- what is asked

    def cleared(self, *arguments: str, person: str = "") -> str:
        """Demand that the command (default: ``verify`` for ``prod``) succeeds; return what it said on one line."""
        answer = self.okto(*(arguments or ("verify", CHANGE, "--env", "prod")), person=person)
        assert answer.code == 0, answer.said
        return words(answer.said)

    def refused(self, *reasons: str, command: tuple[str, ...] = (), person: str = "", code: int = 3) -> str:
        """Demand that the command ends with ``code`` for these reasons, without a traceback, and pushed nothing."""
        before = self.refs()
        answer = self.okto(*(command or ("verify", CHANGE, "--env", "prod")), person=person)
        said = words(answer.said)
        assert answer.code == code, f"{answer.code}: {answer.said}"
        for reason in reasons:
            assert reason in said, f"{reason!r} is not in:\n{answer.said}"
        assert "Traceback" not in said and "our bug" not in said, answer.said
        assert self.refs() == before
        return said

    def listed(self, *reasons: str, environment: str = "prod") -> str:
        """Demand that ``approvals`` gives these reasons."""
        said = self.cleared("approvals", CHANGE, "--env", environment)
        for reason in reasons:
            assert reason in said, f"{reason!r} is not in:\n{said}"
        return said

    def refs(self, repository: Path | None = None) -> str:
        """Return every ref of the remote with its object."""
        return self.git("for-each-ref", cwd=repository or self.origin)

    # --------------------------------------------------------------------------------------------------- git by hand

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files of the clone; None removes one."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str, files: Mapping[str, str | bytes | None] | None = None, *, push: str = "main") -> str:
        """Commit the whole clone with these files changed and push it to the branch ``push`` ('' pushes nothing)."""
        self.write(files or {})
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        if push:
            self.git("push", "--quiet", "origin", f"HEAD:{push}")
        return self.git("rev-parse", "HEAD")

    def edit(self, name: str, old: str, new: str, *, push: str = "main") -> str:
        """Replace text in a file of the clone, commit and push it."""
        text = (self.work / name).read_text(encoding="utf-8")
        assert old in text
        return self.commit(f"Edit {name}", {name: text.replace(old, new)}, push=push)

    def branch(self, name: str = "proposal") -> None:
        """Go on with another branch in the clone."""
        self.git("switch", "--quiet", "--create", name)

    def lock(self, environment: str = "prod", *, push: str = "main") -> None:
        """Lock the change as its author does."""
        self.cleared("lock", CHANGE, "--env", environment)
        self.commit("Lock", push=push)

    def tampering(self) -> Path:
        """Return a clone with the branch of decisions checked out as it stands now, of somebody with the right to push."""
        place = self.folder / "tampering"
        if not place.exists():
            self.git("clone", "--quiet", "--branch", BRANCH, str(self.origin), str(place))
        self.git("fetch", "--quiet", "origin", BRANCH, cwd=place)
        self.git("reset", "--quiet", "--hard", "FETCH_HEAD", cwd=place)
        return place

    def tamper(self, files: Mapping[str, bytes | None], message: str = "Tidy up") -> None:
        """Push files to the branch of decisions by hand; None removes one."""
        place = self.tampering()
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink() if content is None else path.write_bytes(content)
        self.git("add", "--all", cwd=place)
        self.git("commit", "--quiet", "--message", message, cwd=place)
        self.git("push", "--quiet", "origin", f"HEAD:{BRANCH}", cwd=place)

    def decisions(self) -> dict[str, bytes]:
        """Return every file on the branch of decisions."""
        place = self.tampering()
        return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*.signed")}

    # ----------------------------------------------------------------------------------------------- signing by hand

    def digest(self, environment: str = "prod") -> str:
        """Return the digest of the lock in the clone."""
        return digest.sha256((self.work / f"{FOLDER}/locks/{environment}.json").read_bytes())

    def statement(self, signer: str, decision: str, role: str = "", *, age: float = 60, **fields: Any) -> bytes:
        """Return the bytes of a statement about the change as it is locked; any field of it exchanged."""
        environment = fields.get("environment", "prod")
        issued = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=age)
        values: dict[str, Any] = {
            "repo": REPO,
            "change": CHANGE,
            "environment": environment,
            "plan_digest": self.digest(environment),
            "decision": decision,
            "signer": signer,
            "role": role,
            "issued_at": issued,
            "expires_at": issued + timedelta(hours=8),
            "comment": "because",
            "policy_sha256": sha256((self.work / POLICY).read_bytes()).hexdigest(),
        } | fields
        return statement.build(**values)

    def sign(self, content: bytes, person: str, namespace: str = NAMESPACE) -> bytes:
        """Return a statement with a person's signature."""
        key = str(self.people[person].key)
        return content + self.run("ssh-keygen", "-Y", "sign", "-q", "-f", key, "-n", namespace, feed=content)

    def signed(self, person: str, decision: str, role: str = "", **fields: Any) -> bytes:
        """Return a decision file of a person; ``signer`` may name somebody else."""
        return self.sign(self.statement(fields.pop("signer", person), decision, role, **fields), person)

    def publish(self, *files: bytes, environment: str = "prod", change: str = CHANGE) -> list[str]:
        """Push decision files; return their paths."""
        found = {f"decisions/{change}/{environment}/x-{sha256(file).hexdigest()[:12]}.signed": file for file in files}
        self.tamper({name: file for name, file in found.items()}, "Decide")
        return list(found)

    def approve(self, person: str = "bruno", role: str = "dba", **fields: Any) -> str:
        """Publish an honest approval."""
        environment = fields.get("environment", "prod")
        return self.publish(self.signed(person, "approve", role, **fields), environment=environment)[0]


def a_later_second() -> None:
    """Wait until the clock, by which decisions are dated, shows another second."""
    time.sleep(1.01 - time.time() % 1)


def words(text: str) -> str:
    """Return a text on one line, without the lines of tables."""
    return " ".join(text.translate({ord(char): " " for char in "│┃"}).split())


def build(folder: Path) -> Stage:
    """Make a world with the installed command, git and ssh-keygen."""
    (folder / "home").mkdir(parents=True)
    (folder / "keys").mkdir()
    people = {name: make_person(folder / "keys", name) for name in PEOPLE}
    stage = Stage(folder, people)
    stage.run("git", "init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(stage.origin), cwd=folder)
    stage.run("git", "init", "--quiet", "--template=", "--initial-branch=main", str(stage.work), cwd=folder)
    (folder / "home/.gitconfig").write_text("[user]\n\tname = Ana\n\temail = ana@example.org\n[gc]\n\tauto = 0\n")
    stage.git("remote", "add", "origin", str(stage.origin))
    known = (name for name in PEOPLE if name != "mallory")
    entries = "".join(
        f"  {name}:\n    emails: [{name}@example.org]\n"
        f'    keys:\n      - {{key: "{people[name].public}", valid_from: 2026-01-01T00:00:00Z}}\n'
        for name in known
    )
    sources = {f"{FOLDER}/plan.yaml": PLAN, f"{FOLDER}/fix.sql": SQL, f"{FOLDER}/fix.undo.sql": UNDO}
    stage.commit("Begin", {POLICY: POLICY_TEXT.format(repo=REPO, people=entries), **sources})
    for environment in ("prod", "staging"):
        stage.lock(environment)
    stage.git("push", "--quiet", "origin", _empty_branch(stage))
    stage.publish(stage.signed("ana", "submit", age=300), stage.signed("carla", "approve", "owners"))
    stage.publish(stage.signed("ana", "submit", environment="staging", age=300), environment="staging")
    return stage


def _empty_branch(stage: Stage) -> str:
    tree = stage.git("hash-object", "-t", "tree", "-w", "/dev/null")
    return f"{stage.git('commit-tree', tree, '-m', 'Begin')}:refs/heads/{BRANCH}"


def copy(stage: Stage, folder: Path, *, warm: bool = False) -> Stage:
    """Return another world just like it, in which nothing was ever fetched."""
    for name in ("origin.git", "work"):
        shutil.copytree(stage.folder / name, folder / name, symlinks=True)
    (folder / "home").mkdir()
    shutil.copyfile(stage.folder / "home/.gitconfig", folder / "home/.gitconfig")
    settings = folder / "work/.git/config"
    settings.write_text(settings.read_text().replace(str(stage.folder), str(folder)))
    return Stage(folder, stage.people, warm=warm)
