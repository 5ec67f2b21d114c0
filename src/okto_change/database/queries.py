"""Loader of the SQL that ships with the package: named queries in ``sql/``, tables of okto_change in ``schema/``."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString


def load(name: str) -> LiteralString:
    """Return the query called ``name``; raises KeyError. It ships with the package, as literal as code."""
    return _queries()[name]


def schemas() -> tuple[LiteralString, ...]:
    """Return the files of ``schema/`` in the order of their names, each safe to run again."""
    return _texts("schema")


@cache
def _queries() -> dict[str, LiteralString]:
    queries: dict[str, LiteralString] = {}
    for text in _texts("sql"):
        for block in text.split("\n-- name: ")[1:]:
            name, body = block.split("\n", 1)
            if name.strip() in queries:
                raise ValueError(f"two queries are called {name.strip()!r}")
            queries[name.strip()] = body.strip()
    return queries


@cache
def _texts(folder: str) -> tuple[LiteralString, ...]:
    files = sorted(resources.files(__package__).joinpath(folder).iterdir(), key=lambda file: file.name)
    return tuple(file.read_text("utf-8") for file in files if file.name.endswith(".sql"))
