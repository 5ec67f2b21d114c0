"""Fixtures live in plug-ins, one topic each."""

from __future__ import annotations

pytest_plugins = [
    f"tests.plugins.{topic}"
    for topic in ("docs", "home", "people", "server", "proxy", "sessions", "world", "market", "journey")
]
