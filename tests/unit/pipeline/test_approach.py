"""Connections begun ahead: taken once each, what went wrong told to whoever takes one, and to nobody else."""

from __future__ import annotations

import pytest

from okto_change.approval import policy
from okto_change.approval.rulebook import Environment
from okto_change.errors import ConnectionFailed
from okto_change.pipeline.approach import Approach

POLICY = b"""\
version: 1
repo: 7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f
protected_ref: refs/heads/main
approvals_refs: [refs/heads/okto-approvals]
people: {}
groups: {}
environments:
  one: {journal: ledger, targets: {ledger: {postgres: {dsn_env: NOT_SET}}, files: {files: {root: /srv}}}, from_head: true}
  two:
    journal: ledger
    from_head: true
    targets: {ledger: {postgres: {dsn_env: NOT_SET}}, other: {postgres: {dsn_env: NOT_SET}}}
rules: []
"""


def environment(name: str) -> Environment:
    """Return an environment whose databases nobody can reach."""
    return policy.read(POLICY, "0001.yaml").environment(name)


def test_the_journal_and_the_only_database_are_begun() -> None:
    """Whoever takes one is told why there is none; then it is connected as usual."""
    with Approach(environment("one"), {}) as near:
        for _ in range(2):
            with pytest.raises(ConnectionFailed, match="NOT_SET is not set"):
                near.take("ledger")
        assert near.take("ledger") is None
        assert near.take("files") is None


def test_of_several_databases_only_the_journals_is_begun() -> None:
    """Which others a change needs is known when it is compiled."""
    with Approach(environment("two"), {}) as near:
        assert near.take("other") is None
        with pytest.raises(ConnectionFailed):
            near.take("ledger")
        assert near.take("ledger") is None


def test_what_went_wrong_with_a_connection_that_nobody_takes_is_told_to_nobody() -> None:
    """The change was refused before it was needed."""
    with Approach(environment("one"), {}):
        pass
