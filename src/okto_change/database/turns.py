"""Whose turn it is: while one command works on a change in an environment, every other one is told who does."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC

from okto_change.database.session import Session
from okto_change.errors import Refused

WAIT = 2.0
"""seconds; the server needs a moment to notice that a killed process is gone"""


def take(session: Session, change: str, environment: str) -> None:
    """Hold the turn for ``change`` until ``session`` is closed or broken; wait two seconds for it.

    To be asked of the journal's database, on a session that lives as long as the command. It keeps two terminals from
    settling, resuming or undoing the same run, between its transactions too. Raises Refused naming who holds it.
    """
    key = _key(change, environment)
    session.query("turn_keepalive")
    deadline = time.monotonic() + WAIT
    while not session.query("turn_take", key=key)[0][0]:
        if time.monotonic() >= deadline:
            raise _taken(session, change, environment)
        time.sleep(0.1)


def holder(session: Session, change: str, environment: str) -> tuple[int, str] | None:
    """Return the server process that holds the turn and what is known about it, None if nobody does."""
    key = _key(change, environment) % 2**64
    rows = session.query("turn_holder", high=key >> 32, low=key % 2**32)
    if not rows:
        return None
    pid, user, address, since = rows[0]
    facts = [f"process {pid}", f"user {user}" if user else "", f"from {address}" if address else ""]
    facts.append(f"since {since.astimezone(UTC):%H:%M:%S} UTC" if since else "")
    return pid, ", ".join(filter(None, facts))


def _taken(session: Session, change: str, environment: str) -> Refused:
    found = holder(session, change, environment)
    if found is None:
        return Refused(f"another command has just worked on {change} in {environment}", hint="run the command again")
    pid, facts = found
    return Refused(
        f"another command works on {change} in {environment} right now ({facts})",
        where=session.target,
        hint=f"wait until it has ended; if its machine is gone for good, end it: SELECT pg_terminate_backend({pid})",
    )


def _key(change: str, environment: str) -> int:
    """Return the advisory lock's key, a signed 64-bit number."""
    digest = hashlib.sha256(f"okto-change turn\0{environment}\0{change}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
