"""Any YAML: what libyaml reads is what PyYAML's own parser reads, fault for fault, line for line, or it is not asked.

A second in the default run; ``make fuzz`` goes on for ``OKTO_FUZZ_SECONDS`` of processor time.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from okto_change import strictyaml
from okto_change.strictyaml import Faults, Node

ROOT = Path(__file__).parents[2]
BUDGET = int(os.environ.get("OKTO_FUZZ_SECONDS", "1"))
WRITTEN = r"""
    a b key 0 ~ null = << / . ... --- ---· ¶---¶ x:y 1 é ß 😀 　 -a -- --· + $ a?b a#b a!b a@b @ ` % %20 %YAML·1.1¶
    ' '' " "" : :· ·: :: - -· ? ?· , ,· ,, [ ] { } [[[ ]]] # ·# #·c & &a· *a ! !!int· !<x>
    | |- |+ |1 |2- |# > >- >+ >2 >#·c ¶ ¶ ¶ ¶·· ¶···· ¶¶ ·¶ · ·· \ \¶ \n \x41 \u00e9 \/ \N \_ \0 \x \ud800 \U00110000 \q \e \·
    'a':b "a":b {a} {a:} {a:b} [:·b] [a:·b] [a:b] [?a] {a:·[b,·{c:·d}]} -·-·a -··-·a -·a ¶··#·c¶ a:· a:·b x:·>
"""
"""``·`` is a space and ``¶`` a line feed"""
PIECES = (*(piece.replace("·", " ").replace("¶", "\n") for piece in WRITTEN.split()), "k" * 130, "k" * 1030)
SEEDS = tuple(
    "\n".join(lines[at : at + size]) + "\n"
    for path in sorted((*ROOT.glob("changes/*/plan.yaml"), *ROOT.glob(".okto-change/policy/*.yaml")))
    for lines in (path.read_text(encoding="utf-8").split("\n"),)
    for at, size in zip(range(0, len(lines), 5), (2, 5, 9) * 30, strict=False)
)


def tree(node: Node) -> Any:
    """Return all that a node holds, for comparing."""
    inner: Any = node.value
    if isinstance(node.value, dict):
        inner = {key: (node.place(key), tree(item)) for key, item in node.value.items()}
    elif isinstance(node.value, list):
        inner = [tree(item) for item in node.value]
    return node.where, node.kind, inner, node.plain, node.raw


def seen(text: str) -> tuple[list[str], Any]:
    """Return the faults of a text and its tree."""
    faults = Faults()
    node = strictyaml.read(text, "p.yaml", faults)
    return list(faults), tree(node)


def alike(text: str) -> bool:
    """Demand that both parsers see the same; return whether libyaml was believed."""
    with pytest.MonkeyPatch.context() as patch:
        found = seen(text)
        believed = strictyaml._with_libyaml(text, "p.yaml") is not None
        patch.setattr(strictyaml, "_LIBYAML", None)
        assert seen(text) == found
    return believed


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Return a heap of pieces, or a few lines of a plan or a policy with pieces put in."""
    pieces = st.sampled_from(PIECES)
    if draw(st.booleans()):
        return "".join(draw(st.lists(pieces, min_size=1, max_size=12)))
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(pieces) + text[at + draw(st.integers(0, 5)) :]
    return text


def test_both_parsers_see_the_same() -> None:
    """Whatever is written; and libyaml is asked often enough for that to mean something."""
    ends, tried, believed = time.process_time() + BUDGET, 0, 0

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(texts())
    def some(text: str) -> None:
        nonlocal tried, believed
        tried += 1
        believed += alike(text)

    while time.process_time() < ends or not tried:
        some()
    print(f"{tried} texts, {believed} of them read with libyaml")
    assert strictyaml._LIBYAML is None or believed > tried // 20


@pytest.mark.parametrize("unit", ["a: [", "a: {", "[", "- ", "a: ", "? ", "!", "'", '"', "a,", "a:\n", "  - a\n"])
def test_much_of_the_same_brings_nothing_down(unit: str) -> None:
    """As much as a file may hold; the parser of PyYAML would take seconds for some of it, were it not stopped."""
    alike(unit * (strictyaml.MOST_BYTES // 8 // len(unit)))


@pytest.mark.skipif(strictyaml._LIBYAML is None, reason="PyYAML has no libyaml 0.2.5 here")
@pytest.mark.parametrize("path", sorted((*ROOT.glob("changes/*/plan.yaml"), *ROOT.glob(".okto-change/policy/*.yaml"))))
def test_real_files_are_read_with_libyaml(path: Path) -> None:
    """The examples take the quick way, and both ways see the same."""
    assert alike(path.read_text(encoding="utf-8"))
