"""Breaking the glass with the installed command: who may, what it lowers, the review that is owed, and what that stops."""

from __future__ import annotations

import psycopg
import pytest

from tests.plugins.market import document, edited, explained, limit_of, propose, query, write_change
from tests.plugins.world import Shop

WARM = True
ENV = ("--env", "production")
POLICY = ".okto-change/policy/0001.yaml"
WHY = ("--break-glass", "--incident", "INC-42", "--reason", "payments are down")
GLASS = "    break_glass: {execute: [engineers], valid: 30m, review: {require: {approvers: 1}, within: 48h}}\n"


def policy(shop: Shop, old: str, new: str) -> None:
    """Publish an edit of the policy that stays."""
    file = shop.world.clone("ana") / POLICY
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    shop.world.publish("ana", "Edit the policy")
    shop.world.git("bruno", "pull", "--quiet", "origin", "main")


@pytest.fixture(scope="module")
def glass(market: Shop) -> Shop:
    """Return a shop whose policy lets engineers break the glass."""
    policy(market, "    dry_run: required\n", f"    dry_run: required\n{GLASS}")
    return market


def test_without_a_line_in_the_policy_there_is_no_way_round(market: Shop) -> None:
    """Runs before the policy gets one; nothing is published."""
    write_change(market, "no-way-round", merchant=3)
    propose(market, "no-way-round")
    answer = market.okto("ana", "apply", "no-way-round", *ENV, *WHY, "--yes", expect=3)
    explained(answer, 3, "may not break the glass of production", "nothing was changed")
    assert "break-glass" not in market.okto("ana", "approvals", "no-way-round", *ENV).out


def test_an_emergency_runs_without_approval_and_leaves_a_review_owed(glass: Shop) -> None:
    """It is signed, journaled with incident and reason, captured as ever; somebody else must look at it."""
    write_change(glass, "emergency", merchant=4)
    propose(glass, "emergency")
    explained(glass.okto("ana", "apply", "emergency", *ENV, expect=3), 3, "step 7 (approvals)")
    explained(glass.okto("ana", "apply", "emergency", *ENV, *WHY, expect=2), 2, "there is no terminal to ask on")
    done = document(glass.okto("ana", "apply", "emergency", *ENV, *WHY, "--yes", "--json"))
    assert done["result"] == "done"
    assert limit_of(glass, 4) == "500"
    started = document(glass.okto("ana", "audit", "log", "emergency", *ENV, "--json"))["entries"][0]["event"]["data"]
    assert started["break_glass"]["incident"] == "INC-42"
    assert started["break_glass"]["statement"] in started["decisions"]
    told = glass.okto("ana", "status", *ENV).out
    assert "the review of the glass that ana broke for INC-42 is due by" in " ".join(told.split())
    assert "the review of the glass" not in glass.okto("ana", "verify", "no-way-round", *ENV, expect=3).out


def test_whoever_broke_it_cannot_review_it(glass: Shop) -> None:
    """Four eyes, afterwards at least."""
    answer = glass.okto("ana", "review", "emergency", *ENV, "-m", "fine", "--yes", "emergency", expect=3)
    explained(answer, 3, "a review by ana would not count", "ask bruno")


