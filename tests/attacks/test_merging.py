"""Ways to merge, with git and a real remote: what was approved stays approved, and no way of them hides a refusal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.stage import BRANCH, CHANGE, FOLDER, Stage, a_later_second

WARM = True


def squash(stage: Stage) -> None:
    """One commit of the forge's, by nobody of the branch."""
    stage.git("merge", "--squash", "--quiet", "proposal")
    stage.git(
        "-c", "user.name=forge", "-c", "user.email=noreply@forge.example", "commit", "--quiet", "-m", "Squash (#7)"
    )


def merge(stage: Stage) -> None:
    """A merge commit made on the forge."""
    forge = ("-c", "user.name=forge", "-c", "user.email=noreply@forge.example")
    stage.git(*forge, "merge", "--quiet", "--no-ff", "-m", "Merge pull request #7", "proposal")


def rebase(stage: Stage) -> None:
    """Commits written anew on top of others."""
    stage.git("switch", "--quiet", "proposal")
    stage.git("rebase", "--quiet", "--force-rebase", "main")
    stage.git("switch", "--quiet", "main")
    stage.git("merge", "--quiet", "--ff-only", "proposal")


def cherry_pick(stage: Stage) -> None:
    """Each commit copied."""
    stage.git("cherry-pick", "main..proposal")


WAYS = (squash, merge, rebase, cherry_pick)


@pytest.fixture
def proposed(stage: Stage) -> Stage:
    """Return a world whose change was edited on a branch, approved there by everybody, while ``main`` went on."""
    stage.branch()
    stage.edit(f"{FOLDER}/plan.yaml", "The acquirer timed out.", "The acquirer timed out twice.", push="proposal")
    for environment in ("prod", "staging"):
        stage.lock(environment, push="proposal")
    stage.cleared("submit", CHANGE, "--env", "prod", person="ana")
    for person in ("davi", "bruno"):
        stage.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person=person)
    stage.cleared()
    stage.git("switch", "--quiet", "main")
    stage.commit("Something else meanwhile", {"README.md": "Changes\n"})
    return stage


def changed_mind(stage: Stage) -> None:
    """Approve as whoever rejected, in a later second: of two decisions of one second the refusal stands."""
    a_later_second()
    stage.cleared("approve", CHANGE, "--env", "prod", "--yes", CHANGE, person="carla")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_approvals_outlive_every_way_to_merge(proposed: Stage, way: Callable[[Stage], None]) -> None:
    """They are bound to the lock's bytes; and an edit on top of the merge ends them."""
    way(proposed)
    proposed.git("push", "--quiet", "origin", "HEAD:main")
    assert "cleared" in proposed.cleared()
    proposed.edit(f"{FOLDER}/fix.sql", "SETTLED", "STOLEN")
    proposed.refused("the sources changed since they were locked", code=1)
    proposed.lock()
    proposed.refused("it is for another version of the plan")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_refusal_outlives_every_way_to_merge(proposed: Stage, way: Callable[[Stage], None]) -> None:
    """Also one that was deleted from the branch of decisions by a commit in between."""
    proposed.git("switch", "--quiet", "proposal")
    proposed.cleared("reject", CHANGE, "--env", "prod", "-m", "wrong rows", "--yes", CHANGE, person="carla")
    proposed.git("switch", "--quiet", "main")
    (name,) = [name for name in proposed.decisions() if "reject" in name]
    proposed.tamper({name: None})
    way(proposed)
    proposed.git("push", "--quiet", "origin", "HEAD:main")
    proposed.refused("rejected by carla: wrong rows")
    changed_mind(proposed)
    assert "cleared" in proposed.cleared()


def test_no_rewritten_branch_of_decisions_hides_a_refusal(proposed: Stage) -> None:
    """Pushed back, squashed, replaced by an old copy, deleted: whoever has seen it refuses, and says what to do."""
    merge(proposed)
    proposed.git("push", "--quiet", "origin", "HEAD:main")
    proposed.cleared()
    place = proposed.tampering()
    before = proposed.git("rev-parse", "HEAD", cwd=place)
    proposed.cleared("reject", CHANGE, "--env", "prod", "-m", "wrong rows", "--yes", CHANGE, person="carla")
    proposed.refused("rejected by carla: wrong rows")
    honest = proposed.git("rev-parse", "HEAD", cwd=proposed.tampering())
    tree = proposed.git("rev-parse", f"{before}^{{tree}}", cwd=place)
    squashed = proposed.git("commit-tree", tree, "-m", "All decisions", cwd=place)
    for hidden in (before, squashed):
        proposed.git("push", "--quiet", "--force", "origin", f"{hidden}:refs/heads/{BRANCH}", cwd=place)
        proposed.refused(f"the branch {BRANCH} of", "went backwards")
    proposed.git("push", "--quiet", "origin", f":refs/heads/{BRANCH}", cwd=place)
    proposed.refused("was deleted")
    proposed.git("push", "--quiet", "origin", f"{honest}:refs/heads/{BRANCH}", cwd=place)
    proposed.refused("rejected by carla: wrong rows")


def test_a_replayed_old_branch_forgets_no_refusal(proposed: Stage) -> None:
    """An old state of decisions merged on top of the newest, without the refusal: history has it all the same."""
    merge(proposed)
    proposed.git("push", "--quiet", "origin", "HEAD:main")
    place = proposed.tampering()
    before = proposed.git("rev-parse", "HEAD", cwd=place)
    proposed.cleared("reject", CHANGE, "--env", "prod", "-m", "wrong rows", "--yes", CHANGE, person="carla")
    after = proposed.git("rev-parse", "HEAD", cwd=proposed.tampering())
    tree = proposed.git("rev-parse", f"{before}^{{tree}}", cwd=place)
    evil = proposed.git("commit-tree", tree, "-p", before, "-p", after, "-m", "Merge", cwd=place)
    proposed.git("push", "--quiet", "origin", f"{evil}:refs/heads/{BRANCH}", cwd=place)
    proposed.refused("rejected by carla: wrong rows")
    changed_mind(proposed)
    assert "cleared" in proposed.cleared()


def test_a_cherry_pick_of_half_a_change_is_refused(proposed: Stage) -> None:
    """The edited plan without its lock, or the lock without its plan."""
    edit, *locks = proposed.git("rev-list", "--reverse", "main..proposal").split()
    proposed.git("cherry-pick", edit)
    proposed.git("push", "--quiet", "origin", "HEAD:main")
    proposed.refused("the sources changed since they were locked", code=1)
    proposed.git("cherry-pick", *locks)
    proposed.git("push", "--quiet", "origin", "HEAD:main")
    assert "cleared" in proposed.cleared()
