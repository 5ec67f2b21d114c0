"""What bodies of functions and DO blocks do outside their transaction."""

from __future__ import annotations

import pytest

from okto_change.analysis import calls, outside
from okto_change.analysis.lexer import significant


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("COPY t FROM STDIN", "STDIN"),
        ("COPY (SELECT 1) TO PROGRAM 'cat'", "PROGRAM"),
        ("BEGIN COPY t TO '/tmp/x'; END", "FILE"),
        ("IF a THEN COPY t(a, b) FROM '/tmp/x'; END IF", "FILE"),
        ("SELECT copy FROM t", None),
        ("BEGIN copy := 1; END", None),
        ("UPDATE t SET a = 1", None),
    ],
)
def test_the_other_end_of_a_copy_is_found_where_statements_begin(text: str, end: str | None) -> None:
    """A column called copy is none."""
    assert outside.copied(significant(text)) == end


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN PERFORM setval('s', 1); END",
        "SELECT pg_catalog.\"setval\" /* here */ ('s', 1)",
        "BEGIN EXECUTE 'SELECT setval(''s'', 1)'; END",
        "BEGIN EXECUTE format($q$SELECT setval(%L, 1)$q$, 's'); END",
    ],
)
def test_a_call_is_found_in_a_body_and_in_what_it_executes(body: str) -> None:
    """Quoted, qualified, commented, dynamic."""
    assert [name for name, _ in outside.callers({"f": body}, calls.SETVAL)] == ["f"]


@pytest.mark.parametrize(
    "body", ["-- setval('s', 1)\nSELECT 1", "SELECT 'setval(1)'", "SELECT setval FROM t", "SELECT $$"]
)
def test_talk_of_a_call_is_none(body: str) -> None:
    """Comments, strings that nobody runs, columns, and what cannot be read."""
    assert list(outside.callers({"f": body}, calls.SETVAL)) == []


def test_who_copies_to_files_is_named() -> None:
    """By name; from the client is no matter of the server's files."""
    bodies = {"a": "BEGIN EXECUTE 'COPY t TO ''/tmp/x'''; END", "b": "COPY t FROM STDIN", "c": "SELECT 1"}
    assert list(outside.copiers(bodies)) == ["a"]
