"""The remote cannot be reached: what needs no fresh word goes on with what was fetched last, and says so."""

from __future__ import annotations

import json

import pytest

from okto_change.demo.example import RELEASE
from tests.plugins.world import Shop

WARM = True
LAST = "warning: "


@pytest.fixture
def applied(shop: Shop) -> Shop:
    """Return a shop where a change is applied, and then the remote is gone."""
    shop.propose(RELEASE)
    shop.approve(RELEASE)
    shop.okto("bruno", "apply", RELEASE, "--env", "production")
    shop.world.folder.joinpath("origin.git").rename(shop.world.folder / "gone.git")
    return shop


def test_everything_but_new_decisions_and_runs_goes_on(applied: Shop) -> None:
    """Looking, checking and above all rolling back use the policy as fetched last."""
    for command in (
        ("status", "--env", "production"),
        ("show", RELEASE),
        ("check", RELEASE),
        ("audit", "verify", "--env", "production"),
        ("approvals", RELEASE, "--env", "production"),
        ("rollback", RELEASE, "--env", "production"),
    ):
        said = applied.okto("bruno", *command)
        assert "origin.git cannot be read" in said.err
        assert "going by the policy and decisions fetched just now (" in said.err or "minute" in said.err
    told = json.loads(applied.okto("bruno", "status", "--env", "production", "--json").out)
    assert told["changes"][0]["state"] == "undone"


@pytest.mark.parametrize("command", ["apply", "approve", "reject", "submit"])
def test_apply_and_decisions_demand_a_fetch(applied: Shop, command: str) -> None:
    """Somebody may have rejected the change meanwhile; the message says so."""
    options = {"apply": (), "reject": ("-m", "no", "--yes", RELEASE)}.get(command, ("--yes", RELEASE))
    said = applied.okto("bruno", command, RELEASE, "--env", "production", *options, expect=1)
    assert f"{command} needs the protected branch and the decisions as they are now" in said.err
    assert "nothing was changed" in said.err
    assert not said.err.startswith(LAST)


def test_a_branch_that_was_rewritten_stops_no_rollback(shop: Shop) -> None:
    """Nobody with the right to push can hold somebody off a rollback; whatever asks for trust is refused."""
    shop.propose(RELEASE)
    shop.approve(RELEASE)
    shop.okto("bruno", "apply", RELEASE, "--env", "production")
    shop.world.git("ana", "commit", "--quiet", "--amend", "--message", "Reword")
    shop.world.git("ana", "push", "--quiet", "--force", "origin", "HEAD:main")
    assert "went backwards" in shop.okto("bruno", "apply", RELEASE, "--env", "production", expect=3).err
    said = shop.okto("bruno", "rollback", RELEASE, "--env", "production")
    assert "went backwards" in said.err
    assert "warning" in said.err
