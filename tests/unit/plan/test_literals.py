"""Values become literals of their type, or are refused; ``tests/integration/test_literals.py`` asks a server."""

from __future__ import annotations

from typing import Any

import pytest

from okto_change.plan.literals import identifier, literal, quote
from okto_change.plan.types import parse


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("text", "O'Brien; DROP TABLE x --", "'O''Brien; DROP TABLE x --'::text"),
        ("text", "", "''::text"),
        ("text", "a\\b", r"E'a\\b'::text"),
        ("text", "\\'", r"E'\\'''::text"),
        ("text", "a\nb\t\r\x1b", r"E'a\nb\t\r\x1b'::text"),
        ("text", "é日本😀", "'é日本😀'::text"),
        ("text", "e\u0301x", r"E'e\u0301x'::text"),
        ("text", "a\u202eb\u00a0\u3164", r"E'a\u202eb\u00a0\u3164'::text"),
        ("text", "\U000e0041", r"E'\U000e0041'::text"),
        ("text", None, "NULL::text"),
        ("INT", "-5", "'-5'::integer"),
        ("bigint", "9223372036854775807", "'9223372036854775807'::bigint"),
        ("numeric", "NaN", "'NaN'::numeric"),
        ("numeric ( 10 , 2 )", "1.50", "'1.50'::numeric(10,2)"),
        ("decimal(4)", "9999", "'9999'::numeric(4)"),
        ("double  precision", "1e-5", "'1e-5'::double precision"),
        ("timestamp with time zone", "-infinity", "'-infinity'::timestamptz"),
        ("bytea", "\\xdead", r"E'\\xdead'::bytea"),
        ("jsonb", '{"a": "O\'B"}', "'{\"a\": \"O''B\"}'::jsonb"),
        ("payments.status", "PENDING", '\'PENDING\'::"payments"."status"'),
        ('"Pay"."Status"[]', ("a b",), 'ARRAY[\'a b\']::"Pay"."Status"[]'),
        ("bigint[]", (), "'{}'::bigint[]"),
        ("bigint[]", None, "NULL::bigint[]"),
        ("bigint[]", ("1", None, "-3"), "'{1,NULL,-3}'::bigint[]"),
        ("bigint[]", (("1", "2"), ("3", "4")), "'{{1,2},{3,4}}'::bigint[]"),
        ("text[]", ("a", "null"), "ARRAY['a', 'null']::text[]"),
        ("text[]", ('q"x', "O'B", "", None, "\\"), "ARRAY['q\"x', 'O''B', '', NULL, E'\\\\']::text[]"),
        ("text[]", (("a,b",), (None,)), "ARRAY[ARRAY['a,b'], ARRAY[NULL]]::text[]"),
        ("tstzrange[]", ("[2026-01-01 00:00Z,)",), "ARRAY['[2026-01-01 00:00Z,)']::tstzrange[]"),
    ],
)
def test_a_value_becomes_a_literal(kind: str, value: Any, expected: str) -> None:
    """Always quoted, always cast, in one line, with what cannot be seen written as an escape."""
    assert literal(parse(kind), value) == expected
    assert "\n" not in expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", "a\x00b"),
        ("text", "\ud800"),
        ("text", ("a",)),
        ("varchar(3)", "abcd"),
        ("smallint", "32768"),
        ("integer", "-2147483649"),
        ("bigint", "9" * 5000),
        ("bigint", "010"),
        ("bigint", "1.0"),
        ("bigint", "1_000"),
        ("bigint", " 1"),
        ("bigint", "٣"),
        ("bigint", "1; DROP TABLE x"),
        ("bigint", ""),
        ("numeric", "1e131073"),
        ("numeric", "1e-16384"),
        ("numeric", "1e9999999"),
        ("numeric", "nan"),
        ("numeric", "1,5"),
        ("numeric(10,2)", "1.005"),
        ("numeric(10,2)", "123456789"),
        ("numeric(10,2)", "Infinity"),
        ("real", "1e39"),
        ("float8", "1e400"),
        ("float8", "1e-400"),
        ("boolean", "yes"),
        ("boolean", "1"),
        ("boolean", "True"),
        ("date", "2026-02-30"),
        ("date", "20260101"),
        ("date", "today"),
        ("date", "0000-01-01"),
        ("time", "24:00"),
        ("timestamp", "2026-11-22 09:10Z"),
        ("timestamp", "now"),
        ("timestamptz", "2026-11-22 09:10"),
        ("timestamptz", "2026-11-22 09:10 America/Sao_Paulo"),
        ("timestamptz", "2026-11-22 09:10:00.1234567Z"),
        ("timestamptz", "2026-11-22 09:10+16"),
        ("interval", "1 day ago"),
        ("interval", "-1 days 02:00"),
        ("interval", "12:60"),
        ("interval", "P"),
        ("interval", "tomorrow"),
        ("uuid", "7d1f2f9a0c544e0e9d5e1b7b9c1d2e3f"),
        ("json", "{'a': 1}"),
        ("json", '{"a": 1, "a": 2}'),
        ("json", "[NaN]"),
        ("json", "[" * 100_000),
        ("jsonb", '"\\u0000"'),
        ("jsonb", '"\\ud83d x"'),
        ("bytea", "\\xabc"),
        ("bytea", "deadbeef"),
        ("inet", "10.0.0.256"),
        ("inet", "fe80::1%eth0"),
        ("inet", "10.0.0.1/255.0.0.0"),
        ("cidr", "10.0.0.1/24"),
        ("macaddr", "08:00-2b:01:02:03"),
        ("int4range", "[5,1]"),
        ("int4range", "[1,2"),
        ("int4range", "[1, ]"),
        ("int4range", "[a,b]"),
        ("int4range", "[" + '""' * 5000),
        ("numrange", "[NaN,1]"),
        ("tstzrange", "[2026-11-22 09:14Z,2026-11-22 09:10Z]"),
        ("tstzrange", "[2026-11-22 09:10,)"),
        ("int4multirange", "{[1,2),}"),
        ("int4multirange", "[1,2)"),
        ("bigint[]", ("1", "x")),
        ("bigint[]", (("1",), ("2", "3"))),
        ("bigint[]", (("1",), "2")),
        ("bigint[]", ((),)),
        ("bigint[]", ((((((("1",),),),),),),)),
        ("bigint[]", ("1",) * 100_001),
        ("bigint[]", "1"),
    ],
)
def test_what_is_no_value_of_its_type_is_refused(kind: str, value: Any) -> None:
    """Also what the server would take, but would round, cut off, or read by its clock or its session's settings."""
    with pytest.raises(ValueError, match=r"\w"):
        literal(parse(kind), value)


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("bigin", "did you mean 'bigint'?"),
        ("status", "schema.name for one of your own"),
        ("text; DROP TABLE x", "a type like"),
        ("pg_catalog.regclass", "outside the system schemas"),
        ("numeric(2,3)", "modifiers"),
        ("numeric(0)", "modifiers"),
        ("varchar(3,4)", "modifiers"),
        ("bigint(3)", "a type like"),
        ("bigint[][]", "a type like"),
        ('"a"b"."c"', "a type like"),
        ("", "a type like"),
    ],
)
def test_a_type_off_the_list_is_refused(kind: str, hint: str) -> None:
    """The message leads to the right name."""
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse(kind)
    assert hint in str(caught.value)


def test_no_plain_quotes_hold_a_backslash() -> None:
    """Thus ``standard_conforming_strings`` changes no literal's meaning."""
    for code in range(1, 0x3000):
        text = quote(f"a{chr(code)}b'")
        assert text.startswith("E'") == ("\\" in text)
        assert "\n" not in text


def test_an_identifier_is_quoted_or_refused() -> None:
    """Quotes are doubled; empty, invisible and too long names are refused, because the server would cut them off."""
    assert identifier('we"ird') == '"we""ird"'
    assert identifier("public", "a.b") == '"public"."a.b"'
    for name in ("", "a\nb", "a\u200b", "é" * 32):
        with pytest.raises(ValueError, match="a name"):
            identifier(name)
