"""Whether a text is a value of its type, judged as strictly as can be without a server.

PostgreSQL takes more than this: ``now``, a time stamp without zone whose meaning hangs on the session, rounding, ``1``
for true. What depends on clock, session or taste is refused, so that a rendered literal means one thing everywhere.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
import struct
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any

from okto_change.plan import moments
from okto_change.plan.types import MULTIRANGES, OWN, RANGES, SqlType

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,999})")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,6})?")
_SPECIAL = frozenset({"NaN", "Infinity", "-Infinity"})
_BITS = {"smallint": 15, "integer": 31, "bigint": 63}
_HEX_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BYTEA = re.compile(r"\\x([0-9a-fA-F]{2})*")
_MAC = re.compile(r"[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}(\1[0-9a-fA-F]{2}){4}")
_BOUND = r"""([^"\\,()\[\]]*|\s*"[^"\\]*"\s*)"""
_RANGE = re.compile(rf"\s*([\[(]){_BOUND},{_BOUND}([\])])\s*")
_EMPTY = re.compile(r"\s*empty\s*", re.IGNORECASE)


def check(kind: SqlType, text: str) -> Any:
    """Return what orders values of this type, None if nothing known; raises ValueError saying what was expected."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("text without NUL characters")
    if kind.family in RANGES:
        return _range(SqlType(RANGES[kind.family], RANGES[kind.family]), text, kind.family)
    if kind.family in MULTIRANGES:
        return _multirange(SqlType(MULTIRANGES[kind.family], MULTIRANGES[kind.family]), text, kind.family)
    return _CHECKS[kind.family](kind, text)


def _text(kind: SqlType, text: str) -> None:
    if kind.limits and len(text) > kind.limits[0]:
        raise ValueError(f"text of at most {kind.limits[0]} characters (a cast to {kind.sql} would cut it off)")


def _integer(kind: SqlType, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{_an(kind.family)} without leading zeros")
    value, limit = int(text), 2 ** _BITS[kind.family]
    if not -limit <= value < limit:
        raise ValueError(f"{_an(kind.family)} in {-limit} to {limit - 1}")
    return value


def _numeric(kind: SqlType, text: str) -> tuple[bool, Decimal]:
    """Return whether it is NaN, which PostgreSQL puts above all numbers, and the number."""
    if text in _SPECIAL:
        if kind.limits and text != "NaN":
            raise ValueError(f"a finite number for {kind.sql}")
        return (True, Decimal(0)) if text == "NaN" else (False, Decimal(text))
    value = _decimal(kind, text)
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    if len(digits) + exponent > 131_072 or exponent < -16_383:
        raise ValueError("a number with at most 131072 digits before and 16383 after the decimal point")
    if kind.limits:
        _fits(kind, value)
    return False, value


def _decimal(kind: SqlType, text: str) -> Decimal:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"a number for {kind.sql}, like 42, -0.05 or 1e6")
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"a number for {kind.sql}") from error


def _fits(kind: SqlType, value: Decimal) -> None:
    precision, scale = kind.limits[0], (*kind.limits, 0)[1]
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    rounds = exponent < -scale and value != value.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
    if rounds or (value and value.adjusted() >= precision - scale):
        raise ValueError(f"a number that {kind.sql} holds without rounding")


def _float(kind: SqlType, text: str) -> float | None:
    if text in _SPECIAL:
        return None if text == "NaN" else float(text)
    exact = _decimal(kind, text)
    try:
        value = float(exact)
        value = struct.unpack("f", struct.pack("f", value))[0] if kind.family == "real" else value
    except OverflowError as error:
        raise ValueError(f"a number in the range of {kind.family}") from error
    if math.isinf(value) or (value == 0 and exact != 0):
        raise ValueError(f"a number in the range of {kind.family}")
    return value


def _boolean(kind: SqlType, text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("true or false")
    return text == "true"


def _uuid(kind: SqlType, text: str) -> str:
    return _match(_HEX_UUID, text, "a uuid like 7d1f2f9a-0c54-4e0e-9d5e-1b7b9c1d2e3f").lower()


def _bytea(kind: SqlType, text: str) -> str:
    return _match(_BYTEA, text, r"bytes in hexadecimal, like '\xdeadbeef'").lower()


def _mac(kind: SqlType, text: str) -> str:
    return _match(_MAC, text, "a MAC address like 08:00:2b:01:02:03")


def _json(kind: SqlType, text: str) -> None:
    try:
        json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse, parse_int=str, parse_float=str)
    except RecursionError as error:
        raise ValueError("JSON that is nested less deeply") from error
    except ValueError as error:
        raise ValueError(f"JSON ({error})") from error
    if kind.family == "jsonb" and re.search(r"\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})", re.sub(r"\\\\", "", text)):
        _surrogates(text)


def _surrogates(text: str) -> None:
    for item in re.findall(r'"(?:[^"\\]|\\.)*"', text):
        value = json.loads(item)
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(r"JSON without \u0000 and without half surrogate pairs, which jsonb cannot hold")


def _unique(pairs: list[tuple[str, Any]]) -> None:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _address(kind: SqlType, text: str) -> None:
    form = "an address like 10.0.0.7, 10.0.0.0/8 or fe80::1"
    if not re.fullmatch(r"[0-9a-fA-F:.]+(/(0|[1-9][0-9]{0,2}))?", text):
        raise ValueError(form)
    try:
        if kind.family == "cidr":
            ipaddress.ip_network(text)
        else:
            ipaddress.ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{form}; {error}") from error


def _own(kind: SqlType, text: str) -> None:
    """Only the server knows; nothing to judge here."""


def _moment(judge: Callable[[str], Any]) -> Callable[[SqlType, str], Any]:
    return lambda kind, text: judge(text)


def _range(element: SqlType, text: str, name: str) -> None:
    if _EMPTY.fullmatch(text):
        return
    match = _RANGE.fullmatch(text)
    if not match:
        raise ValueError(f"{_an(name)} like {_EXAMPLES[name]}")
    lower, upper = (check(element, _unquoted(bound)) if bound else None for bound in match.group(2, 3))
    if lower is not None and upper is not None and lower > upper:
        raise ValueError(f"{_an(name)} whose lower bound is not above its upper one")


def _unquoted(bound: str) -> str:
    bound = bound.strip()
    return bound[1:-1].strip() if bound.startswith('"') else bound


def _multirange(part: SqlType, text: str, name: str) -> None:
    body = text.strip()
    if not (body.startswith("{") and body.endswith("}")):
        raise ValueError(f"{_an(name)} like {{{_EXAMPLES[part.family]}}}")
    rest = body[1:-1].strip()
    while rest:
        match = _EMPTY.match(rest) or _RANGE.match(rest)
        after = rest[match.end() :] if match else ""
        if not match or (after and not after.startswith(",")) or after == ",":
            raise ValueError(f"{_an(name)} like {{{_EXAMPLES[part.family]}}}")
        check(part, match[0])
        rest = after[1:]


def _match(pattern: re.Pattern[str], text: str, what: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(what)
    return text


def _an(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


_EXACT = Context(prec=200_000, Emax=MAX_EMAX, Emin=MIN_EMIN)
_EXAMPLES = {
    "int4range": "[1,10)",
    "int8range": "[1,10)",
    "numrange": "[0.5,2)",
    "daterange": "[2026-11-22,2026-11-23)",
    "tsrange": "[2026-11-22 09:10,2026-11-22 09:14)",
    "tstzrange": "[2026-11-22T09:10Z,2026-11-22T09:14Z]",
}
_CHECKS: dict[str, Callable[[SqlType, str], Any]] = {
    "text": _text,
    "varchar": _text,
    "smallint": _integer,
    "integer": _integer,
    "bigint": _integer,
    "numeric": _numeric,
    "real": _float,
    "double precision": _float,
    "boolean": _boolean,
    "uuid": _uuid,
    "json": _json,
    "jsonb": _json,
    "bytea": _bytea,
    "inet": _address,
    "cidr": _address,
    "macaddr": _mac,
    OWN: _own,
    "date": _moment(moments.check_date),
    "time": _moment(moments.check_time),
    "timestamp": _moment(moments.check_timestamp),
    "timestamptz": _moment(moments.check_timestamptz),
    "interval": _moment(moments.check_interval),
}
