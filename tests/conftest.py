"""Fixtures live in plug-ins, one topic each."""

from __future__ import annotations

pytest_plugins = [
    "tests.plugins.home",
    "tests.plugins.people",
    "tests.plugins.server",
    "tests.plugins.proxy",
    "tests.plugins.world",
]
