"""The one door where psycopg's errors become ours, with the cause kept, the state said and a hint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.conninfo import conninfo_to_dict

from okto_change.database.veil import NOTHING, Veil
from okto_change.errors import ConnectionFailed, ConnectionLost, DatabaseError
from okto_change.masking import HIDDEN

HINTS = {
    "28P01": "check the password in the service file, ~/.pgpass or the variable that holds the DSN",
    "28000": "check the user name and, on the server, pg_hba.conf",
    "3D000": "check the database name in the service file or the DSN of this target",
    "42501": "`okto-change doctor --env E` tells which privileges are missing",
    "53300": "the server has no connection left; try again, or use a role with reserved connections",
    "57P03": "the server is starting or shutting down; try again",
    "55P03": "another session holds a lock on the table; see pg_locks, then run the command again",
    "57014": "the statement took longer than the step's `timeouts: {statement: ...}`",
    "40001": "another session changed the same rows; run the command again",
    "40P01": "two sessions waited for each other; run the command again",
    "25006": "the session is read only: is this a standby, or default_transaction_read_only set?",
    "42P01": "check the name, its schema and the search_path of the role",
}
BROKEN = frozenset({None, "57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "08000", "08003", "08006", "08P01"})
WHOLE_ROW = frozenset({"23502", "23514", "44000"})
"""Their detail prints the whole row, which may hold card data."""

ABOUT_OBJECTS = frozenset({"2B", "40", "42", "53", "55"})
"""SQLSTATE classes whose details name objects and processes, not rows."""
LANGUAGES = frozenset({"pl_exec.c", "plpy_elog.c", "plpy_plpymodule.c", "plperl.c", "pltcl.c"})
"""Source files of the server from which functions raise errors of their own."""
KEY = re.compile(r"(Key \(.*?\))=\(", re.DOTALL)
PLACE = re.compile(r"(?:PL/\w+ )?(function [\w.\"]+\([^)\n]*\) line \d+) at ")
NOT_TOLD = "its text is not shown, because this target has sensitive columns"

_SERVICE = "look at ~/.pg_service.conf or the file named by PGSERVICEFILE"
_HOST = "check the host; a DSN in URI form needs %40 for @ in a password"
_UP = "is the server up, and are host and port right?"

CLIENT_SIDE = (
    ("password supplied", "no password was supplied", HINTS["28P01"]),
    ("definition of service", "its service is not defined", _SERVICE),
    ("service file", "the service file cannot be used", _SERVICE),
    ("could not translate host name", "its host name cannot be resolved", _HOST),
    ("failed to resolve host", "its host name cannot be resolved", _HOST),
    ("timeout expired", "the server did not answer in time", _UP),
    ("timed out", "the server did not answer in time", _UP),
    ("refused", "the server does not answer (connection refused)", _UP),
    ("No such file", "the server does not answer (no socket)", _UP),
    ("closed the connection", "the server closed the connection", "is this a PostgreSQL port, with SSL as asked for?"),
    ("SSL", "SSL could not be agreed on", "check sslmode and the certificates in the service file or DSN"),
    ("port", "its port number is not valid", "check the port; a DSN in URI form needs %40 for @ in a password"),
)
"""What libpq says without asking the server, which may quote the connection string: said in our words instead."""


def translate(error: psycopg.Error, target: str, text: str | None = None, veil: Veil = NOTHING) -> DatabaseError:
    """Return our error for a driver error; ``text`` is the statement of the author's, to name the line of a mistake.

    What sensitive columns hold, as ``veil`` knows them, is in no message.
    """
    code = error.sqlstate
    message = _message(error, veil)
    error.args = (message,)  # whoever prints the cause of ours prints no row of its detail
    if code in BROKEN and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ConnectionLost(
            f"connection to {target} lost: {message}",
            sqlstate=code,
            where=target,
            state="an open transaction is rolled back by the server; whether a COMMIT arrived must be found out",
            hint="run `okto-change status` when the server is back",
        )
    detail = _detail(error, veil)
    message = f"{message}{_line(error, text)}" + (f" ({detail})" if detail else "")
    told = None if veil.asked and _raised(error) else error.diag.message_hint
    return DatabaseError(message, sqlstate=code, where=target, hint=HINTS.get(code or "") or told)


@contextmanager
def connecting(target: str) -> Iterator[None]:
    """Translate a failure to connect into ConnectionFailed; what libpq quotes of the conninfo is not passed on."""
    try:
        yield
    except psycopg.Error as error:
        message, hint = _why_not(str(error), error.sqlstate)
        raise ConnectionFailed(
            f"cannot connect to {target}: {message}", sqlstate=error.sqlstate, where=target, hint=hint
        ) from None


def options(target: str, conninfo: str) -> dict[str, str]:
    """Parse a libpq string or URI; raise ConnectionFailed, without quoting it, when it is neither."""
    try:
        return {key: str(value) for key, value in conninfo_to_dict(conninfo).items() if value is not None}
    except psycopg.Error:
        raise ConnectionFailed(
            f"cannot connect to {target}: its connection string cannot be read",
            where=target,
            hint="write `host=... dbname=... user=...` or postgresql://user@host/dbname, special characters as %xx",
        ) from None


def _message(error: psycopg.Error, veil: Veil) -> str:
    if veil.asked and _raised(error):
        place = PLACE.match(error.diag.context or "")
        where = f" in {place[1]}" if place else ""
        return f"a function of the database raised an error{where}; {NOT_TOLD}"
    lines = (error.diag.message_primary or str(error)).strip().splitlines()
    if veil.asked and (error.sqlstate or "").startswith("22") and '"' in lines[0]:
        said = lines[0].partition('"')[0].rstrip(" :")
        return f"{said}: {HIDDEN}"
    return lines[0].strip() if lines else type(error).__name__


def _raised(error: psycopg.Error) -> bool:
    """Whether the text was made by a function of somebody's (RAISE and its kin), which may put any row into it."""
    return error.diag.source_file in LANGUAGES or (error.sqlstate or "").startswith("P0")


