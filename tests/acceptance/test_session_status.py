"""What whoever is on call reads first: who is waited for, what may be run now, and what cannot be seen."""

from __future__ import annotations

from typing import Any

from tests.plugins.market import document, explained, propose, write_change
from tests.plugins.world import Shop

WARM = True

ENV = ("--env", "production")
NOWHERE = "host=127.0.0.1 port=1"


def told(shop: Shop, change: str, *, expect: int = 0, **variables: str) -> dict[str, Any]:
    """Return what `status` says of one change."""
    board = document(shop.okto("ana", "status", *ENV, "--json", expect=expect, **variables))
    (one,) = [found for found in board["changes"] if found["change"] == change]
    return dict(one)


def test_a_change_goes_through_the_board_from_its_submission_to_its_end(market: Shop) -> None:
    """Who is missing, then that it waits, then that it stands: each with the command that goes on."""
    change = "daily-limit"
    write_change(market, change, merchant=11)
    propose(market, change)
    one = told(market, change)
    assert (one["concern"], one["state"]) == ("not cleared yet", "not cleared")
    assert any("1 more (" in line for line in one["missing"]), one
    market.approve(change)
    one = told(market, change)
    assert (one["concern"], one["next"]) == ("cleared and not run", f"okto-change apply {change} --env production")
    assert one["title"] == "Set the daily limit of a merchant"
    market.okto("bruno", "apply", change, *ENV)
    one = told(market, change)
    assert (one["concern"], one["state"]) == ("ended", "applied")
    assert one["next"] == f"okto-change rollback {change} --env production"
    market.okto("bruno", "rollback", change, *ENV)
    assert (told(market, change)["concern"], told(market, change)["next"]) == ("ended", None)
    refused = market.okto("bruno", "apply", change, *ENV, expect=3)
    explained(refused, 3, "an earlier run used it; approvals count once")
    market.approve(change)
    market.okto("bruno", "apply", change, *ENV)  # the submission still stands: a second approval is enough
    assert told(market, change)["state"] == "applied"


def test_what_is_not_merged_or_rejected_says_so(market: Shop) -> None:
    """The lock that was submitted is on no branch that production runs from; a rejection blocks."""
    change = "unmerged"
    write_change(market, change, merchant=12)
    market.okto("ana", "lock", change, *ENV)
    market.okto("ana", "dry-run", change, *ENV)
    market.world.git("ana", "add", "--all")
    market.world.git("ana", "commit", "--quiet", "--message", "A change of one's own")
    market.okto("ana", "submit", change, *ENV)
    assert told(market, change)["missing"] == ["its lock is not in main yet, from where production runs"]
    market.world.git("ana", "push", "--quiet", "origin", "HEAD:main")
    market.world.git("bruno", "pull", "--quiet", "origin", "main")
    market.okto("bruno", "reject", change, *ENV, "-m", "not tonight", "--yes", change)
    assert any("bruno" in line and "reject" in line for line in told(market, change)["missing"])


def test_without_the_journal_the_board_still_says_what_waits(market: Shop) -> None:
    """Exit code 1, the target by name and what it hides; without the remote it goes by what was fetched last."""
    change = "waiting-limit"
    write_change(market, change, merchant=13)
    propose(market, change)
    market.approve(change)
    blind = market.okto("ana", "status", "--json", expect=1, SANDBOX_LEDGER=NOWHERE)
    (silent,) = document(blind)["silent"]
    assert (silent["environment"], silent["target"]) == ("sandbox", "ledger") and "the journal is there" in silent[
        "hides"
    ]
    one = told(market, change, expect=1, PGSERVICEFILE="/no/such/file")
    assert one["concern"] == "cleared and not run" and one["next"] is None and "cannot be told" in one["detail"]
    page = market.okto("ana", "status", *ENV, expect=1, PGSERVICEFILE="/no/such/file").out
    assert page.startswith("ledger of production gives no answer: ") and "Traceback" not in page
    origin = market.world.folder / "origin.git"
    gone = origin.rename(market.world.folder / "gone.git")
    try:
        answer = market.okto("ana", "status", *ENV)
    finally:
        gone.rename(origin)
    assert "going by the policy and decisions fetched" in answer.err
    assert f"next   okto-change apply {change} --env production" in answer.out


def test_a_folder_of_files_that_is_gone_hides_nothing_of_the_journal(market: Shop) -> None:
    """It is named; where changes stand is told all the same. A typo in the environment is a usage error."""
    board = document(market.okto("ana", "status", "--env", "sandbox", "--json", expect=1, SANDBOX_ROUTING=""))
    assert [one["target"] for one in board["silent"]] == ["routing"]
    explained(market.okto("ana", "status", "--env", "prodction", expect=2), 2, "prodction")
