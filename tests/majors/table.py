"""``make cases``: every case of ``tests/cases/cases.yaml`` on every server found, as a table; fails if one is wrong.

``--majors`` also fetches the server programs of the majors 13 to 18.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from okto_change.demo import server
from okto_change.demo.binaries import VARIABLE
from okto_change.errors import OktoError, Refused
from tests.integration.case_driver import play
from tests.majors.fetch import MAJORS, fetch

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "cases.yaml").read_text(encoding="utf-8"))["cases"]
SKIPPED = "-"


def verdict(case: Mapping[str, Any], running: server.Server, number: int) -> str:
    """Play a case in a database of its own; return its verdict, ``-`` if the server lacks what it needs, ``WRONG: …``."""
    major = running.binaries.major
    if major < case.get("min_version", 0):
        return SKIPPED
    name = sql.Identifier(f"case_{number}")
    with psycopg.connect(running.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            told = play(running.conninfo(f"case_{number}"), dict(case))
        except psycopg.errors.FeatureNotSupported:
            return SKIPPED
        except (psycopg.Error, OktoError) as error:
            return f"WRONG: {type(error).__name__}: {error}"
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
    expect = case["expect"]
    allowed = {expect["verdict"], *expect.get("accept", ())}
    allowed |= {"reversible"} if "net_zero" in allowed else set()
    return told.verdict if told.verdict in allowed else f"WRONG: {told.verdict}: {told.why}"


def servers(*, majors: bool) -> Iterator[server.Server]:
    """Start one server after the other: installed and embedded, or those of all majors."""
    if not majors:
        for kind in ("installed", "embedded"):
            try:
                with server.running("installed" if kind == "installed" else "embedded") as running:
                    yield running
            except Refused as refused:
                print(f"{kind}: {refused.message}", file=sys.stderr)
        return
    for major in MAJORS:
        os.environ[VARIABLE] = str(fetch(major))
        with server.running("installed") as running:
            yield running


def main() -> int:
    """Print the table; return 1 if a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--majors", action="store_true")
    columns: dict[str, list[str]] = {}
    for running in servers(majors=parser.parse_args().majors):
        columns[running.binaries.version] = [verdict(case, running, n) for n, case in enumerate(CASES)]
    width = max(len(case["id"]) for case in CASES)
    print(f"{'case':{width}}  " + "  ".join(f"{version:10}" for version in columns))
    for number, case in enumerate(CASES):
        print(
            f"{case['id']:{width}}  " + "  ".join(f"{found[number].partition(':')[0]:10}" for found in columns.values())
        )
    wrong = 0
    for version, found in columns.items():
        faults = [(case["id"], text) for case, text in zip(CASES, found, strict=True) if text.startswith("WRONG")]
        played = len(found) - found.count(SKIPPED)
        print(f"PostgreSQL {version}: {played} played, {len(faults)} wrong, {found.count(SKIPPED)} not possible there")
        print("".join(f"  {name}: {text}\n" for name, text in faults), end="")
        wrong += len(faults)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
