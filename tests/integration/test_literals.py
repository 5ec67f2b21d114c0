"""Rendered literals mean to a real server what the plan says, whatever the value, the type and the session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from okto_change.database.session import Session, connect
from okto_change.errors import DatabaseError
from okto_change.plan.literals import identifier, literal
from okto_change.plan.types import parse

NASTY = (
    "O'Brien; DROP TABLE x --",
    "\\'; DROP TABLE x; --",
    "\\",
    "''",
    "a\nb\tc\rd",
    "\x01\x1b[2J\x7f",
    "$$ x $$ $1 %s %(a)s {{ b }} :c",
    "/* */ -- ;",
    "é日本😀",
    "e\u0301",
    "\u202egnp.exe\u200b\ufeff\u3164",
    "NULL",
    "",
    " leading and trailing ",
    "\\x41\\u0041\\n",
    "x" * 10_000,
)

VALUES: tuple[tuple[str, Any, str | None], ...] = (
    ("smallint", "-32768", "-32768"),
    ("int", "+2147483647", "2147483647"),
    ("bigint", "-9223372036854775808", "-9223372036854775808"),
    ("bigint", None, None),
    ("numeric", "12345678901234567890.000000000123", "12345678901234567890.000000000123"),
    ("numeric", "NaN", "NaN"),
    ("numeric", "1e100", "1" + "0" * 100),
    ("numeric(10,2)", "12345678.90", "12345678.90"),
    ("numeric(10,2)", "1e2", "100.00"),
    ("real", "1.5", "1.5"),
    ("double precision", "-Infinity", "-Infinity"),
    ("float8", "1e-300", "1e-300"),
    ("boolean", "true", "true"),
    ("varchar(3)", "abc", "abc"),
    ("date", "-infinity", "-infinity"),
    ("date", "2024-02-29", "2024-02-29"),
    ("time", "23:59:59.999999", "23:59:59.999999"),
    ("timestamp", "2026-11-22T09:10", "2026-11-22 09:10:00"),
    ("timestamptz", "2026-11-22 06:10:00.5-03:00", "2026-11-22 09:10:00.5+00"),
    ("timestamptz", "infinity", "infinity"),
    ("interval", "-1 days +2 hours", "-1 days +02:00:00"),
    ("interval", "P1DT2H", "1 day 02:00:00"),
    ("interval", "90 seconds", "00:01:30"),
    ("interval", "1 year 2 months 03:04:05.5", "1 year 2 mons 03:04:05.5"),
    ("uuid", "7D1F2F9A-0c54-4e0e-9d5e-1b7b9c1d2e3f", "7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f"),
    ("json", '{"a": "x\\n\\"y\\""}', '{"a": "x\\n\\"y\\""}'),
    (
        "jsonb",
        '{"b":[1,null,"O\'Brien"], "a": "\\ud83d\\ude00 \\\\ u"}',
        '{"a": "😀 \\\\ u", "b": [1, null, "O\'Brien"]}',
    ),
    ("jsonb", None, None),
    ("bytea", "\\xDEADbeef00", "\\xdeadbeef00"),
    ("inet", "10.0.0.1/24", "10.0.0.1/24"),
    ("inet", "fe80::1", "fe80::1/128"),
    ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ("int4range", "[1,10]", "[1,11)"),
    ("int4range", "empty", "empty"),
    ("numrange", "(,5.5]", "(,5.5]"),
    ("daterange", "[2026-01-01,infinity)", "[2026-01-01,infinity)"),
    ("tstzrange", "[2026-11-22T09:10Z,2026-11-22T09:14Z]", '["2026-11-22 09:10:00+00","2026-11-22 09:14:00+00"]'),
    ("tsrange", '["2026-11-22 09:10",)', '["2026-11-22 09:10:00",)'),
    ("bigint[]", (), "{}"),
    ("bigint[]", ("1", None, "-3"), "{1,NULL,-3}"),
    ("bigint[]", (("1", "2"), ("3", "4")), "{{1,2},{3,4}}"),
    ("numeric(6,2)[]", ("1.50",), "{1.50}"),
    ("text[]", ("NULL", "null", None, ""), '{"NULL","null",NULL,""}'),
    ("boolean[]", ("true", "false"), "{t,f}"),
    ("timestamptz[]", ("2026-11-22T09:10Z",), '{"2026-11-22 09:10:00+00"}'),
    ("jsonb[]", ('{"a": "q\\"x, {y}"}', None), '{"{\\"a\\": \\"q\\\\\\"x, {y}\\"}",NULL}'),
    ("bytea[]", ("\\x00ff",), '{"\\\\x00ff"}'),
    ("tstzrange[]", ("[2026-11-22T09:10Z,)",), '{"[\\"2026-11-22 09:10:00+00\\",)"}'),
    ("inet[]", ("10.0.0.1", "::1"), "{10.0.0.1,::1}"),
    ("text[]", (("a'b", '"'), ("\\", "{}")), '{{a\'b,"\\""},{"\\\\","{}"}}'),
)
MULTIRANGES = (
    ("int4multirange", "{[1,3), [5,7]}", "{[1,3),[5,8)}"),
    ("tstzmultirange", "{}", "{}"),
    ("nummultirange[]", ("{[1,2)}", None), '{"{[1,2)}",NULL}'),
)


@pytest.fixture
def session(database: str) -> Iterator[Session]:
    """Yield a session whose output does not hang on the machine."""
    with connect("here", database) as opened:
        opened.run("SET TIME ZONE 'UTC'")
        opened.run("SET extra_float_digits = 1")
        yield opened


@pytest.fixture(params=["on", "off"])
def either(session: Session, request: pytest.FixtureRequest) -> Session:
    """Return a session with ``standard_conforming_strings`` on, and one with it off."""
    session.run(f"SET standard_conforming_strings = {request.param}")
    session.run("SET escape_string_warning = off")
    return session


def shown(session: Session, text: str) -> tuple[str | None, ...]:
    """Return the single row of a query."""
    _, rows = session.texts(text)
    (row,) = rows
    return row


def test_a_literal_is_the_value_and_of_its_type(either: Session) -> None:
    """Every kind of value comes back as PostgreSQL prints it, its type being the one declared."""
    for kind, value, expected in VALUES:
        sql = literal(parse(kind), value)
        typed = shown(either, f"SELECT ({sql})::text, format_type(pg_typeof({sql}), NULL)")
        assert typed[0] == expected, sql
        base = kind.split("(")[0] + ("[]" if kind.endswith("[]") and "(" in kind else "")
        assert typed[1] == shown(either, f"SELECT format_type('{base}'::regtype, NULL)")[0], sql


def test_multiranges_come_back_too(session: Session) -> None:
    """Multiranges exist since PostgreSQL 14."""
    if session.identity.server_version < 140_000:
        pytest.skip("this server has no multiranges")
    for kind, value, expected in MULTIRANGES:
        assert shown(session, f"SELECT ({literal(parse(kind), value)})::text")[0] == expected


def test_nasty_text_is_data(either: Session) -> None:
    """Text with quotes, backslashes, control, bidirectional and combining characters arrives unchanged."""
    for text in NASTY:
        assert shown(either, f"SELECT {literal(parse('text'), text)}") == (text,)


def test_nasty_text_is_data_inside_arrays_and_json(either: Session) -> None:
    """The same text arrives unchanged as an array's item, where braces, commas and NULL have a meaning."""
    kind = parse("text[]")
    for text in NASTY:
        sql = literal(kind, (text, None, text))
        assert shown(either, f"SELECT ({sql})[1], ({sql})[2], cardinality({sql})::text") == (text, None, "3")


