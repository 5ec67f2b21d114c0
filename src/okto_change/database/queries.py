"""Loader of ``queries.sql``: blocks headed by ``-- name: x``, read once."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import LiteralString, cast


def load(name: str) -> LiteralString:
    """Return the query called ``name``; raises KeyError. The file ships with the package, so its text is as literal as code."""
    return cast(LiteralString, _all()[name])


def schema() -> LiteralString:
    """Return ``schema.sql``: the tables of schema ``okto_change``, safe to run again."""
    return cast(LiteralString, resources.files(__package__).joinpath("schema.sql").read_text("utf-8"))


@cache
def _all() -> dict[str, str]:
    text = resources.files(__package__).joinpath("queries.sql").read_text("utf-8")
    blocks = text.split("-- name: ")[1:]
    return {name.strip(): body.strip() for name, body in (block.split("\n", 1) for block in blocks)}
