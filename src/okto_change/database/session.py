"""One connection to one target: the only door to psycopg. Transactions are explicit, the author's bytes go through unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql

from okto_change.database import queries
from okto_change.database.failures import connecting, translate
from okto_change.model import Identity, Timeouts

Row = tuple[Any, ...]
Query = LiteralString | sql.SQL | sql.Composed

READ_COMMITTED = "READ COMMITTED"
REPEATABLE_READ = "REPEATABLE READ"


class Session:
    """An open connection in autocommit; ``begin`` starts a transaction with ``SET LOCAL`` limits only."""

    def __init__(self, target: str, connection: psycopg.Connection[Row]) -> None:
        self.target = target
        self._connection = connection
        self.identity = self._identify()

    # ------------------------------------------------------------------ queries of ours

    def query(self, name: str, /, **parameters: Any) -> list[Row]:
        """Run the query called ``name`` in ``sql/`` with bound parameters; return its rows."""
        return self.execute(queries.load(name), parameters or None)

    def execute(self, statement: Query, parameters: Any = None) -> list[Row]:
        """Run a statement composed with ``psycopg.sql``; return its rows, [] when it has none. Raises DatabaseError."""
        with self._cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    # ------------------------------------------------------------------ text of the author's

    def run(self, text: str) -> int | None:
        """Run one statement of the author's, byte for byte; return the rows of its command tag, None when it has no count."""
        with self._cursor() as cursor:
            cursor.execute(text.encode())
            return cursor.rowcount if cursor.rowcount >= 0 else None

    def copy_in(self, text: str, data: str) -> int | None:
        """Run ``COPY ... FROM STDIN`` with its inline data; return the rows copied."""
        with self._cursor() as cursor:
            with cursor.copy(cast(LiteralString, text)) as copy:
                copy.write(data)
            return cursor.rowcount if cursor.rowcount >= 0 else None

    def texts(self, text: str) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
        """Run a query of the author's; return column names and rows as PostgreSQL prints them (NULL is None)."""
        with self._cursor() as cursor:
            cursor.execute(text.encode())
            result = cursor.pgresult
            if result is None or not cursor.description:
                return (), []
            names = tuple(column.name for column in cursor.description)
            return names, [
                tuple(_text(result.get_value(row, column)) for column in range(result.nfields))
                for row in range(result.ntuples)
            ]

    def prepare(self, text: str) -> None:
        """Have the server parse and analyse ``text`` without executing anything. Raises DatabaseError."""
        self.run(f"PREPARE okto_change_probe AS {text}")
        self.run("DEALLOCATE okto_change_probe")

    # ------------------------------------------------------------------ transactions

    def begin(self, timeouts: Timeouts | None = None, *, isolation: str = REPEATABLE_READ, read_only: bool = False) -> None:
        """Start a transaction with lock, statement and idle limits set by ``SET LOCAL``."""
        limits = timeouts or Timeouts()
        self.run(f"BEGIN ISOLATION LEVEL {isolation}{' READ ONLY' if read_only else ''}")
        for name, value in (
            ("lock_timeout", limits.lock),
            ("statement_timeout", limits.statement),
            ("idle_in_transaction_session_timeout", max(limits.statement * 2, 60_000)),
        ):
            self.run(f"SET LOCAL {name} = {int(value)}")

    def commit(self) -> None:
        """Send COMMIT. ConnectionLost means: whether it arrived must be found out (``state.settle``)."""
        self.run("COMMIT")

    def rollback(self) -> None:
        """Send ROLLBACK if a transaction is open; a broken connection is rolled back by the server."""
        if not self._connection.closed and self.in_transaction:
            self.run("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run the body inside a savepoint; roll back to it when the body raises."""
        self.run("SAVEPOINT okto_change")
        try:
            yield
        except BaseException:
            if not self._connection.closed:
                self.run("ROLLBACK TO SAVEPOINT okto_change; RELEASE SAVEPOINT okto_change")
            raise
        self.run("RELEASE SAVEPOINT okto_change")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, failed ones included."""
        return self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    @property
    def backend_pid(self) -> int:
        """The process that the protocol handshake named."""
        return self._connection.info.backend_pid

    def close(self) -> None:
        """Close the connection; the server rolls back what was open."""
        self._connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ------------------------------------------------------------------ inside

    @contextmanager
    def _cursor(self) -> Iterator[psycopg.Cursor[Row]]:
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            raise translate(error, self.target) from error

    def _identify(self) -> Identity:
        (row,) = self.query("identity")
        database, version, user, primary, superuser, readable, pid = row
        (system,) = self.query("system_identifier")[0] if readable else ("",)
        return Identity(
            system_identifier=system, database=database, server_version=version,
            user=user, primary=primary, superuser=superuser,
        )  # fmt: skip


def connect(target: str, conninfo: str, *, timeout: int = 10) -> Session:
    """Open a session to ``target``. ``conninfo`` is a libpq string or URI and is never printed.

    Raises ConnectionFailed when the server is down, the password wrong or the service unknown; DatabaseError when a
    pooler in transaction mode stands between (the backend differs from the one that answered the handshake).
    """
    with connecting(target):
        connection = psycopg.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=timeout,
            application_name="okto-change",
        )
    return Session(target, connection)


def identifier(*parts: str) -> sql.Identifier:
    """Quote a possibly qualified name."""
    return sql.Identifier(*parts)


def compose(template: LiteralString, **parts: sql.Composable) -> sql.Composed:
    """Fill ``{name}`` places of ``template`` with composed parts."""
    return sql.SQL(template).format(**parts)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


__all__ = ["READ_COMMITTED", "REPEATABLE_READ", "Row", "Session", "compose", "connect", "identifier"]
