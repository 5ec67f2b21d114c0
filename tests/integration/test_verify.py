"""``verify`` on a real repository without any database: ways to merge, contributors, hidden refusals, owed reviews."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from okto_change import pipeline
from okto_change.errors import NotAuthorised, Refused
from okto_change.model import Ballot
from okto_change.pipeline import glass
from okto_change.pipeline.repository import Repository, open_repository
from tests.integration.approval_repos import POLICY, policy_text
from tests.plugins.people import GitRepo, Keys, Person

CHANGE = "fix-settlements"
PLAN = """\
format: 1
title: Fix settlements
reason: They are stuck.
author: ana
steps:
  - {name: fix, target: ledger, sql: fix.sql, rows: 1, touches: [settlements]}
"""
SQL = "UPDATE settlements SET status = 'SETTLED' WHERE id = 1;\n"
GLASS = "break_glass: {execute: [approvers], review: {require: {approvers: 1}, within: 1s}}"


@dataclass
class Desk:
    """Ana's clone with a change on the branch ``proposal``, locked, pushed, submitted by her and approved by Bruno."""

    repo: GitRepo
    keys: Keys

    def as_(self, person: Person) -> Repository:
        """Return the repository as one person has it, opened anew."""
        return open_repository(self.repo.path, str(person.key))

    def decide(self, person: Person, decision: str, **more: str) -> None:
        """Sign and publish."""
        arguments = {"comment": "because"} | more
        pipeline.decide(self.as_(person), CHANGE, "prod", decision, confirm=lambda _: True, **arguments)  # type: ignore[arg-type]

    def verify(self) -> Ballot:
        """Return what CI is told."""
        return pipeline.verify(self.as_(self.keys.ana), CHANGE, "prod")

    def policy(self, old: str, new: str) -> None:
        """Publish another policy on the protected branch, and come back."""
        branch = self.repo.git("branch", "--show-current")
        self.repo.git("switch", "--quiet", "main")
        text = (self.repo.path / POLICY).read_text(encoding="utf-8")
        assert old in text
        self.repo.commit("Edit the policy", {POLICY: text.replace(old, new)})
        self.repo.git("switch", "--quiet", branch)


@pytest.fixture
def desk(git_repo: GitRepo, keys: Keys) -> Desk:
    """Return an approved change on its branch."""
    text = policy_text(keys.ana, keys.bruno)
    for who in (keys.ana, keys.bruno):
        text = text.replace(f"  {who.name}:\n", f"  {who.name}:\n    emails: [{who.email}]\n")
    text = text.replace("dry_run: optional}\n  staging", "dry_run: optional, policy_change: keep}\n  staging")
    git_repo.commit("Add the policy", {POLICY: text})
    git_repo.git("switch", "--quiet", "--create", "proposal")
    git_repo.commit("Propose", {f"changes/{CHANGE}/plan.yaml": PLAN, f"changes/{CHANGE}/fix.sql": SQL})
    desk = Desk(git_repo, keys)
    pipeline.lock(desk.as_(keys.ana), CHANGE, "prod")
    git_repo.commit("Lock")
    desk.decide(keys.ana, "submit")
    desk.decide(keys.bruno, "approve")
    return desk


def _merge(repo: GitRepo) -> None:
    repo.git("merge", "--quiet", "--no-ff", "--message", "Merge the proposal", "proposal")


def _squash(repo: GitRepo) -> None:
    repo.git("merge", "--quiet", "--squash", "proposal")
    repo.git("commit", "--quiet", "--author", "bruno <bruno@example.org>", "--message", "Squash the proposal")


def _rebase(repo: GitRepo) -> None:
    repo.git("switch", "--quiet", "proposal")
    repo.git("rebase", "--quiet", "main")
    repo.git("switch", "--quiet", "main")
    repo.git("merge", "--quiet", "--ff-only", "proposal")


def _pick(repo: GitRepo) -> None:
    repo.git("cherry-pick", "main..proposal")


