"""Who decides who decides: rows 19 to 24, and 49."""

from __future__ import annotations

from hashlib import sha256

import pytest

from tests.attacks.stage import CHANGE, POLICY, Stage

WARM = True
SECOND = ".okto-change/policy/0002.yaml"
LACKING = "step 7 (approvals): dba: 1 more (bruno)"


def version(stage: Stage, number: int, old: str = "", new: str = "") -> str:
    """Write the next version of the policy into the clone: strong, two owners; return its path."""
    folder = stage.work / ".okto-change/policy"
    last = (folder / f"{number - 1:04}.yaml").read_bytes()
    text = last.decode()
    kept = [
        line
        for line in text.splitlines(keepends=True)
        if not line.startswith(("version:", "previous_", "policy_quorum:"))
    ]
    head = f"version: {number}\nprevious_sha256: {sha256(last).hexdigest()}\npolicy_quorum: 2\n"
    path = f".okto-change/policy/{number:04}.yaml"
    body = "".join(kept)
    assert old in body
    stage.write({path: head + body.replace(old, new)})
    return path


def sign(stage: Stage, path: str, *people: str) -> None:
    """Have people sign a version by hand."""
    content = (stage.work / path).read_bytes()
    for person in people:
        armor = stage.sign(content, person, "policy@okto-change").removeprefix(content)
        stage.write({path.replace(".yaml", f".{person}.sig"): armor})


@pytest.fixture
def strong(stage: Stage) -> Stage:
    """Return a world whose policy takes two owners to change, and has been seen."""
    sign(stage, version(stage, 2), "carla", "davi")
    stage.commit("Make the policy strong")
    stage.approve("bruno")
    stage.cleared()
    return stage


def test_row_19_an_approver_adds_himself_on_the_branch(stage: Stage) -> None:
    """Mallory is in the policy of her own branch, and in nobody else's; merged, she counts."""
    stage.branch()
    public = stage.people["mallory"].public
    stage.edit(
        POLICY,
        "  eva:\n",
        f'  mallory:\n    keys: [{{key: "{public}", valid_from: 2026-01-01T00:00:00Z}}]\n  eva:\n',
        push="proposal",
    )
    stage.edit(POLICY, "dba: [bruno, carla]", "dba: [bruno, carla, mallory]", push="proposal")
    stage.approve("mallory")
    stage.refused(LACKING, "signed with the unknown key")
    stage.git("push", "--quiet", "origin", "HEAD:main")
    stage.cleared()


def test_row_20_the_policy_is_weakened_on_the_branch(stage: Stage) -> None:
    """Nobody is asked by the branch; the protected branch still asks."""
    stage.branch()
    stage.edit(POLICY, "require: {dba: 1, owners: 1}", "require: {owners: 1}", push="proposal")
    stage.refused(LACKING)
    stage.git("push", "--quiet", "origin", "HEAD:main")
    stage.cleared()


@pytest.mark.parametrize("signers", [(), ("carla",), ("carla", "mallory"), ("carla", "bruno")])
def test_row_21_the_policy_is_weakened_on_main(strong: Stage, signers: tuple[str, ...]) -> None:
    """By somebody who can merge: a strong policy takes two of its owners. (A simple one rests on the branch's protection.)"""
    path = version(strong, 3, "require: {dba: 1, owners: 1}", "require: {owners: 1}")
    sign(strong, path, *signers)
    strong.commit("Ask fewer people")
    strong.refused(
        "version 3 of the policy is not signed by its owners", "2 policy owners of version 2 must sign version 3"
    )
    sign(strong, path, "carla", "davi")
    strong.commit("Sign it")
    strong.cleared()


def test_row_21_a_strong_version_is_edited_in_place(strong: Stage) -> None:
    """Its signatures are over other bytes; what was trusted before is not replaced."""
    strong.edit(SECOND, "require: {dba: 1, owners: 1}", "require: {owners: 1}")
    strong.refused("version 2 of the policy is not the one that was trusted before")
    strong.git("revert", "--no-edit", "HEAD")
    strong.git("push", "--quiet", "origin", "HEAD:main")
    strong.cleared()


