"""The PostgreSQL types that a parameter may have: an allow-list, arrays of them, and types of one's own by schema."""

from __future__ import annotations

import re
from dataclasses import dataclass

from okto_change.strictyaml import suggestion

SCALARS = (
    "text",
    "varchar",
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "real",
    "double precision",
    "boolean",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "bytea",
    "inet",
    "cidr",
    "macaddr",
)
RANGES = {
    "int4range": "integer",
    "int8range": "bigint",
    "numrange": "numeric",
    "daterange": "date",
    "tsrange": "timestamp",
    "tstzrange": "timestamptz",
}
MULTIRANGES = {name.replace("range", "multirange"): name for name in RANGES}
ALIASES = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "decimal": "numeric",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "character varying": "varchar",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
}
KNOWN = (*SCALARS, *RANGES, *MULTIRANGES, *ALIASES)

OWN = "own"
"""the family of types that only the server knows: enums, domains, types of extensions"""

_PART = r'(?:[a-z_][a-z0-9_]{0,62}|"[^"\x00-\x1f]{1,63}")'
_OWN = re.compile(rf"({_PART})\.({_PART})")
_MODIFIED = re.compile(r"(varchar|numeric)\((\d{1,8})(?:,(\d{1,4}))?\)")


@dataclass(frozen=True, slots=True)
class SqlType:
    """A parameter's type. ``family`` selects how values are judged, ``sql`` is how a cast names it, without ``[]``.

    ``limits`` are the modifiers of ``varchar(n)`` (characters) or ``numeric(precision, scale)`` (digits).
    """

    family: str
    sql: str
    array: bool = False
    limits: tuple[int, ...] = ()

    @property
    def cast(self) -> str:
        """What stands after ``::``."""
        return self.sql + ("[]" if self.array else "")

    @property
    def element(self) -> SqlType:
        """The type of an array's items; the type itself if it is no array."""
        return SqlType(self.family, self.sql, limits=self.limits)


TEXT = SqlType("text", "text")
BIGINT = SqlType("bigint", "bigint")


def parse(text: str) -> SqlType:
    """Return the type that ``text`` names; raises ValueError saying what was expected."""
    name = re.sub(r"\s+", " ", text.strip())
    array = name.endswith("[]")
    name = name.removesuffix("[]").rstrip()
    plain = re.sub(r"\s*([(),])\s*", r"\1", name.lower())
    plain = plain if plain in KNOWN else _without_alias(plain)
    if plain in KNOWN:
        family = ALIASES.get(plain, plain)
        return SqlType(family, family, array)
    return _modified(plain, array) or _own(name, array)


def _without_alias(name: str) -> str:
    head, bracket, rest = name.partition("(")
    return ALIASES.get(head, head) + bracket + rest


def _modified(name: str, array: bool) -> SqlType | None:
    match = _MODIFIED.fullmatch(name)
    if not match:
        return None
    limits = tuple(int(part) for part in match.groups()[1:] if part is not None)
    most = 10_485_760 if match[1] == "varchar" else 1000
    too_many = match[1] == "varchar" and len(limits) > 1
    if too_many or not 1 <= limits[0] <= most or max(limits[1:], default=0) > limits[0]:
        raise ValueError(f"modifiers that {match[1]} can have")
    return SqlType(match[1], name, array, limits)


def _own(name: str, array: bool) -> SqlType:
    match = _OWN.fullmatch(name)
    if not match:
        near = suggestion(name.lower(), KNOWN)
        raise ValueError(f"a type like bigint, text[], tstzrange, or schema.name for one of your own{near}")
    schema, local = (part.strip('"') for part in match.groups())
    if schema.startswith("pg_") or schema == "information_schema":
        raise ValueError("a type by its plain name, or one outside the system schemas")
    return SqlType(OWN, f'"{schema}"."{local}"', array)