def test_an_overdue_review_stops_ordinary_runs_until_somebody_gives_it(glass: Shop) -> None:
    """CI turns red; another emergency would still be possible; the review settles it, and it can be taken back."""
    write_change(glass, "ordinary", merchant=5)
    propose(glass, "ordinary")
    glass.approve("ordinary")
    assert glass.okto("bruno", "verify", "ordinary", *ENV).code == 0
    with edited(glass, POLICY, "within: 48h", "within: 1s"):
        glass.world.git("bruno", "pull", "--quiet", "origin", "main")
        glass.okto("bruno", "approve", "ordinary", *ENV, "--yes", "ordinary")
        refused = glass.okto("ana", "apply", "ordinary", *ENV, expect=3)
        explained(
            refused, 3, "step 9 (reviews): emergency: the review of the glass that ana broke for INC-42 is overdue"
        )
        assert "blocked: step 9 (reviews)" in glass.okto("bruno", "verify", "ordinary", *ENV, expect=3).out
        done = glass.okto("bruno", "review", "emergency", *ENV, "-m", "right rows", "--yes", "emergency")
        assert "reviewed" in done.out and "still owed" not in done.out
        glass.okto("ana", "apply", "ordinary", *ENV)
    assert limit_of(glass, 5) == "500"
    again = glass.okto("bruno", "review", "emergency", *ENV, "-m", "x", "--yes", "emergency", expect=1)
    explained(again, 1, "no review is owed for emergency")


def test_a_rejection_stands_in_an_emergency(glass: Shop) -> None:
    """Breaking the glass lowers the quorum, not a refusal; nothing is published."""
    write_change(glass, "rejected", merchant=6)
    propose(glass, "rejected")
    glass.world.git("bruno", "pull", "--quiet", "origin", "main")
    glass.okto("bruno", "reject", "rejected", *ENV, "-m", "wrong merchant", "--yes", "rejected")
    answer = glass.okto("ana", "apply", "rejected", *ENV, *WHY, "--yes", expect=3)
    explained(answer, 3, "step 6 (veto): rejected by bruno: wrong merchant")
    assert "break-glass" not in glass.okto("ana", "approvals", "rejected", *ENV).out


def test_integrity_stands_in_an_emergency(glass: Shop) -> None:
    """Other bytes than the lock's, a target that changed since the dry run: refused as ever."""
    write_change(glass, "integrity", merchant=8)
    propose(glass, "integrity")
    with edited(glass, "changes/integrity/limit.sql", "'500'", "'900'"):
        explained(glass.okto("ana", "apply", "integrity", *ENV, *WHY, "--yes", expect=3), 3, "limit.sql")
    query(glass, "ALTER TABLE merchants ADD COLUMN since_the_dry_run integer")
    try:
        answer = glass.okto("ana", "apply", "integrity", *ENV, *WHY, "--yes", expect=3)
        explained(answer, 3, "the target is not what the dry run saw")
    finally:
        query(glass, "ALTER TABLE merchants DROP COLUMN since_the_dry_run")


@pytest.mark.parametrize(
    "more", [("--break-glass",), ("--break-glass", "--incident", "INC-1"), ("--incident", "INC-1")]
)
def test_incident_and_reason_go_with_the_glass(glass: Shop, more: tuple[str, ...]) -> None:
    """Neither without the other."""
    explained(glass.okto("ana", "apply", "integrity", *ENV, *more, expect=2), 2, "--incident")


def test_freezes_and_windows_stop_ordinary_runs_and_no_emergency(glass: Shop) -> None:
    """The reason is shown with the next opening; approvals are given meanwhile."""
    freeze = "    freezes: [{from: 2026-01-01T00:00:00Z, until: 2036-01-01T00:00:00Z, reason: year end}]\n"
    write_change(glass, "frozen", merchant=11)
    propose(glass, "frozen")
    with edited(glass, POLICY, "    dry_run: required\n", f"    dry_run: required\n{freeze}"):
        glass.approve("frozen")
        refused = glass.okto("ana", "apply", "frozen", *ENV, expect=3)
        explained(
            refused, 3, "step 10 (window): production is frozen until 2036-01-01 00:00Z: year end", "next opening"
        )
        assert "note: production is frozen" in glass.okto("bruno", "verify", "frozen", *ENV).out
        assert "production is frozen" in " ".join(glass.okto("bruno", "approvals", "frozen", *ENV).out.split())
        glass.okto("ana", "apply", "frozen", *ENV, *WHY, "--yes")
    assert limit_of(glass, 11) == "500"


