"""The duties of data with the installed command: no card number in a plan, images that go after their time."""

from __future__ import annotations

import json

from tests.plugins.market import write_change
from tests.plugins.world import Shop

WARM = True
CARD = "4111 1111 1111 1111"


def test_a_plan_that_holds_a_card_number_is_not_locked(market: Shop) -> None:
    """The finding names the place and shows no more than the first six and last four digits."""
    change = "2026-11-22-block-a-card"
    sql = f"UPDATE merchants SET settings = '{{}}' WHERE id = 7 AND name = '{CARD}';\n"
    write_change(market, change, files={"limit.sql": sql})
    checked = market.okto("ana", "check", change, "--env", "sandbox", expect=1)
    locked = market.okto("ana", "lock", change, "--env", "sandbox", expect=1)
    for answer in (checked, locked):
        assert "OC701" in answer.said and "411111******1111" in answer.said
        assert CARD not in answer.said
    assert not (market.change("ana", change) / "locks").exists()


def test_a_purge_says_what_it_would_do(market: Shop) -> None:
    """Nothing is old enough; an environment that is not there is a mistake of the caller's."""
    said = market.okto("ana", "purge", "--env", "sandbox", "--dry-run")
    assert said.out.startswith("nothing to purge  sandbox, images are kept for 90 days")
    told = json.loads(market.okto("ana", "purge", "--env", "sandbox", "--json").out)
    assert told["kind"] == "purge" and told["images"] == [] and told["keep"] == 90 * 86400
    assert "no environment" in market.okto("ana", "purge", "--env", "nowhere", expect=2).err


def test_who_may_not_run_changes_may_not_purge(market: Shop) -> None:
    """Purging ends the way back, so it asks for the same people."""
    answer = market.okto("ana", "--key", "/nowhere/key", "purge", "--env", "production", expect=None)
    assert answer.code != 0 and "nothing was changed" in answer.err
