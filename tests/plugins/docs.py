"""Parts of README and docs that show real output stand between two marks; ``--write-docs`` writes them anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


class Shown:
    """Compares the part called ``name`` of a page with what is true now, or writes it."""

    def __init__(self, write: bool, test: str) -> None:
        self._write = write
        self._test = test

    def check(self, page: str, name: str, truth: str) -> None:
        """Fail unless ``page`` (relative to the repository's root) shows ``truth`` between the marks of ``name``."""
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        found = re.search(rf"(<!-- begin {name} -->\n)(.*?)(<!-- end {name} -->)", text, re.DOTALL)
        assert found is not None, f"{page} has no part called {name}"
        if self._write:
            path.write_text(text[: found.end(1)] + truth + text[found.start(3) :], encoding="utf-8")
            return
        assert found[2] == truth, f"{page} is out of date: python -m pytest {self._test} --write-docs"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--write-docs``."""
    parser.addoption("--write-docs", action="store_true", help="write the generated parts of README and docs anew")


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Shown:
    """Return the comparer of generated parts."""
    return Shown(request.config.getoption("--write-docs"), request.node.nodeid)
