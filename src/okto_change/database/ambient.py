"""Variables of the environment that would shape a session, kept from libpq while it connects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

AMBIENT = ("PGOPTIONS", "PGTZ", "PGDATESTYLE", "PGGEQO")
"""Variables from which libpq would take settings: whoever runs it would decide what names and dates in approved SQL mean."""

_LOCK = Lock()
_taken: dict[str, str] = {}
_connecting = 0


@contextmanager
def without_ambient() -> Iterator[None]:
    """Take those variables away; while several threads connect, they come back with the last of them."""
    global _connecting
    with _LOCK:
        _connecting += 1
        _taken.update({name: os.environ.pop(name) for name in AMBIENT if name in os.environ})
    try:
        yield
    finally:
        with _LOCK:
            _connecting -= 1
            if not _connecting:
                os.environ.update(_taken)
                _taken.clear()