def test_a_literal_survives_a_string_continued_from_the_line_before(session: Session) -> None:
    """After ``E'...'`` and a line feed a literal is still read as it was written, or the server refuses it."""
    for text in NASTY:
        sql = literal(parse("text"), text)
        if sql.startswith("'"):
            assert shown(session, f"SELECT E'a\\'b'\n{sql}") == ("a'b" + text,)
        else:
            with pytest.raises(DatabaseError):
                shown(session, f"SELECT E'a\\'b'\n{sql}")


def test_an_enum_of_ones_own_is_cast_by_its_quoted_name(session: Session) -> None:
    """A schema-qualified type works as a scalar and in arrays, and the server refuses a label that it lacks."""
    session.run("CREATE SCHEMA pay")
    session.run("CREATE TYPE pay.status AS ENUM ('PENDING', 'O''K')")
    assert shown(session, "SELECT " + literal(parse("pay.status"), "O'K")) == ("O'K",)
    assert shown(session, "SELECT " + literal(parse("pay.status[]"), ("PENDING", "O'K", None))) == (
        "{PENDING,O'K,NULL}",
    )
    with pytest.raises(DatabaseError):
        shown(session, f"SELECT {literal(parse('pay.status'), 'PAID')}")


def test_an_identifier_is_one_name(session: Session) -> None:
    """Quotes, dots and blanks in a name stay in the name."""
    for name in ('we"ird; DROP', "a.b", "Ünïcode ' $$", "select"):
        session.run(f"CREATE TEMP TABLE {identifier(name)} (i int)")
        assert shown(session, f"SELECT count(*)::text FROM {identifier('pg_temp', name)}") == ("0",)


def test_what_is_refused_offline_would_not_have_been_this_value(session: Session) -> None:
    """The server would take each of these, but as something that hangs on clock or session, or is rounded."""
    for kind, value in (
        ("timestamptz", "now"),
        ("date", "tomorrow"),
        ("timestamptz", "2026-11-22 09:10"),
        ("timestamp", "2026-11-22 09:10Z"),
        ("numeric(4,2)", "1.005"),
        ("varchar(2)", "abc"),
        ("boolean", "yes"),
        ("interval", "-1 days 2:00"),
    ):
        assert shown(session, f"SELECT ('{value}'::{kind})::text")[0] is not None
        with pytest.raises(ValueError, match=r"\w"):
            literal(parse(kind), value)
