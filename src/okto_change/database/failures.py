"""The one door where psycopg's errors become ours, with the cause kept, the state said and a hint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from okto_change.errors import ConnectionFailed, ConnectionLost, DatabaseError

HINTS = {
    "28P01": "check the password in the service file, ~/.pgpass or the variable that holds the DSN",
    "28000": "check user name and pg_hba.conf",
    "3D000": "check the database name of the target in the policy",
    "42501": "run `okto-change doctor` to see which privileges are missing",
    "55P03": "another session holds a lock on the table; see pg_locks, then run the command again",
    "57014": "the statement took longer than the step's `timeouts: {statement: ...}`",
    "40001": "another session changed the same rows; run the command again",
    "40P01": "two sessions waited for each other; run the command again",
}


def translate(error: psycopg.Error, target: str) -> DatabaseError:
    """Return our error for a driver error; the message never holds the connection string."""
    message = (error.diag.message_primary or str(error).strip() or type(error).__name__).strip()
    detail = error.diag.message_detail
    if isinstance(error, psycopg.OperationalError) and error.sqlstate in (None, "57P01", "57P02", "57P03", "08006", "08003"):
        return ConnectionLost(
            f"connection to {target} lost: {message}",
            sqlstate=error.sqlstate,
            where=target,
            state="unknown until the server is asked; an open transaction is rolled back by the server",
            hint="run `okto-change status` when the server is back",
        )
    text = f"{message} ({detail})" if detail else message
    return DatabaseError(text, sqlstate=error.sqlstate, where=target, hint=HINTS.get(error.sqlstate or ""))


@contextmanager
def connecting(target: str) -> Iterator[None]:
    """Translate a failure to connect into ConnectionFailed."""
    try:
        yield
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = lines[-1].strip()
        raise ConnectionFailed(
            f"cannot connect to {target}: {message}",
            sqlstate=error.sqlstate,
            where=target,
            hint=_connect_hint(message),
        ) from error


def _connect_hint(message: str) -> str:
    if "password" in message:
        return HINTS["28P01"]
    if "refused" in message or "No such file" in message or "could not translate" in message:
        return "is the server up, and are host and port right? nothing was sent to it"
    if "definition of service" in message:
        return "add the service to ~/.pg_service.conf or the file named by PGSERVICEFILE"
    return "check the target's entry in the policy and the variable or service it names"
