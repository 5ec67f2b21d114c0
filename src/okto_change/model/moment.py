"""Moments as they stand in files: UTC, to the second or the microsecond, in one spelling only.

``strptime`` takes other spellings too, and its import and first pattern cost a command as much as reading a policy.
"""

from __future__ import annotations

import re
from datetime import datetime

SECONDS = "%Y-%m-%dT%H:%M:%SZ"
MICROSECONDS = "%Y-%m-%dT%H:%M:%S.%fZ"
_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{6})?Z")


def moment(text: str, *, fine: bool = False) -> datetime:
    """Return the moment that ``text`` names, such as ``2026-11-22T17:00:00Z``; ``fine``: with its six digits of a second.

    Raises ValueError for any other spelling.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or bool(match[1]) is not fine:
        raise ValueError(f"no moment: {text[:40]!r}")
    return datetime.fromisoformat(text)
