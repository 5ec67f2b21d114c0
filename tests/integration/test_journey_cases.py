"""Cases of ``tests/cases/cases.yaml`` through the whole product: lock, rehearse, apply, meanwhile, roll back, apply again.

``test_cases.py`` plays every case through the engine; here is one of each kind, and with ``OKTO_EVERY_CASE=1`` every one
(``make cases`` says so).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
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
THINGS = re.compile(
    r"\b(CONSTRAINT TRIGGER|EVENT TRIGGER|TRIGGER|RULE|MATERIALIZED VIEW|VIEW|PARTITION BY|INHERITS|POLICY|DOMAIN|ENUM|EXCLUDE"
    r"|GENERATED ALWAYS AS \(|IDENTITY|SEQUENCE|ON DELETE|ON UPDATE|REFERENCES|UNLOGGED|TEMP|COLLATION|PUBLICATION|DEFERRABLE"
    r"|NOT VALID|EXTERNAL|UNIQUE|PRIMARY KEY|TYPE|PROCEDURE|EXTENSION|DATABASE|REPLICA)\b",
    re.IGNORECASE,
)
"""What a schema may have that a change may meet."""


def kinds(case: dict[str, Any]) -> set[tuple[str, str]]:
    """Return what a case is an example of: its statements, its schema and its other worker, each with the verdict."""
    commands = {"COPY" if isinstance(each, dict) else each.split()[0].upper() for each in case["change"]}
    things = {each.upper() for each in THINGS.findall(case["schema"])}
    later = {f"then {word}" for word in case.get("between", "").split()[:1]}
    fields = {name for name in ("needs", "min_version", "once") if name in case}
    expect = case["expect"]
    told = {f"sequences {expect.get('sequences')}", f"or {expect.get('accept')}"}
    return {(kind, expect["verdict"]) for kind in commands | things | later | fields | told}


def one_of_each(cases: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give each case that is the first of some kind."""
    seen: set[tuple[str, str]] = set()
    for case in cases:
        if not kinds(case) <= seen:
            yield case
        seen |= kinds(case)


WHOLE = [case for case in CASES if "role" not in case and "names" not in case]
PLAYED = WHOLE if os.environ.get("OKTO_EVERY_CASE") == "1" else [*one_of_each(WHOLE)]


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
        prepare(connection, case)
    with connect("ledger", database) as session:
        ensure_schema(session)
    expect = case["expect"]
    allowed = {expect["verdict"], *expect.get("accept", ())}
    allowed |= {"reversible"} if "net_zero" in allowed else set()
    verdict, why = play(journey, database, case)
    assert verdict in allowed, why


def prepare(connection: psycopg.Connection[Any], case: dict[str, Any]) -> None:
    """Run the schema of a case; skip the test where this server was built without what it needs."""
    try:
        connection.execute(case["schema"])
    except psycopg.errors.FeatureNotSupported as missing:
        if not case.get("needs"):
            raise
        pytest.skip(f"this server was built without {case['needs']}: {missing.diag.message_primary}")


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