def test_an_approval_serves_one_run_whatever_journal_is_kept(glass: Shop) -> None:
    """The ledger lies in the changed database: a lost journal brings no approval back."""
    write_change(glass, "used-once", merchant=12)
    propose(glass, "used-once")
    glass.approve("used-once")
    glass.okto("ana", "apply", "used-once", *ENV)
    glass.okto("ana", "rollback", "used-once", *ENV, "--yes")
    with psycopg.connect(glass.world.dsn("production"), autocommit=True) as connection:
        connection.execute("ALTER TABLE okto_change.entry DISABLE TRIGGER USER")
        connection.execute("DELETE FROM okto_change.entry WHERE change = 'used-once'")
        connection.execute("ALTER TABLE okto_change.entry ENABLE ALWAYS TRIGGER entry_refuse")
        connection.execute("ALTER TABLE okto_change.entry ENABLE ALWAYS TRIGGER entry_follow")
    refused = glass.okto("ana", "apply", "used-once", *ENV, expect=3)
    explained(refused, 3, "the approval by bruno does not count: an earlier run used it; approvals count once")
    assert limit_of(glass, 12) != "500"


def test_a_run_that_changed_nothing_uses_nothing_up(glass: Shop) -> None:
    """It may be tried again as approved."""
    write_change(glass, "tried-twice", merchant=13)
    propose(glass, "tried-twice")
    glass.approve("tried-twice")
    with psycopg.connect(glass.world.dsn("production")) as connection:
        connection.execute("SELECT FROM merchants WHERE id = 13 FOR UPDATE")
        assert glass.okto("ana", "apply", "tried-twice", *ENV, expect=None).code == 4
    glass.okto("ana", "apply", "tried-twice", *ENV)


def test_an_older_policy_than_a_run_went_by_is_refused(glass: Shop) -> None:
    """Whoever puts an old version back, or shows another origin, is found out by the target."""
    write_change(glass, "older", merchant=14)
    propose(glass, "older")
    glass.approve("older")
    query(glass, "CREATE TABLE seen AS TABLE okto_change.trust_state")
    try:
        query(glass, "UPDATE okto_change.trust_state SET policy_version = 7")
        refused = glass.okto("ana", "apply", "older", *ENV, expect=3)
        explained(refused, 3, "a run went by version 7 of the policy here, and this is version 1")
        query(glass, "UPDATE okto_change.trust_state SET policy_version = 1, commit = repeat('ab', 20)")
        refused = glass.okto("ana", "apply", "older", *ENV, expect=3)
        explained(refused, 3, "which is not in the past of the protected branch")
    finally:
        query(
            glass,
            "DELETE FROM okto_change.trust_state; INSERT INTO okto_change.trust_state TABLE seen; DROP TABLE seen",
        )


def test_an_approver_withdraws(glass: Shop) -> None:
    """Nothing to withdraw is said; an approval that was withdrawn does not run, until it is given again."""
    write_change(glass, "withdrawn", merchant=15)
    propose(glass, "withdrawn")
    glass.world.git("bruno", "pull", "--quiet", "origin", "main")
    revoke = ("revoke", "withdrawn", *ENV, "--yes", "withdrawn")
    explained(glass.okto("bruno", *revoke, expect=1), 1, "bruno has signed nothing of this")
    explained(glass.okto("bruno", *revoke, "--of", "zoe", "-m", "x", expect=2), 2, "nobody called 'zoe'", "ana, bruno")
    glass.approve("withdrawn")
    assert "revoked" in glass.okto("bruno", *revoke, "-m", "mistaken").out
    refused = glass.okto("ana", "apply", "withdrawn", *ENV, expect=3)
    explained(refused, 3, "the approval by bruno does not count: bruno decided again later: revoke")
    assert "mistaken" in glass.okto("ana", "approvals", "withdrawn", *ENV).out
    glass.approve_again("withdrawn")
    glass.okto("ana", "apply", "withdrawn", *ENV)
