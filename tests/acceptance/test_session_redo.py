"""Putting a change back with the installed command: only while the decisions of its run would still allow it."""

from __future__ import annotations

from tests.plugins.market import PLAN, document, edited, explained, limit_of, propose, query, write_change
from tests.plugins.world import Shop

WARM = True

ENV = ("--env", "production")
POLICY = ".okto-change/policy/0001.yaml"
AFTER = "  after:\n    - {name: nobody complained, target: ledger, sql: complaints.sql, expect: 0}\n"
COMPLAINTS = "SELECT count(*) FROM merchants WHERE settings ->> 'complaint' = '1'\n"


def rolled_back(shop: Shop, change: str, merchant: int) -> None:
    """Have a change proposed, approved, applied and rolled back."""
    write_change(shop, change, merchant=merchant)
    run_and_take_back(shop, change)
    assert limit_of(shop, merchant) != "500"


def run_and_take_back(shop: Shop, change: str) -> None:
    """Have a written change proposed, approved, applied and rolled back."""
    propose(shop, change)
    shop.approve(change)
    shop.okto("ana", "apply", change, *ENV)
    shop.okto("ana", "rollback", change, *ENV, "--yes")


def refused(shop: Shop, change: str, merchant: int, *words: str) -> None:
    """Demand that a redo and its look beforehand are refused, with these words, nothing changed and nothing journaled."""
    limit = limit_of(shop, merchant)
    log = shop.okto("ana", "audit", "log", change, *ENV).out
    for more in (("--dry-run",), ("--yes",)):
        explained(shop.okto("ana", "redo", change, *ENV, *more, expect=3), 3, "nothing was changed", *words)
    assert limit_of(shop, merchant) == limit
    assert shop.okto("ana", "audit", "log", change, *ENV).out == log


def test_what_its_run_used_up_still_allows_a_redo(market: Shop) -> None:
    """The approval counts once for apply; putting the same rows back is not another change."""
    rolled_back(market, "back-again", 3)
    explained(market.okto("ana", "apply", "back-again", *ENV, expect=3), 3, "an earlier run used it")
    shown = market.okto("ana", "redo", "back-again", *ENV, "--dry-run")
    assert "nothing was changed" in shown.out and limit_of(market, 3) != "500"
    done = document(market.okto("ana", "redo", "back-again", *ENV, "--yes", "--json"))
    assert done["result"] == "done" and limit_of(market, 3) == "500"
    market.okto("ana", "rollback", "back-again", *ENV, "--yes")
    assert limit_of(market, 3) != "500"


def test_a_rejection_since_the_run_stops_a_redo(market: Shop) -> None:
    """Whoever looked at it afterwards and said no is heard."""
    rolled_back(market, "rejected-since", 4)
    market.okto("bruno", "reject", "rejected-since", *ENV, "-m", "wrong merchant", "--yes", "rejected-since")
    refused(market, "rejected-since", 4, "step 6 (veto): rejected by bruno: wrong merchant")


def test_an_approval_that_was_withdrawn_since_the_run_allows_no_redo(market: Shop) -> None:
    """Until it is given again."""
    rolled_back(market, "withdrawn-since", 5)
    market.okto("bruno", "revoke", "withdrawn-since", *ENV, "-m", "mistaken", "--yes", "withdrawn-since")
    refused(market, "withdrawn-since", 5, "step 7 (approvals)", "bruno decided again later: revoke")
    market.approve_again("withdrawn-since")
    market.okto("ana", "redo", "withdrawn-since", *ENV, "--yes")
    assert limit_of(market, 5) == "500"


def test_an_approval_revoked_by_security_allows_no_redo(market: Shop) -> None:
    """Ana, of the group that may, takes back what Bruno signed."""
    rolled_back(market, "revoked-since", 6)
    with edited(market, POLICY, "groups:\n", "groups:\n  security: [ana]\n"):
        market.world.git("bruno", "pull", "--quiet", "origin", "main")
        market.okto("bruno", "approve", "revoked-since", *ENV, "--yes", "revoked-since")
        market.okto("ana", "redo", "revoked-since", *ENV, "--dry-run")
        revoke = ("revoke", "revoked-since", *ENV, "--of", "bruno", "-m", "his laptop was stolen")
        market.okto("ana", *revoke, "--yes", "revoked-since")
        refused(market, "revoked-since", 6, "step 7 (approvals)", "revoked by ana", "his laptop was stolen")


def test_an_approval_that_expired_since_the_run_allows_no_redo(market: Shop) -> None:
    """It has the age that the policy allows, counted to now."""
    rolled_back(market, "expired-since", 8)
    with edited(market, POLICY, "max_approval_age: 72h", "max_approval_age: 1s"):
        market.world.git("bruno", "pull", "--quiet", "origin", "main")
        market.okto("bruno", "approve", "expired-since", *ENV, "--yes", "expired-since")
        query(market, "SELECT pg_sleep(2)")
        refused(market, "expired-since", 8, "step 7 (approvals)", "expired")


def test_a_redo_whose_check_after_it_fails_takes_itself_back(market: Shop) -> None:
    """As apply: exit code 5, the rows as before, the words say so; when the cause is gone it goes through."""
    plan = PLAN + AFTER
    write_change(market, "complained", merchant=9, plan=plan, files={"complaints.sql": COMPLAINTS})
    run_and_take_back(market, "complained")
    before = limit_of(market, 9)
    query(market, "UPDATE merchants SET settings = settings || jsonb_build_object('complaint', 1) WHERE id = 10")
    failed = market.okto("ana", "redo", "complained", *ENV, "--yes", expect=5)
    said = " ".join(failed.out.split())
    assert "UNDONE the redo failed:" in said and "'nobody complained' expected 0, found 1" in said
    assert "every row and key is as it was before the redo; the change is still undone" in said
    assert limit_of(market, 9) == before and "UNDONE" in market.okto("ana", "status", *ENV).out
    query(market, "UPDATE merchants SET settings = settings - 'complaint' WHERE id = 10")
    market.okto("ana", "redo", "complained", *ENV, "--yes")
    assert limit_of(market, 9) == "500"
    assert "the chain holds" in market.okto("ana", "audit", "verify", *ENV).out
