"""No row of the threats is without an attack, and the page that explains them names every test."""

from __future__ import annotations

import ast
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs/explanation/threats.md"


def _tests() -> list[str]:
    """Return the names of all attacks, without running any."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("test_*.py"))]
    return [
        node.name
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name[:9] == "test_row_"
    ]


def test_every_row_has_an_attack() -> None:
    """The table has fifty rows; a test may stand for two."""
    numbers = {int(word) for name in _tests() for word in name.split("_") if word.isdigit() and len(word) == 2}
    assert numbers == set(range(1, 51))


def test_every_attack_is_explained() -> None:
    """In the row of the table where its threat stands, and no test is named that is not there."""
    page = PAGE.read_text(encoding="utf-8")
    named = {word.strip("`,") for word in page.split() if word.startswith("`test_row_")}
    assert named == set(_tests())
