"""Loader of the SQL that ships with the package: named queries in ``sql/``, tables of schema ``okto_change`` in ``schema/``."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString, cast


def load(name: str) -> LiteralString:
    """Return the query called ``name``; raises KeyError. The file ships with the package, so its text is as literal as code."""
    return cast(LiteralString, _queries()[name])


def schemas() -> tuple[LiteralString, ...]:
    """Return the files of ``schema/`` in the order of their names, each safe to run again."""
    return tuple(cast(LiteralString, text) for text in _texts("schema"))


@cache
def _queries() -> dict[str, str]:
    queries: dict[str, str] = {}
    for text in _texts("sql"):
        for block in text.split("\n-- name: ")[1:]:
            name, body = block.split("\n", 1)
            if name.strip() in queries:
                raise ValueError(f"two queries are called {name.strip()!r}")
            queries[name.strip()] = body.strip()
    return queries


@cache
def _texts(folder: str) -> tuple[str, ...]:
    files = resources.files(__package__).joinpath(folder).iterdir()
    return tuple(file.read_text("utf-8") for file in sorted(files, key=lambda file: file.name) if file.name.endswith(".sql"))
