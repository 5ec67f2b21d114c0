"""Large and hostile texts: read, cut, masked or refused. How long that takes is in ``benchmarks/hostile.py``."""

from __future__ import annotations

import pytest

from okto_change import analysis
from okto_change.analysis.split import split
from okto_change.masking import mask
from okto_change.plan.template import MOST_OUTPUT
from tests.unit.analysis.making import plan, step
from tests.unit.plan.test_template import problem_of


@pytest.mark.parametrize("text", ["+" * 50_000, "(" * 20_000 + ")" * 20_000, "/* */" * 50_000, "E'\\''" * 30_000])
def test_hostile_repetition_is_one_statement(text: str) -> None:
    """Operators, brackets, comments and escapes, however many."""
    assert len(split(f"SELECT {text}", "changes/fix/fix.sql", "fix")) == 1


@pytest.mark.parametrize(
    ("sql", "too_large"),
    [
        ("DELETE FROM t WHERE id IN (" + ", ".join(map(str, range(10_000))) + ")", False),
        ("DELETE FROM t WHERE " + " OR ".join(f"id = {n}" for n in range(1_000)), False),
        ("UPDATE t SET a = '" + "x" * 1_048_500 + "'", True),
    ],
    ids=["IN list", "OR chain", "1 MiB"],
)
def test_large_statement_is_read(sql: str, too_large: bool) -> None:
    """Ten thousand literals are parsed; a megabyte is only read by tokens, and a finding says so."""
    result = analysis.analyse(plan(step(sql)))
    assert result.statements[0].writes == ("t",)
    assert ("OC502" in {finding.code for finding in result.findings}) is too_large


@pytest.mark.parametrize(
    "text",
    [
        "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in many %}{% for b in many %}{{ many }},{% endfor %}{% endfor %}",
        "{% for a in many %}{% for b in many %}" + "x" * 1000 + "{% endfor %}{% endfor %}",
    ],
)
def test_a_runaway_template_is_stopped(text: str) -> None:
    """Turns of loops and size of output have a limit."""
    assert "more than" in problem_of(text) or f"{MOST_OUTPUT // 1024 // 1024} MiB" in problem_of(text)


def test_a_long_list_of_numbers_is_left_as_it_is() -> None:
    """Neither short groups nor digits beside a digest make a card."""
    text = "12 " * 50_000 + ("4111111111111112," + "a" * 40 + ",") * 2_000
    assert mask(text) == text
