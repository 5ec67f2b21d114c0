"""What a session sends: queries of ours by name, or composed; and which of them are asked for in binary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from okto_change.database import queries
from okto_change.errors import DatabaseError
from okto_change.model import Timeouts

Query = LiteralString | sql.SQL | sql.Composed
Call = tuple[str, Mapping[str, Any]] | sql.Composed
"""a query of ours by name, with its parameters; or one that was composed"""
Sent = tuple[Query, Any, bool | None, bool]
"""a statement, its parameters, whether its rows are asked for in binary, whether it is parsed and planned once for all times"""

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


FAKES: Call = sql.SQL(
    "SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements AS p"
    " WHERE p.from_sql AND pg_catalog.starts_with(p.name, '_pg3_')"
).format()
"""How many prepared statements have a name as the driver gives them to ours, and were made by SQL: a function of others
could put its own in the place of one of ours. It is never prepared itself."""


GONE = "26000"
"""sqlstate: a prepared statement is not there, or is not ours"""


def several(statement: Query, parameters: Any) -> bool:
    """Whether a statement may be several, which only the simple protocol takes, in a round trip of their own."""
    return parameters is None and isinstance(statement, sql.Composed) and ";" in statement.as_string(None)


def demand_ours(fakes: psycopg.Cursor[tuple[Any, ...]], target: str) -> None:
    """Raise DatabaseError when ``FAKES``, which this cursor has asked, found any, whatever else went wrong behind it."""
    found = fakes.pgresult
    if found is not None and found.ntuples and found.get_value(0, 0) != b"0":
        raise DatabaseError("the change prepares statements under names of the driver", sqlstate=GONE, where=target)


def sent(call: Call, *, again: bool = False) -> Sent:
    """Return a call as it is sent; one by name that comes ``again`` is prepared."""
    if isinstance(call, sql.Composed):
        return call, None, None, False
    name, parameters = call
    return queries.load(name), parameters or None, name in MOMENTS, again


def limiting(timeouts: Timeouts) -> str:
    """Return the statements that set the limits of a transaction."""
    return (
        f"SET LOCAL lock_timeout = {int(timeouts.lock)}; SET LOCAL statement_timeout = {int(timeouts.statement)};"
        f" SET LOCAL idle_in_transaction_session_timeout = {max(int(timeouts.statement) * 2, 60_000)};"
        " SET LOCAL standard_conforming_strings = on"
    )
