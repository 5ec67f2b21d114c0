"""The SQL files of the package."""

from __future__ import annotations

import re

import pytest

from okto_change.database import queries


def test_a_query_is_found_by_its_name() -> None:
    """The text of a query begins with its comment or statement, not with its name."""
    assert "pg_control_system" in queries.load("system_identifier")
    assert not queries.load("system_identifier").startswith("-- name")


def test_an_unknown_query_is_a_key_error() -> None:
    """A misspelt name is our bug, and loud."""
    with pytest.raises(KeyError):
        queries.load("nonesuch")


def test_the_schema_begins_with_the_state() -> None:
    """Later files may count on the schema that the first one creates."""
    first, *_ = queries.schemas()
    assert "CREATE SCHEMA okto_change" in first


def test_every_table_and_column_of_the_schema_has_a_comment() -> None:
    """Whoever finds the schema in a database can read what it is for."""
    text = "\n".join(queries.schemas())
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS (okto_change\.\w+)", text)
    assert tables
    assert [table for table in tables if not re.search(rf"COMMENT ON TABLE\s+{re.escape(table)}\s+IS", text)] == []
