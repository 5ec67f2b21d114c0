"""Every case of ``tests/cases/cases.yaml`` through the whole product: lock, rehearse, apply, meanwhile, roll back, apply again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from okto_change.database.session import connect
from okto_change.database.state import ensure_schema
from okto_change.errors import OktoError
from okto_change.model import Result
from tests.integration.case_driver import rows
from tests.plugins.journey import Journey

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "cases.yaml").read_text(encoding="utf-8"))["cases"]
STEP = "  - name: the step\n    target: ledger\n    sql: change.sql\n"
PLAYED = [case for case in CASES if "role" not in case and "names" not in case]


def script(case: dict[str, Any]) -> str:
    """Return the case's statements as one SQL file."""
    texts = []
    for statement in case["change"]:
        if isinstance(statement, dict):
            data = statement["data"] if statement["data"].endswith("\n") else statement["data"] + "\n"
            texts.append(f"{statement['copy']};\n{data}\\.\n")
        else:
            texts.append(f"{statement};\n")
    return "".join(texts)


@pytest.mark.parametrize("case", PLAYED, ids=lambda case: case["id"])
def test_a_case_ends_as_it_must(case: dict[str, Any], journey: Journey, database: str) -> None:
    """The verdict is the expected one or one that a careful tool may give; success with a wrong row is never it."""
    with psycopg.connect(database, autocommit=True) as connection:
        if connection.info.server_version // 10_000 < case.get("min_version", 0):
            pytest.skip(f"needs PostgreSQL {case['min_version']}")
        connection.execute(case["schema"])
    with connect("ledger", database) as session:
        ensure_schema(session)
    expect = case["expect"]
    allowed = {expect["verdict"], *expect.get("accept", ())}
    allowed |= {"reversible"} if "net_zero" in allowed else set()
    verdict, why = play(journey, database, case)
    assert verdict in allowed, why


def play(journey: Journey, database: str, case: dict[str, Any]) -> tuple[str, str]:
    """Return the verdict and why; ``silent`` means that something is wrong and nobody said so."""
    before = rows(database)
    try:
        journey.write(STEP, {"change.sql": script(case)})
        found = journey.dry_run()
    except OktoError as error:
        return _refused(database, before, str(error) + str(error.faults))
    assert found.rehearsal is not None
    if rows(database) != before:
        return "silent", "the rehearsal left something behind"
    if not found.rehearsal.undo.proven:
        return _refused(database, before, found.rehearsal.failure or str(found.rehearsal.undo))
    journey.git.commit("Rehearsed")
    done = journey.apply()
    if done.result is not Result.DONE:
        return _refused(database, before, done.summary)
    return _take_back(journey, database, case, before)


def _take_back(journey: Journey, database: str, case: dict[str, Any], before: Any) -> tuple[str, str]:
    if case.get("between"):
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(case["between"])
    meanwhile = rows(database)
    back = journey.rollback()
    if back.result is Result.CONFLICT:
        return ("conflict" if rows(database) == meanwhile and back.conflicts else "silent"), back.summary
    if back.result is not Result.DONE:
        return "silent", f"{back.summary}: {back.state}"
    if case.get("between"):
        return "reversible", ""
    if rows(database) != before:
        return "silent", "rows are not as they were"
    again = journey.apply()
    if again.result is not Result.DONE or journey.rollback().result is not Result.DONE or rows(database) != before:
        return "silent", f"the second time: {again.summary}"
    return "reversible", ""


def _refused(database: str, before: Any, why: str) -> tuple[str, str]:
    return ("refuse", why) if rows(database) == before else ("silent", f"refused but changed: {why}")
