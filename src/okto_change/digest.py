"""Canonical bytes and their sha256: one rule for locks, decisions, facts and journal entries.

Canonical JSON is ``json.dumps(indent=2, sort_keys=True, ensure_ascii=True)`` and a final newline; only objects, arrays,
strings, booleans, null and integers below 2**53. A reader parses strictly, re-serialises and demands equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

LIMIT = 2**53


def sha256(content: bytes) -> str:
    """Return ``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def canonical(value: Any) -> bytes:
    """Return the canonical JSON of ``value``; raise ValueError for floats, huge integers, lone surrogates, non-string keys."""
    _demand(value)
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode("ascii")


def parse(content: bytes) -> Any:
    """Return the value of canonical JSON; raise ValueError unless ``content`` is exactly its canonical form."""
    value = json.loads(content.decode("ascii"), object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse)
    if canonical(value) != content:
        raise ValueError("not canonical JSON: re-serialising gives other bytes")
    return value


def _demand(value: Any) -> None:
    match value:
        case None | bool():
            return
        case int():
            if abs(value) >= LIMIT:
                raise ValueError(f"integer out of range: {value}")
        case str():
            value.encode("utf-8")
        case list() | tuple():
            for item in value:
                _demand(item)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"object key is no string: {key!r}")
                _demand(key)
                _demand(item)
        case _:
            raise ValueError(f"{type(value).__name__} has no canonical form")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("duplicate key in JSON object")
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} has no canonical form")