def test_row_22_an_old_policy_is_put_back(strong: Stage) -> None:
    """Genuinely signed as it is: its number is below what was seen. A gap in the numbers is refused as well."""
    path = version(strong, 3, "require: {dba: 1, owners: 1}", "require: {dba: 1, owners: 1, security: 1}")
    sign(strong, path, "carla", "davi")
    strong.commit("Ask security too")
    strong.refused("security: 1 more (davi)")
    gone = [path, *(path.replace(".yaml", f".{who}.sig") for who in ("carla", "davi"))]
    strong.commit("Back to the old rules", dict.fromkeys(gone))
    strong.refused("the policy went back to version 2; version 3 was there before")
    strong.git("revert", "--no-edit", "HEAD")
    strong.commit("Skip one", {SECOND: None})
    strong.refused("version 2 of the policy is missing, though 3 is there")
    strong.git("revert", "--no-edit", "HEAD")
    strong.git("push", "--quiet", "origin", "HEAD:main")
    sign(
        strong,
        version(strong, 4, "require: {dba: 1, owners: 1, security: 1}", "require: {dba: 1, owners: 1}"),
        "carla",
        "davi",
    )
    strong.commit("Back to the old rules, as a new version")
    strong.cleared()


@pytest.mark.parametrize("branch", ["main", "okto-approvals"])
def test_row_23_a_branch_is_pushed_back_behind_what_was_seen(stage: Stage, branch: str) -> None:
    """The new tip does not have the last seen commit in its past: a policy or a refusal could be gone."""
    stage.approve("bruno")
    stage.commit("More", {"README.md": "# Changes\n"})
    stage.cleared()
    before = stage.git("rev-parse", branch, cwd=stage.origin)
    stage.git(
        "push",
        "--quiet",
        "--force",
        "origin",
        f"{before}~1:refs/heads/{branch}",
        cwd=stage.tampering() if branch != "main" else None,
    )
    stage.refused(f"the branch {branch} of", "went backwards")
    stage.git(
        "push",
        "--quiet",
        "origin",
        f"+{before}:refs/heads/{branch}",
        cwd=stage.tampering() if branch != "main" else None,
    )
    stage.cleared()


def test_row_24_a_plan_runs_from_a_branch_that_is_not_merged(stage: Stage) -> None:
    """Approved as it is, it is not in the past of the protected branch; verify tells it, apply has nothing to run."""
    stage.branch()
    files = {
        f"changes/second-fix/{path.name}": path.read_bytes() for path in (stage.work / "changes" / CHANGE).glob("*.*")
    }
    stage.commit("Propose", dict(files), push="proposal")
    apply = ("apply", "second-fix", "--env", "prod", "--yes")
    stage.refused("second-fix is not on the protected branch main", command=apply, person="eva", code=1)
    stage.git("push", "--quiet", "origin", "HEAD:main")
    stage.refused("the change has no lock for this environment", command=apply, person="eva", code=1)


def test_row_49_the_forge_hides_a_new_version(strong: Stage) -> None:
    """Not solvable for a machine that never saw it; bounded by the policy's end, from which nothing is cleared by it.

    A machine that saw it refuses an older one (row 22), and the target's ledger remembers for all of them: see the tests
    of targets.
    """
    head = (strong.work / SECOND).read_text()
    assert "expires:" not in head
    ended = version(strong, 3, "people:\n", "expires: 2026-11-01T00:00:00Z\npeople:\n")
    sign(strong, ended, "carla", "davi")
    strong.commit("A version that ended")
    strong.refused("step 1 (policy): the policy expired at 2026-11-01 00:00Z")
    fresh = version(strong, 4, "expires: 2026-11-01T00:00:00Z", "expires: 2036-11-01T00:00:00Z")
    sign(strong, fresh, "carla", "davi")
    strong.commit("A fresh version")
    strong.cleared()
