"""What a session sends: queries of ours by name, or composed; and which of them are asked for in binary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString

from psycopg import sql

from okto_change.database import queries

Query = LiteralString | sql.SQL | sql.Composed
Call = tuple[str, Mapping[str, Any]] | sql.Composed
"""a query of ours by name, with its parameters; or one that was composed"""
Sent = tuple[Query, Any, bool | None]
"""a statement, its parameters, whether its rows are asked for in binary"""

MOMENTS = frozenset(
    {
        "applied",
        "clock",
        "doctor_prepared",
        "doctor_settings",
        "journal_next",
        "journal_page",
        "pause_asked",
        "retention_now",
        "retention_purged_at",
        "target_holder",
        "turn_holder",
    }
)
"""Queries of ours that return moments: they are asked for in binary, since the DateStyle of a database shapes their text,
and the author's SQL must find the one that the database is set to."""


def sent(call: Call) -> Sent:
    """Return a call as it is sent."""
    if isinstance(call, sql.Composed):
        return call, None, None
    name, parameters = call
    return queries.load(name), parameters or None, name in MOMENTS
