"""How long judging a change with three decisions takes, as a whole process, beyond an interpreter that does nothing.

``python benchmarks/verify.py [RUNS]`` builds repositories of 2 000 and 20 000 commits (the branch of decisions among
them) and prints milliseconds; the runs of all are interleaved with ``python -c pass``. The limits are 150 ms on the
small one, and twice what the small one took on the large one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from okto_change.approval import identity, policy, statement, trust
from okto_change.cli.main import COMMANDS
from okto_change.demo import example
from okto_change.pipeline.compiling import compile_change, lock_path

LIMIT = 150.0
GROWTH = 2.0
BASE = "python -c pass"
CHANGE = "2026-11-22-fix-merchant"
ENVIRONMENT = "production"
VERB = "verify" if "verify" in COMMANDS else "approvals"
PEOPLE = ("ana", "bruno", "carla")
PLAN = """\
format: 1
title: Fix a merchant
reason: It must be measured.
author: ana
steps:
  - name: fix
    target: ledger
    statement: UPDATE merchants SET name = 'x' WHERE id = 7
    rows: 1
    touches: [merchants]
"""
POLICY = """\
version: 1
repo: 7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f
protected_ref: refs/heads/main
approvals_refs: [refs/heads/okto-approvals]
people:
{people}groups: {{approvers: [bruno, carla]}}
environments:
  production: {{targets: {{ledger: {{postgres: {{service: production}}}}}}, dry_run: optional}}
rules: [{{id: all, require: {{approvers: 2}}}}]
"""


def git(folder: Path, *arguments: str, feed: bytes | None = None) -> bytes:
    """Run git in a repository; return what it printed."""
    return subprocess.run(["git", "-C", str(folder), *arguments], input=feed, check=True, capture_output=True).stdout


def stream(commits: int, folder: str) -> Iterator[bytes]:
    """Yield fast-import commands for a branch with that many commits, each with a file of its own under ``folder``."""
    branch = b"refs/heads/main" if folder == "changes" else b"refs/heads/okto-approvals"
    for number in range(commits):
        path = f"{folder}/2026-01-01-change-{number % max(1, commits // 4)}/production/{number}.signed"
        yield b"commit %s\ncommitter a <a@example.org> %d +0000\ndata 1\nx\n" % (branch, 1_700_000_000 + number)
        yield b"M 100644 inline %s\ndata %d\n%d\n\n" % (path.encode(), len(str(number)) + 1, number)


def build(folder: Path, commits: int) -> Path:
    """Make a repository with a policy, a locked change and three decisions on top of so many commits; return its clone."""
    origin, work = folder / "origin.git", folder / "work"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(origin))
    for part in ("changes", "decisions"):
        git(origin, "fast-import", "--quiet", feed=b"".join(stream(commits // 2, part)))
    git(folder, "clone", "--quiet", str(origin), str(work))
    for person in PEOPLE:
        key = str(folder / person)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", person, "-f", key], check=True)
    commit(work, folder)
    decide(work, folder)
    return work


def commit(work: Path, folder: Path) -> None:
    """Push the policy, and a change with its lock."""
    keys = "".join(
        f'  {person}:\n    keys: [{{key: "{(folder / person).with_suffix(".pub").read_text().strip()}", '
        "valid_from: 2020-01-01T00:00:00Z}]\n"
        for person in PEOPLE
    )
    text = POLICY.format(people=keys)
    compiled = compile_change(
        policy.read(text.encode(), "0001.yaml"), CHANGE, ENVIRONMENT, {"plan.yaml": PLAN.encode()}
    )
    files = {
        example.POLICY: text.encode(),
        Path("changes", CHANGE, "plan.yaml"): PLAN.encode(),
        Path("changes", CHANGE, lock_path(ENVIRONMENT)): compiled.lock.content,
    }
    for name, content in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    git(work, "add", "--all")
    git(work, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "x")
    git(work, "push", "--quiet", "origin", "main")


def decide(work: Path, folder: Path) -> None:
    """Put a submission and two approvals on the branch of decisions, in one commit."""
    from datetime import UTC, datetime, timedelta

    rules = trust.read_policy(trust.open_mirror(work))
    compiled = compile_change(rules, CHANGE, ENVIRONMENT, {"plan.yaml": PLAN.encode()})
    git(work, "fetch", "--quiet", "origin", "okto-approvals")
    git(work, "switch", "--quiet", "--create", "decisions", "FETCH_HEAD")
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)
    for person, decision in zip(PEOPLE, ("submit", "approve", "approve"), strict=True):
        content = statement.build(
            repo=rules.repo,
            change=CHANGE,
            environment=ENVIRONMENT,
            plan_digest=compiled.lock.digest,
            decision=decision,
            signer=person,
            role="approvers" if decision == "approve" else "",
            issued_at=now,
            expires_at=now + timedelta(hours=8),
            policy_sha256=rules.sha256,
        )
        armor = identity.sign(content, identity.whoami(rules, folder / person))
        place = work / "decisions" / CHANGE / ENVIRONMENT / statement.file_name(statement.parse(content))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(statement.join(content, armor))
    git(work, "add", "--all")
    git(work, "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "x")
    git(work, "push", "--quiet", "origin", "HEAD:okto-approvals")
    git(work, "switch", "--quiet", "main")


def measure(works: dict[int, Path], runs: int) -> dict[str, float]:
    """Return the best time of each in milliseconds; the first run of each is warming up."""
    okto = str(Path(sys.executable).with_name("okto-change"))
    # An installed package has its bytecode; so has this one, after the first run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    commands = {BASE: [sys.executable, "-c", "pass"]} | {
        f"{commits} commits": [okto, "-C", str(work), VERB, CHANGE, "--env", ENVIRONMENT, "--json"]
        for commits, work in works.items()
    }
    best: dict[str, float] = {}
    for number in range(runs + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            said = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout
            took = (time.perf_counter() - began) * 1000
            assert name == BASE or b'"cleared": true' in said, said
            best[name] = min(took, best.get(name, took)) if number else took
    return best


def main() -> int:
    """Print the figures; return 1 when a limit is passed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"HOME": name, "XDG_STATE_HOME": f"{name}/state", "XDG_CONFIG_HOME": f"{name}/config"}
        works = {commits: build(folder / str(commits), commits) for commits in (2_000, 20_000)}
        best = measure(works, int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    own = {name: took - best[BASE] for name, took in best.items()}
    for label, took in best.items():
        print(f"{label:<16} {took:7.1f} ms   {own[label]:7.1f} ms beyond {BASE}")
    small, large = own["2000 commits"], own["20000 commits"]
    return int(small > LIMIT or large > GROWTH * small)


if __name__ == "__main__":
    sys.exit(main())