@pytest.mark.parametrize("way", [_merge, _squash, _rebase, _pick])
def test_approvals_outlive_every_way_to_merge(desk: Desk, way: Callable[[GitRepo], None]) -> None:
    """Content is signed, not commits; the branch had gone on meanwhile, and the proposal's is deleted afterwards."""
    assert desk.verify().cleared
    desk.repo.git("switch", "--quiet", "main")
    desk.repo.commit("Something else", {"README.md": "# Others\n"})
    way(desk.repo)
    desk.repo.git("push", "--quiet", "origin", "main")
    desk.repo.git("branch", "--quiet", "-D", "proposal")
    taken = desk.verify()
    assert taken.cleared, taken.blocks
    assert {line.reason for line in taken.decisions} == {"submitted", "counts for approvers"}


def test_an_edit_after_approval_clears_nothing(desk: Desk) -> None:
    """Neither with the old lock nor with a new one."""
    desk.repo.commit("Edit", {f"changes/{CHANGE}/fix.sql": SQL.replace("1;", "2;")})
    with pytest.raises(Refused, match="the sources changed since they were locked"):
        desk.verify()
    pipeline.lock(desk.as_(desk.keys.ana), CHANGE, "prod")
    desk.repo.commit("Lock again")
    assert not desk.verify().cleared


def test_a_lock_of_another_target_than_the_policy_s_clears_nothing(desk: Desk) -> None:
    """The policy moved the environment to another database; the approved lock names the old one."""
    desk.policy("service: prod", "service: elsewhere")
    with pytest.raises(NotAuthorised, match="the lock is of another target ledger"):
        desk.verify()


def _contributed(desk: Desk, message: str = "Help", *, author: str = "", path: str = "notes.md") -> None:
    by = ("--author", author) if author else ()
    desk.repo.write({f"changes/{CHANGE}/{path}": "text\n"})
    desk.repo.git("add", "--all")
    desk.repo.git("commit", "--quiet", "--message", message, *by)
    if path == "notes.md":
        pipeline.lock(desk.as_(desk.keys.ana), CHANGE, "prod")
        desk.repo.commit("Lock")
        desk.decide(desk.keys.ana, "submit")


BRUNO = "B. <Bruno@Example.org>"


@pytest.mark.parametrize(
    ("message", "author"), [("Help", BRUNO), (f"Help\n\nCo-authored-by: {BRUNO}", "")], ids=["author", "co-author"]
)
def test_who_has_a_part_in_the_change_cannot_approve_it(desk: Desk, message: str, author: str) -> None:
    """By any known e-mail, where the policy says so; nobody is asked who cannot."""
    _contributed(desk, message, author=author)
    desk.decide(desk.keys.bruno, "approve")
    assert desk.verify().cleared
    desk.policy("policy_change: keep", "policy_change: keep, exclude_contributors: authors")
    taken = desk.verify()
    assert not taken.cleared
    assert "has a part in it:" in taken.excluded["bruno"]
    assert taken.needs[0].candidates == ()
    with pytest.raises(NotAuthorised, match="bruno has a part in it"):
        desk.decide(desk.keys.bruno, "approve")


def test_merging_and_committing_what_commands_wrote_is_no_part_in_a_change(desk: Desk) -> None:
    """Bruno's merge commit, and a dry run that he committed, exclude him only as committer of others' work."""
    desk.policy("policy_change: keep", "policy_change: keep, exclude_contributors: authors")
    _contributed(desk, author=BRUNO, path="dryruns/staging.json")
    desk.repo.git("switch", "--quiet", "main")
    desk.repo.git("config", "user.email", "bruno@example.org")
    _merge(desk.repo)
    assert desk.verify().cleared
    desk.repo.git("switch", "--quiet", "--create", "picked", "main~1")
    desk.repo.git("cherry-pick", "main~1..proposal")
    assert desk.verify().cleared
    desk.policy("exclude_contributors: authors", "exclude_contributors: committers")
    assert "committer of commit" in desk.verify().excluded["bruno"]


