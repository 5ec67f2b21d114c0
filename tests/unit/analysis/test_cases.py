"""The cases that the whole tool is measured by: analysis must not stand in the way of those that can be taken back."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from okto_change import analysis
from okto_change.model import Severity
from tests.unit.analysis.making import plan, step

CASES = Path(__file__).parents[2] / "cases" / "cases.yaml"


@cache
def cases() -> dict[str, Any]:
    """Return the cases by id."""
    return {case["id"]: case for case in yaml.safe_load(CASES.read_text(encoding="utf-8"))["cases"]}


def script(case: Any) -> str:
    """Return the statements of a case's change as one SQL file."""
    return "\n".join(f"{s};" if isinstance(s, str) else f"{s['copy']};\n{s['data']}\\.\n" for s in case["change"])


@pytest.mark.parametrize("name", sorted(cases()))
def test_only_what_can_never_be_taken_back_is_an_error(name: str) -> None:
    """Odd but reversible statements get warnings and notes at most; the run and its rehearsal decide the rest."""
    case = cases()[name]
    errors = {f.code for f in analysis.analyse(plan(step(script(case)))).findings if f.severity is Severity.ERROR}
    assert not errors or "refuse" in {case["expect"]["verdict"], *case["expect"].get("accept", ())}


def test_catalogue_write_is_refused_from_its_text() -> None:
    """No image can hold a system catalogue's rows, so nothing needs to run to know that."""
    findings = analysis.analyse(plan(step(script(cases()["catalog_write"])))).findings
    assert ("OC308", Severity.ERROR) in [(finding.code, finding.severity) for finding in findings]
