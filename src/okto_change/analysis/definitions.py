"""DDL, by its words: is its inverse found by itself, are things put aside instead of dropped, or is there no way back?"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from okto_change.analysis import anatomy
from okto_change.analysis.lexer import Token, significant
from okto_change.analysis.subject import Reading

_MODIFIERS = {
    "OR",
    "REPLACE",
    "UNIQUE",
    "RECURSIVE",
    "UNLOGGED",
    "GLOBAL",
    "LOCAL",
    "CONSTRAINT",
    "MATERIALIZED",
    "FOREIGN",
    "TEMP",
    "TEMPORARY",
}
_INVERTIBLE = {
    "TABLE",
    "INDEX",
    "VIEW",
    "SEQUENCE",
    "FUNCTION",
    "PROCEDURE",
    "ROUTINE",
    "TRIGGER",
    "POLICY",
    "RULE",
    "TYPE",
    "DOMAIN",
    "SCHEMA",
    "STATISTICS",
}
_WHOLE = {"COMMENT", "REINDEX", "CLUSTER", "REFRESH", "IMPORT", "REASSIGN", "SELECT", "WITH", "VALUES", "TABLE"}
"""Commands of which every form has an inverse, or changes no definition"""
_NO_COLUMN = {"CONSTRAINT", "NOT", "DEFAULT", "IDENTITY", "EXPRESSION"}


class Drop(StrEnum):
    """What a statement drops that holds rows, and what is done instead so that it can come back."""

    TABLE = "moved to the schema okto_trash, not dropped; what hangs on it and is no part of it is dropped"
    COLUMN = "renamed to okto_gone_..., without default, NOT NULL, indexes and constraints, not dropped; SELECT * still shows it"
    SCHEMA = "renamed to okto_trash_... and closed to everybody, not dropped; what hangs on it and is no part of it is dropped"


def instead(reading: Reading) -> Drop | None:
    """Return what is done instead of dropping what holds rows; None where the statement runs as it is."""
    words = reading.words
    if words[:2] == ("DROP", "TABLE") or words[:3] == ("DROP", "FOREIGN", "TABLE"):
        return Drop.TABLE
    if words[:2] == ("DROP", "SCHEMA"):
        return Drop.SCHEMA
    actions = _actions(reading)
    return Drop.COLUMN if actions and all(map(_drops_column, actions)) else None


def obstacle(reading: Reading) -> str | None:
    """Say why ``undo: auto`` cannot take this DDL back; None if it can, or is thought to: the rehearsal has the last word."""
    words = reading.words
    first = words[0] if words else ""
    if first in ("GRANT", "REVOKE"):
        return None if "ON" in reading.clauses else "who is a member of a role is kept for all databases of the server"
    if first in ("CREATE", "ALTER", "DROP"):
        return _of_object(reading, first)
    return None if first in _WHOLE else f"{first or 'this statement'} has no inverse"


def _of_object(reading: Reading, first: str) -> str | None:
    words = reading.words
    what = next((word for word in words[1:] if word not in _MODIFIERS), "")
    if words[:2] == ("ALTER", "DEFAULT") or (words[:2] == ("ALTER", "PUBLICATION") and "TABLE" in reading.clauses):
        return None
    if what == "EXTENSION" and first == "CREATE":
        return None
    if what not in _INVERTIBLE or "WRAPPER" in words[:4]:
        return f"{first} {what} has no inverse here"
    if words[:2] == ("ALTER", "TYPE") and {"ADD", "VALUE"} <= reading.clauses:
        return "PostgreSQL cannot take a value out of an enum"
    if words[:2] == ("ALTER", "TABLE") and {"DROP", "EXPRESSION"} <= reading.clauses:
        return "a column cannot be made a generated one again"
    actions = _actions(reading)
    if any(map(_drops_column, actions)) and not all(map(_drops_column, actions)):
        return "DROP COLUMN keeps the values only as a statement of its own"
    return None


def _actions(reading: Reading) -> list[tuple[Token, ...]]:
    """The comma-separated actions of ALTER TABLE, the first one with the table's name in front."""
    if reading.words[:2] != ("ALTER", "TABLE") and reading.words[:3] != ("ALTER", "FOREIGN", "TABLE"):
        return []
    return [tuple(action) for action in anatomy.pieces(significant(reading.statement.text))]


def _drops_column(action: Sequence[Token]) -> bool:
    """``DROP [COLUMN]`` as the action's verb; not ``ALTER COLUMN x DROP DEFAULT``, not ``DROP CONSTRAINT``."""
    words = [token.keyword for token in action]
    if "DROP" not in words:
        return False
    place = words.index("DROP")
    after = next((word for word in words[place + 1 :] if word not in ("COLUMN", "IF", "EXISTS")), "")
    verbs = [word for word in words[2:place] if word in ("ALTER", "ADD", "SET", "RENAME")]
    return after not in _NO_COLUMN and not verbs
