"""The grammar of names in a change repository: changes, environments, targets, parameters, files, tables."""

from __future__ import annotations

import re

from okto_change.plaintext import visible

CHANGE_ID = r"[a-z0-9][a-z0-9-]{2,79}"
ENVIRONMENT = r"[a-z][a-z0-9-]{0,31}"
TARGET = r"[a-z][a-z0-9_-]{0,62}"
PERSON = r"[a-z][a-z0-9._-]{0,62}"
PARAMETER = r"[a-z][a-z0-9_]{0,62}"
INCIDENT = r"[A-Za-z0-9][A-Za-z0-9._#/-]{0,63}"

MOST_PATH = 200
MOST_IDENTIFIER = 63
"""bytes; PostgreSQL cuts longer identifiers off silently"""

RESERVED = frozenset({"batch", "environment", "per_environment", "loop", "self"})
"""words that no parameter may take: the template's own, and a key of ``parameters``"""

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_CONFIG_PART = re.compile(r"[A-Za-z0-9._-]+")
_TABLE_PART = r'(?:[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|"[^".]+")'
_TABLE = rf"{_TABLE_PART}(?:\.{_TABLE_PART})?"
"""compiled when first asked for: that takes longer than reading a lock"""


def valid_change_id(text: str) -> bool:
    """Whether ``text`` can be a change's id, which is its folder's name."""
    return re.fullmatch(CHANGE_ID, text) is not None


def valid_path(path: str) -> bool:
    """Whether ``path`` may name a source file inside a change folder: relative, plain ASCII, no hidden parts."""
    return len(path) <= MOST_PATH and _PATH.fullmatch(path) is not None


def valid_config_path(path: str) -> bool:
    """Whether ``path`` may name a file under a target's root: relative, without ``.`` and ``..`` parts."""
    parts = path.split("/")
    return len(path) <= MOST_PATH and all(_CONFIG_PART.fullmatch(part) and part.strip(".") for part in parts)


def column(text: str) -> str | None:
    """Return a column's name, folded to lower case unless quoted; None if it is no name."""
    name = table(text) if re.fullmatch(_TABLE_PART, text) else None
    return name if name and len(name.encode("utf-8")) <= MOST_IDENTIFIER else None


def table(text: str) -> str | None:
    """Return a table's name, schema first if written, folded to lower case unless quoted; None if it is no name."""
    if not re.fullmatch(_TABLE, text) or not all(map(visible, text)):
        return None
    parts = re.findall(_TABLE_PART, text)
    return ".".join(part[1:-1] if part.startswith('"') else part.lower() for part in parts)
