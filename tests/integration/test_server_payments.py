"""The payments database is what its comments say, and the same every time; the example changes fit it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from okto_change.approval import policy
from okto_change.demo import example
from okto_change.demo import payments as payments_data
from okto_change.plan import read, render
from tests.plugins.server import SMALL, Cluster

TABLES = (
    "acquirers",
    "merchants",
    "transactions",
    "settlements",
    "settlement_items",
    "settlement_events",
    "ledger_entries",
)
STUCK = "status = 'PENDING' AND acquirer_id = 1 AND requested_at <@ '[2026-11-22 09:10Z, 2026-11-22 09:14Z]'::tstzrange"


def rows(dsn: str, query: str) -> list[tuple[object, ...]]:
    """Return the rows of a query."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def fingerprint(dsn: str) -> list[tuple[object, ...]]:
    """Return a digest of every table's rows."""
    each = (f"SELECT '{name}', md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} AS t" for name in TABLES)
    return rows(dsn, " UNION ALL ".join(each))


def test_the_ledger_balances_in_every_currency_and_for_every_transaction(payments: str) -> None:
    """Double entry: debits and credits cancel out."""
    assert rows(payments, "SELECT DISTINCT sum(amount) FROM ledger_entries GROUP BY currency") == [(0,)]
    odd = "SELECT transaction_id FROM ledger_entries GROUP BY transaction_id HAVING sum(amount) <> 0"
    assert rows(payments, odd) == []


def test_37_settlements_are_stuck_and_others_wait_or_went_through_beside_them(payments: str) -> None:
    """Whoever forgets a part of the condition hits the wrong ones."""
    assert rows(payments, f"SELECT count(*) FROM settlements WHERE {STUCK}") == [(37,)]
    assert rows(payments, "SELECT count(*) FROM settlements WHERE status = 'PENDING'") == [(56,)]


def test_settlements_pay_out_what_their_items_add_up_to(payments: str) -> None:
    """Those that have items; the morning's queue has none yet."""
    odd = (
        "SELECT s.id FROM settlements AS s JOIN settlement_items AS i ON i.settlement_id = s.id"
        " GROUP BY s.id HAVING sum(i.amount) <> s.amount"
    )
    assert rows(payments, odd) == []


def test_triggers_stamp_and_audit_a_change(payments: str) -> None:
    """``updated_at`` moves, and the audit log has the old values of what changed."""
    with psycopg.connect(payments, autocommit=True) as connection:
        connection.execute("UPDATE merchants SET name = 'New' WHERE id = 7")
    ((moved, was),) = rows(
        payments, "SELECT updated_at > '2026-01-02', was FROM merchants AS m, audit_log WHERE m.id = 7"
    )
    assert moved is True and was == {"name": "Bakery 7"}


def test_the_same_number_of_transactions_gives_the_same_rows(payments: str, server: Cluster) -> None:
    """Two loads do not differ in a byte."""
    other = server.create()
    try:
        payments_data.load(server.conninfo(other), transactions=SMALL)
        assert fingerprint(server.conninfo(other)) == fingerprint(payments)
    finally:
        server.drop(other)


@pytest.mark.parametrize("change", [example.RELEASE, example.LEDGER, example.LIMIT])
def test_the_example_repository_is_a_valid_change_repository(change: str) -> None:
    """Every plan parses and renders for every environment of the policy, which parses too."""
    folder = example.root() / "changes" / change
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    rules = policy.read((example.root() / example.POLICY).read_bytes(), str(example.POLICY))
    plan = read.load(change, files)
    assert plan.author in rules.people
    for environment in rules.environments.values():
        assert render.render(plan, environment.name).environment == environment.name
        assert {step.target for step in plan.steps} <= environment.targets.keys()


def test_the_policy_takes_other_keys_only_for_people_it_knows(tmp_path: Path) -> None:
    """A typing error in a name does not leave an old key in place."""
    with pytest.raises(ValueError, match="no mallory"):
        example.write_policy(tmp_path, {"mallory": "ssh-ed25519 AAAA"})