def test_a_refusal_cannot_be_hidden(desk: Desk) -> None:
    """Not by deleting it, by overwriting it with garbage, nor by an evil merge that drops it."""
    desk.decide(desk.keys.bruno, "reject")
    assert not desk.verify().cleared
    clone = desk.repo.path.with_name("tampering")
    subprocess.run(
        ["git", "clone", "--quiet", "--branch", "okto-approvals", str(desk.repo.origin), str(clone)], check=True
    )
    tampering = GitRepo(clone, desk.repo.origin)
    for name in ("user.name", "user.email"):
        tampering.git("config", name, "mallory@example.org")
    file = next(iter(clone.rglob("bruno-reject-*")))
    content = file.read_bytes()
    tampering.git("switch", "--quiet", "--create", "side", "HEAD~1")
    tampering.commit("Beside", {"unrelated": "x"}, push=False)
    tampering.git("switch", "--quiet", "okto-approvals")
    tampering.git("merge", "--quiet", "--no-commit", "--no-ff", "side")
    file.unlink()
    tampering.commit("Merge")
    assert desk.verify().blocks[0].startswith("step 6 (veto)")
    tampering.commit("Put it back", {str(file.relative_to(clone)): content})
    tampering.commit("Garbage", {str(file.relative_to(clone)): b"garbage\n"})
    assert desk.verify().blocks[0].startswith("step 6 (veto)")
    tampering.commit("Link", {"unrelated": "y"})
    tampering.git("rm", "--quiet", str(file.relative_to(clone)))
    tampering.commit("Delete")
    assert desk.verify().blocks[0].startswith("step 6 (veto)")


def test_what_one_signed_is_withdrawn_and_given_again(desk: Desk) -> None:
    """Only by oneself; security is a group that this policy does not have."""
    with pytest.raises(NotAuthorised, match="ana is in no group that may revoke what others signed"):
        desk.decide(desk.keys.ana, "revoke", of="bruno")
    desk.decide(desk.keys.bruno, "revoke")
    assert not desk.verify().cleared
    desk.policy("groups: {", "groups: {security: [ana], ")
    desk.decide(desk.keys.ana, "revoke", of="bruno")
    assert desk.verify().excluded["bruno"] == "is revoked by ana (because)"
    with pytest.raises(NotAuthorised, match="bruno is revoked by ana"):
        desk.decide(desk.keys.bruno, "approve")


def test_an_overdue_review_turns_verify_red_until_somebody_else_gives_it(desk: Desk) -> None:
    """Known from git alone, also after the statement was deleted; who broke the glass cannot settle it."""
    desk.policy("policy_change: keep", f"policy_change: keep, {GLASS}")
    repository = desk.as_(desk.keys.ana)
    entry = repository.policy.environment("prod")
    evidence = glass.Evidence(CHANGE, "prod", desk.verify().digest)
    file = glass.break_glass(repository, entry, evidence, glass.Emergency("INC-1", "down"), "ana")
    glass.publish_file(repository, "ana", file)
    debt = glass.owed(repository, entry)[0]
    assert (debt.signer, debt.incident, debt.reason, debt.settled) == ("ana", "INC-1", "down", False)
    while desk.verify().cleared:
        pass
    assert "is overdue since" in desk.verify().blocks[0]
    with pytest.raises(NotAuthorised, match="a review by ana would not count"):
        pipeline.review(desk.as_(desk.keys.ana), CHANGE, "prod", comment="fine", confirm=lambda *_: True)
    done = pipeline.review(desk.as_(desk.keys.bruno), CHANGE, "prod", comment="fine", confirm=lambda *_: True)
    assert done.owed == ()
    assert desk.verify().cleared


def test_closing_a_repository_ends_the_git_process_that_answered_for_it(desk: Desk) -> None:
    """It may be used again all the same."""
    with desk.as_(desk.keys.ana) as repo:
        first = pipeline.verify(repo, CHANGE, "prod")
        process = repo.mirror.git.objects._process
        assert process.poll() is None
    assert process.poll() is not None
    with repo:
        assert pipeline.verify(repo, CHANGE, "prod") == first


def test_verify_imports_no_database_compiler_or_renderer(desk: Desk, tmp_path: Path) -> None:
    """It is asked often, so it must be light once it has compiled a version; its page is escaped as every other."""
    assert tmp_path.is_dir()
    code = (
        "import sys; from okto_change.cli.main import main; code = main(sys.argv[1:]);"
        " print('|'.join(sorted({name.partition('.')[0] for name in sys.modules})), file=sys.stderr); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, "verify", CHANGE, "--env", "prod"]
    for _ in range(2):
        done = subprocess.run(command, cwd=desk.repo.path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{CHANGE} for prod: cleared" in done.stdout
    assert "approve by bruno counts: counts for approvers" in done.stdout
    assert set(done.stderr.strip().split("|")) & {"psycopg", "sqlglot", "rich", "jinja2", "git", "ruamel"} == set()
