"""Decisions on a real branch: signed, published, read back, counted; and what tampering with the branch achieves."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from okto_change.approval import policy as policies
from okto_change.approval import trust
from okto_change.approval.policy import Clearance
from okto_change.errors import NotAuthorised
from okto_change.model import Ballot, Lock
from tests.integration.approval_repos import CHANGE, FOLDER, POLICY, Scene, lock_for, make_scene, policy_text
from tests.plugins.people import GitRepo, Keys


@pytest.fixture
def scene(git_repo: GitRepo, keys: Keys) -> Scene:
    """Return a repository with a policy of Ana and Bruno."""
    return make_scene(git_repo, keys)


@pytest.fixture
def approved(scene: Scene) -> Scene:
    """Return a change that Ana submitted and Bruno approved."""
    scene.decide(scene.keys.ana, "submit")
    scene.decide(scene.keys.bruno, "approve", "approvers")
    return scene


def take(scene: Scene, lock: Lock | None = None) -> Ballot:
    """Return the ballot as ``approvals`` shows it."""
    lock = lock or lock_for()
    decisions = scene.decisions(lock.environment, lock.change)
    return policies.ballot(scene.policy(), lock, decisions, datetime.now(UTC))


def clear(scene: Scene, lock: Lock | None = None) -> Clearance:
    """Clear as ``apply`` does, second opinion included."""
    lock, mirror = lock or lock_for(), scene.mirror()
    policy = trust.read_policy(mirror)
    files = mirror.decision_files(lock.change, lock.environment)
    decisions = policies.examine(policy, files, second_opinion=True)
    return policies.clear(policy, lock, decisions, executor="bruno", now=datetime.now(UTC))


def reasons(taken: Ballot) -> set[str]:
    """Return every reason on a ballot."""
    return {line.reason for line in taken.decisions}


def test_a_submission_and_an_approval_clear_a_change(approved: Scene) -> None:
    """The whole way: keys, signatures, branch, mirror, policy."""
    assert clear(approved).counted == {"bruno": "approvers"}
    assert reasons(take(approved)) == {"submitted", "counts for approvers"}


def test_the_same_decisions_do_not_clear_anything_else(approved: Scene) -> None:
    """Another digest, another environment, another change: copied files do not count there."""
    clone = approved.on_approvals()
    for target in (f"decisions/{CHANGE}/staging", "decisions/fix-other/prod"):
        shutil.copytree(clone.path / FOLDER, clone.path / target)
    clone.commit("Copy")
    elsewhere = take(approved, lock_for("staging"))
    assert reasons(elsewhere) == {"it is for another environment, prod"}
    assert reasons(take(approved, lock_for(change="fix-other"))) == {f"it is for another change, {CHANGE}"}
    edited = take(approved, lock_for(content=b"[]\n"))
    assert all("another version of the plan" in reason for reason in reasons(edited))
    for lock in (lock_for("staging"), lock_for(change="fix-other"), lock_for(content=b"[]\n")):
        with pytest.raises(NotAuthorised):
            clear(approved, lock)
    assert clear(approved).executor == "bruno"


def test_somebody_outside_the_policy_achieves_nothing(approved: Scene) -> None:
    """Mallory may push to the branch; her files are listed and ignored."""
    clone = approved.on_approvals()
    armor = (clone.path / FOLDER / "x.signed").with_name("y.signed")
    armor.write_bytes(b"garbage\n")
    (clone.path / FOLDER / "notes.txt").write_text("hello\n")
    (clone.path / FOLDER / "deep").mkdir()
    (clone.path / FOLDER / "deep" / "big.signed").write_bytes(b"x" * 40_000)
    (clone.path / FOLDER / "link.signed").symlink_to("y.signed")
    clone.commit("Flood")
    taken = take(approved)
    assert taken.cleared
    ignored = {Path(line.file).name: line.reason for line in taken.decisions if not line.counted}
    assert ignored == {
        "y.signed": "there is no SSH signature in it",
        "notes.txt": "there is no SSH signature in it",
        "big.signed": "it is larger than 32768 bytes",
        "link.signed": "it is a symbolic link",
    }


def test_a_deleted_approval_does_not_count(approved: Scene) -> None:
    """Positive decisions stand on the branch or nowhere; they stay listed."""
    clone = approved.on_approvals()
    for file in (clone.path / FOLDER).glob("bruno-*"):
        file.unlink()
    clone.commit("Delete")
    taken = take(approved)
    assert not taken.cleared
    assert "it was deleted from the branch" in reasons(taken)


def ways_to_hide(path: Path) -> dict[str, str]:
    """Return shell commands that hide a file on a branch."""
    return {
        "delete": f"git rm -q '{path}' && git commit -qm x",
        "overwrite": f"echo garbage > '{path}' && git commit -qam x",
        "garbage after it": f"echo garbage >> '{path}' && git commit -qam x",
        "move away": f"mkdir -p old && git mv '{path}' old/x.signed && git commit -qm x",
        "rename": f"git mv '{path}' '{path.with_suffix('.txt')}' && git commit -qm x",
        "executable": f"chmod +x '{path}' && git commit -qam x",
        "symlink": f"rm '{path}' && ln -s /dev/null '{path}' && git commit -qam x",
        "empty tree": "git rm -rq . && git commit -qm x",
        "evil merge": "git checkout -q -b side HEAD~1 && git commit -q --allow-empty -m side && git checkout -q - "
        f"&& git merge -q --no-commit --no-ff side; git rm -qf '{path}' && git commit -qm x",
        "old state merged over": "git checkout -q -b side HEAD~1 && git commit -q --allow-empty -m side && "
        "git checkout -q - && git merge -q --no-edit side && git checkout -q side -- . && "
        f"git rm -q '{path}' && git commit -qm x",
    }


@pytest.mark.parametrize("how", ways_to_hide(Path("x")))
def test_a_rejection_cannot_be_hidden(approved: Scene, how: str) -> None:
    """What once stood on the branch still blocks, whatever is done to the file."""
    assert clear(approved).counted == {"bruno": "approvers"}
    path = Path(approved.decide(approved.keys.bruno, "reject", age=5))
    with pytest.raises(NotAuthorised):
        clear(approved)
    clone = approved.on_approvals()
    approved.repo.git("-C", str(clone.path), "-c", f"alias.hide=!{ways_to_hide(path)[how]}", "hide")
    clone.git("push", "--quiet", "origin", "okto-approvals")
    with pytest.raises(NotAuthorised) as caught:
        clear(approved)
    assert any("rejected by bruno" in fault for fault in caught.value.faults)


def test_a_rejection_is_lifted_by_approving_again(approved: Scene) -> None:
    """The innocent twin: the same person changes their mind."""
    approved.decide(approved.keys.bruno, "reject", age=5)
    approved.decide(approved.keys.bruno, "approve", "approvers", age=1)
    assert clear(approved).counted == {"bruno": "approvers"}


def test_the_author_cannot_approve_alone(scene: Scene) -> None:
    """Ana is an approver, but this is her change."""
    scene.decide(scene.keys.ana, "submit")
    scene.decide(scene.keys.ana, "approve", "approvers", age=5)
    taken = take(scene)
    assert not taken.cleared
    assert taken.needs[0].candidates == ("bruno",)


def test_a_key_revoked_on_the_protected_branch_ends_its_approvals(approved: Scene) -> None:
    """Today's policy judges yesterday's decisions."""
    keys = approved.keys
    text = policy_text(keys.ana, keys.bruno).replace(
        f'"{keys.bruno.public}"', f'"{keys.bruno.public}", revoked: 2026-01-01T00:00:00Z'
    )
    approved.repo.commit("Revoke", {POLICY: text})
    with pytest.raises(NotAuthorised) as caught:
        clear(approved)
    assert "step 7 (approvals): approvers: 1 more (nobody left in the group can give it)" in caught.value.faults


def test_a_key_enrolled_on_a_feature_branch_counts_for_nothing(scene: Scene) -> None:
    """Whoever adds themselves in the change under review is still unknown."""
    keys = scene.keys
    scene.repo.git("switch", "--quiet", "--create", "feature")
    scene.repo.commit("Enrol", {POLICY: policy_text(keys.ana, keys.bruno, keys.mallory, approvers="bruno, mallory")})
    scene.decide(keys.ana, "submit")
    with pytest.raises(NotAuthorised, match="belongs to nobody"):
        scene.decide(keys.mallory, "approve", "approvers")


def test_decisions_beside_the_plan_count_too(approved: Scene) -> None:
    """A decision proves itself; where it lies does not matter."""
    clone = approved.on_approvals()
    files = {path.name: path.read_bytes() for path in (clone.path / FOLDER).iterdir()}
    place = f"changes/{CHANGE}/approvals/prod"
    commit = approved.repo.commit("Keep", {f"{place}/{name}": content for name, content in files.items()})
    mirror, policy = approved.mirror(), approved.policy()
    mirror.approvals_refs = ()
    found = mirror.decision_files(CHANGE, "prod", commit=commit)
    assert {file.file for file in found} == {f"{place}/{name}" for name in files}
    taken = policies.ballot(policy, lock_for(), policies.examine(policy, found), datetime.now(UTC))
    assert taken.cleared


def test_decisions_live_on_the_branches_that_the_policy_names(approved: Scene) -> None:
    """A policy may name other branches; the first takes new decisions, all are read."""
    text = policy_text(approved.keys.ana, approved.keys.bruno)
    both = "[refs/heads/signed, refs/heads/okto-approvals]"
    approved.repo.commit("Move", {POLICY: text.replace("[refs/heads/okto-approvals]", both)})
    path = approved.decide(approved.keys.bruno, "reject", age=5)
    approved.repo.git("fetch", "--quiet", "origin", "signed")
    assert approved.repo.git("ls-tree", "-r", "--name-only", "FETCH_HEAD") == path
    mirror = approved.mirror()
    policy = trust.read_policy(mirror)
    decisions = policies.examine(policy, mirror.decision_files(CHANGE, "prod"))
    assert [decision.statement and decision.statement.decision for decision in decisions].count("reject") == 1
    assert len(decisions) == 3


def test_a_flood_of_files_is_refused_not_judged(approved: Scene) -> None:
    """Beyond any honest number the branch needs a look, not patience."""
    clone = approved.on_approvals()
    clone.commit("Flood", {f"{FOLDER}/{number}.signed": f"{number}\n" for number in range(600)})
    with pytest.raises(NotAuthorised, match="more than 500 decision files"):
        clear(approved)
