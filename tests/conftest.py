"""Fixtures live in plug-ins, one topic each."""

from __future__ import annotations

import gc

pytest_plugins = [
    f"tests.plugins.{topic}"
    for topic in (
        "memory",
        "cost",
        "docs",
        "home",
        "people",
        "server",
        "proxy",
        "sessions",
        "world",
        "market",
        "journey",
    )
]


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the run: it would look at it again and again."""
    gc.freeze()
