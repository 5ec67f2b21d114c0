"""Every case of ``tests/cases/cases.yaml`` through the engine alone: no git, no approvals, the server is the judge."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from tests.integration.case_driver import play
from tests.plugins.server import Cluster

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "cases.yaml").read_text(encoding="utf-8"))["cases"]
ROLE = "okto_case_role"
"""The role that cases create for themselves; roles belong to the server, not to the database of the test."""


@pytest.fixture(scope="module", autouse=True)
def no_role_is_left(server: Cluster) -> Iterator[None]:
    """Drop the role of the cases when all of their databases are gone."""
    yield
    with psycopg.connect(server.admin, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}")


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_comes_back_byte_for_byte_or_is_refused_or_names_a_conflict(
    case: dict[str, Any], database: str, server: Cluster
) -> None:
    """Nothing is ever silently wrong: the verdict is the expected one, or one that a careful tool may give."""
    if case.get("min_version", 0) > server.major:
        pytest.skip(f"needs PostgreSQL {case['min_version']}")
    try:
        told = play(database, case)
    except psycopg.errors.FeatureNotSupported as missing:
        if not case.get("needs"):
            raise
        pytest.skip(f"this server was built without {case['needs']}: {missing.diag.message_primary}")
    expect = case["expect"]
    assert told.verdict in (expect["verdict"], *expect.get("accept", ())), told.why
    if told.verdict == "reversible" and expect.get("sequences") == "restored":
        before, after = told.sequences
        assert after == before
    if told.verdict == "reversible" and expect.get("sequences") == "advance":
        assert any("moved from" in note for note in told.notes), told.notes
