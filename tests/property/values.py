"""Values for random rows: types with literals that are hard to keep, and a way to say where a type begins to exist."""

from __future__ import annotations

from hypothesis import strategies as st

TYPES: dict[str, tuple[str, ...]] = {
    "int": ("0", "1", "2", "-1", "2147483647"),
    "bigint": ("0", "-9223372036854775808", "7"),
    "smallint": ("0", "-32768"),
    "bool": ("t", "f"),
    "text": ("", " ", "a,b", 'q"q', "back\\slash", "(x)", "line\nbreak\ttab", "NULL", "é漢🙂", "{}", '""', "x" * 3000),
    "varchar(6)": ("", "ab  ", "b"),
    "char(4)": ("", "a", "ab  ", "abcd"),
    '"char"': ("", "x", "\\"),
    "name": ("n", ""),
    "numeric": ("0", "0.00", "1.50", "1.5", "-0", "NaN", "1e30", "123456789012345678901234567890.123"),
    "numeric(6,2)": ("0", "1.5", "NaN", "-1.005"),
    "float8": ("0", "-0", "NaN", "Infinity", "-Infinity", "0.1", "1e-300", "0.30000000000000004"),
    "float4": ("0", "-0", "1e-40", "0.1", "NaN"),
    "bytea": ("", "\\x00ff", "\\xdeadbeef27"),
    "json": ("null", '{"a":1, "a" : 2}', "[]", '"t"', ' {"x" :1.10} '),
    "jsonb": ("null", '{"k": 1.10}', "[1, null]", '"t"', "{}"),
    "int[]": ("{}", "{1,NULL}", "[0:1]={1,2}", "{{1,2},{3,4}}"),
    "text[]": ("{}", '{"a,b","q\\"\\\\",NULL,"NULL",""}', "{x}"),
    "timestamptz": (
        "infinity",
        "-infinity",
        "0044-03-15 12:00:00+00 BC",
        "294276-12-31 00:00+00",
        "2020-02-29 23:59:59.999999+05:30",
    ),
    "timestamp": ("infinity", "4713-01-02 BC", "2020-01-01 00:00:00.000001"),
    "date": ("infinity", "4713-01-01 BC", "2020-02-29", "5874897-12-31"),
    "time": ("24:00", "00:00:00.000001"),
    "timetz": ("12:00+05:30", "24:00-15:59"),
    "interval": ("0", "1 mon -2 days 03:04:05.006", "-1 year", "1 day", "24:00:00"),
    "uuid": ("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"),
    "inet": ("10.0.0.1/8", "::1", "10.0.0.1"),
    "cidr": ("10.0.0.0/8",),
    "bit(3)": ("101", "000"),
    "varbit": ("", "1", "0101"),
    "money": ("-12.34", "0"),
    "point": ("(1.1,-0)", "(0,0)"),
    "box": ("((0,0),(1,1))",),
    "int4range": ("empty", "[1,5)", "(,3]", "(,)"),
    "tstzrange": ("empty", "[2020-01-01 00:00+00,infinity)", "(,)"),
    "tsvector": ("", "a:1 b:2A", "'it''s':3"),
    "regclass": ("pg_class", "0", "99999999"),
    "pg_lsn": ("16/B374D848",),
    "mood": ("sad", "ok", "so, so"),
    "pair": ("(1,a)", "(,)", '(2,"a ""b"" \\\\ ,(c)")', "(,NULL)"),
    "pair[]": ("{}", '{"(1,a)",NULL,"(,)"}'),
    "posint": ("1", "77"),
    "trimmed": ("x", 'longer, "q"'),
    "posint[]": ("{1,2}", "{}"),
    "floatrange": ("[-0,1.5]", "empty"),
}
"""type as written in a table -> literals, all of which the type reads"""

SINCE: dict[str, tuple[int, tuple[str, ...]]] = {
    "int4multirange": (14, ("{}", "{[1,2),[5,9)}")),
}
"""types that older majors lack"""

TYPE_DDL = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'so, so')",
    "CREATE TYPE pair AS (x int, y text)",
    "CREATE DOMAIN posint AS int CHECK (VALUE > 0)",
    "CREATE DOMAIN trimmed AS text CHECK (VALUE = btrim(VALUE))",
    "CREATE TYPE floatrange AS RANGE (subtype = float8, subtype_diff = float8mi)",
)
SMALL = st.integers(0, 9)


def quoted(text: str) -> str:
    """Return ``text`` as an SQL string literal, whatever ``standard_conforming_strings`` says."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'" if "\\" not in text else "E'" + doubled.replace("\\", "\\\\") + "'"


def literals(kind: str) -> tuple[str, ...]:
    """Return the literals of a type, each cast to it, and NULL."""
    texts = TYPES.get(kind) or SINCE[kind][1]
    return (*(f"{quoted(text)}::{kind}" for text in texts), "NULL")


def kinds(major: int) -> st.SearchStrategy[str]:
    """Choose a type that the server knows."""
    return st.sampled_from([*TYPES, *(kind for kind, (since, _) in SINCE.items() if major >= since)])


def value(kind: str) -> st.SearchStrategy[str]:
    """Choose an expression for a value of a type."""
    return st.sampled_from(literals(kind))