def _detail(error: psycopg.Error, veil: Veil) -> str | None:
    """Return what the server adds: never a whole row, and of keys of sensitive columns only the names of the columns."""
    detail = error.diag.message_detail
    if detail is None or error.sqlstate in WHOLE_ROW or not veil.asked:
        return None if error.sqlstate in WHOLE_ROW else detail
    if _raised(error):
        return None
    key = KEY.match(detail)
    if key is not None:
        return f"{key[1]}={HIDDEN}" if veil.mentioned(key[1]) else detail
    return detail if (error.sqlstate or "")[:2] in ABOUT_OBJECTS else None


def _line(error: psycopg.Error, text: str | None) -> str:
    position = error.diag.statement_position
    if text is None or position is None or "\n" not in text.strip():
        return ""
    return f" (line {text.count(chr(10), 0, int(position) - 1) + 1} of the statement)"


def _why_not(message: str, code: str | None) -> tuple[str, str]:
    if "FATAL:" in message:
        said = message.rsplit("FATAL:", 1)[1].strip().splitlines()[0]
        return said, HINTS.get(code or _code_of(said), "check the service file or DSN of this target")
    for sign, words, hint in CLIENT_SIDE:
        if sign in message:
            return words, hint
    return "libpq could not connect", "try the same service or DSN with psql; its message names the reason"


def _code_of(said: str) -> str:
    # libpq gives no SQLSTATE for a failed connection, only the server's words (in English where lc_messages is).
    if "password authentication failed" in said:
        return "28P01"
    if said.startswith("database ") and "does not exist" in said:
        return "3D000"
    if "too many" in said or "remaining connection slots" in said:
        return "53300"
    if "the database system is" in said:
        return "57P03"
    return "42501" if said.startswith("permission denied") else "28000"
