"""One connection to one target: the only door to psycopg. Transactions are explicit, the author's bytes unchanged."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from okto_change.database import queries, sending, veil
from okto_change.database.ambient import without_ambient
from okto_change.database.failures import connecting, options, translate
from okto_change.database.sending import FAKES, MOMENTS, Call, Query, Sent
from okto_change.errors import ConnectionFailed, Refused
from okto_change.model import Identity, Timeouts

logging.getLogger("psycopg").addHandler(logging.NullHandler())  # what it would warn of is raised, and told in our words

Row = tuple[Any, ...]
READ_COMMITTED = "READ COMMITTED"
REPEATABLE_READ = "REPEATABLE READ"
OLDEST = 130_000
"""The oldest server version that okto-change works with."""

DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Connection parameters where the conninfo says nothing: a dead network is noticed in a minute, not in two hours."""

NEVER = 2**31 - 1
"""times after which the driver would prepare a statement of its own accord"""
FIXED = {"client_encoding": "UTF8", "application_name": "okto-change"}


class Session:
    """An open connection in autocommit; ``begin`` starts a transaction with ``SET LOCAL`` limits only."""

    def __init__(self, target: str, connection: psycopg.Connection[Row]) -> None:
        self.target = target
        self.tag = ""
        """the command tag of the author's last statement, e.g. ``UPDATE 37``"""
        self.limits = Timeouts()
        """those of the open transaction"""
        self.affected = 0
        """rows that our own last statement changed, as its command tag says"""
        self.started: str | None = None
        """when its server process began, as ``state.backend`` found it"""
        self.veil = veil.NOTHING
        """the sensitive columns of this target; what they hold is shown nowhere"""
        self._connection = connection
        self._waiting: list[Sent] = []
        self.identity = self._identify()

    # ------------------------------------------------------------------ queries of ours

    def query(self, name: str, /, **parameters: Any) -> list[Row]:
        """Run the query called ``name`` in ``sql/`` with bound parameters; return its rows."""
        return self.execute(queries.load(name), parameters or None, binary=name in MOMENTS)

    def execute(self, statement: Query, parameters: Any = None, *, binary: bool | None = None) -> list[Row]:
        """Run a statement composed with ``psycopg.sql``; return its rows, [] when it has none. Raises DatabaseError."""
        if self._waiting and not sending.several(statement, parameters):
            return self._send(((statement, parameters, binary, False),))[-1]
        self._flush()
        with self._cursor() as cursor:
            cursor.execute(statement, parameters, binary=binary)
            self.affected = cursor.rowcount
            return cursor.fetchall() if cursor.description else []

    def later(self, name: str, /, *, again: bool = False, **parameters: Any) -> None:
        """Run a query like ``query`` in front of what is sent next, in the same round trip. Its rows are of no interest.

        Its error is raised there. A ROLLBACK before that takes it along. ``again`` only where nothing of others has run
        since ``each`` found that prepared statements are ours.
        """
        self._waiting.append(sending.sent((name, parameters), again=again))

    def each(self, *calls: Call, again: bool = False, ours: bool = False) -> list[list[Row]]:
        """Run queries by name with parameters, or composed statements, in one round trip; return the rows of each.

        When one fails, none of those behind it is run. Those by name that come ``again`` and again are parsed and planned
        once. Raises DatabaseError with sqlstate ``GONE`` where somebody else's statements answer in their place, or none;
        that is not asked where nothing of others has run since it was, and they are known to be ``ours``.
        """
        waiting = len(self._waiting)
        sent = [sending.sent(call, again=again) for call in calls]
        if not again or ours:
            return self._send(sent)[waiting:]
        first = next((at for at, call in enumerate(calls) if isinstance(call, tuple)), len(calls))
        sent.insert(first, sending.sent(FAKES))
        found = self._send(sent, fakes=waiting + first)[waiting:]
        del found[first]
        return found

    def together(self, *named: tuple[str, Mapping[str, Any]], begin: bool = False, commit: bool = False) -> list[Row]:
        """Run queries like ``query`` in one round trip, one after the other; return the rows of the last.

        With ``begin`` they begin a READ COMMITTED transaction, with ``commit`` COMMIT follows them. When one fails, none
        of those behind it is run, nor the COMMIT.
        """
        self._flush()
        with self._cursor() as last:
            with self._at_once():
                if begin:
                    self._connection.cursor().execute(f"BEGIN ISOLATION LEVEL {READ_COMMITTED} READ WRITE")
                for name, parameters in named:
                    last = self._connection.cursor()
                    last.execute(queries.load(name), parameters or None, prepare=True, binary=name in MOMENTS)
                if commit:
                    self._connection.cursor().execute("COMMIT")
            return last.fetchall() if last.description else []

    # ------------------------------------------------------------------ text of the author's

    def run(self, text: str) -> int | None:
        """Run one statement of the author's, byte for byte; return the rows of its command tag or None."""
        self._flush()
        with self._cursor(text) as cursor:
            cursor.execute(text.encode())
            self.tag = cursor.statusmessage or ""
            return cursor.rowcount if cursor.rowcount >= 0 else None

    def copy_in(self, text: str, data: str) -> int | None:
        """Run ``COPY ... FROM STDIN`` with its inline data; return the rows copied."""
        self._flush()
        with self._cursor(text) as cursor:
            with cursor.copy(text) as copy:
                copy.write(data)
            return cursor.rowcount if cursor.rowcount >= 0 else None

    def texts(self, text: str) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
        """Run a query of the author's; return column names and rows as PostgreSQL prints them (NULL is None).

        ``affected`` tells of one that has no rows.
        """
        with self._cursor(text) as cursor:
            waiting, self._waiting = self._waiting, []
            with self._at_once() if waiting else nullcontext():
                for statement, parameters, binary, prepared in waiting:
                    self._connection.cursor().execute(statement, parameters, binary=binary, prepare=prepared)
                cursor.execute(text.encode())
            self.affected = cursor.rowcount
            if not cursor.description:
                return (), []
            return tuple(column.name for column in cursor.description), _rows(cursor)

    def answer(self, text: str) -> tuple[list[tuple[str | None, ...]], frozenset[int]]:
        """Run a query of the author's; return its rows as texts, and the places of columns that must not be shown."""
        self._flush()
        with self._cursor(text) as cursor:
            cursor.execute(text.encode())
            result = cursor.pgresult
            if result is None or not cursor.description:
                return [], frozenset()
            origins = [(result.ftable(at), result.ftablecol(at), result.ftype(at)) for at in range(result.nfields)]
            return _rows(cursor), self.veil.hidden(text, origins)

    def draw_veil(self, names: Sequence[str]) -> None:
        """Hide from now on what the columns ``names`` (as policies name them) hold, and all that shows the same."""
        parts = [veil.split(name) for name in names]
        schemas, tables, columns = ([part[place] for part in parts] for place in range(3))
        rows = self.query("veil_columns", schemas=schemas, tables=tables, columns=columns)
        self.veil = veil.draw(names, rows)

    def prepare(self, text: str) -> None:
        """Have the server parse and analyse ``text`` without executing anything. Raises DatabaseError."""
        self.run(f"PREPARE okto_change_probe AS {text}")
        self.run("DEALLOCATE okto_change_probe")

    # ------------------------------------------------------------------ transactions

    def begin(
        self, timeouts: Timeouts | None = None, *, isolation: str = REPEATABLE_READ, read_only: bool = False
    ) -> None:
        """Start a transaction with lock, statement and idle limits set by ``SET LOCAL``."""
        self.limits = timeouts or Timeouts()
        begin = f"BEGIN ISOLATION LEVEL {isolation} {'READ ONLY' if read_only else 'READ WRITE'}"
        self.run(f"{begin}; {sending.limiting(self.limits)}")

    def limit(self, timeouts: Timeouts) -> None:
        """Set the limits of the open transaction from here on; idle time is limited to a minute or more.

        Backslashes are plain in ordinary strings, whatever server or role say: the text was split and read so.
        """
        self.limits = timeouts
        self.run(sending.limiting(timeouts))

    def commit(self) -> None:
        """Send COMMIT. ConnectionLost means: whether it arrived must be found out (``state.settle``)."""
        self.run("COMMIT")

    def rollback(self) -> None:
        """Send ROLLBACK if a transaction is open; a broken connection is rolled back by the server."""
        self._waiting.clear()
        if not self._connection.closed and self.in_transaction:
            self.run("ROLLBACK")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Run the body inside a savepoint; roll back to it when the body raises."""
        self.run("SAVEPOINT okto_change")
        try:
            yield
        except BaseException:
            self._waiting.clear()
            if not self._connection.closed:
                self.run("ROLLBACK TO SAVEPOINT okto_change; RELEASE SAVEPOINT okto_change")
            raise
        self._waiting.append(("RELEASE SAVEPOINT okto_change", None, None, False))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, failed ones included."""
        return self._connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE

    @property
    def closed(self) -> bool:
        """Whether the connection is gone: closed by us, or found broken."""
        return self._connection.closed

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

    def _flush(self) -> None:
        if self._waiting:
            self._send(())

    def _send(self, calls: Sequence[Sent], fakes: int | None = None) -> list[list[Row]]:
        """Send what waits and then ``calls`` at once; return the rows of all of them. ``fakes`` is the place of ``FAKES``."""
        sent, self._waiting = (*self._waiting, *calls), []
        cursors = [self._connection.cursor() for _ in sent]
        with self._cursor():
            try:
                with self._at_once():
                    for cursor, (statement, parameters, binary, prepared) in zip(cursors, sent, strict=True):
                        cursor.execute(statement, parameters, binary=binary, prepare=prepared)
            finally:
                if fakes is not None:
                    sending.demand_ours(cursors[fakes], self.target)
            self.affected = cursors[-1].rowcount
            return [cursor.fetchall() if cursor.description else [] for cursor in cursors]

    def _at_once(self) -> AbstractContextManager[object]:
        return self._connection.pipeline() if psycopg.Pipeline.is_supported() else nullcontext()

    @contextmanager
    def _cursor(self, text: str | None = None) -> Iterator[psycopg.Cursor[Row]]:
        try:
            with self._connection.cursor() as cursor:
                yield cursor
        except psycopg.Error as error:
            raise translate(error, self.target, text, self.veil) from error

    def _identify(self) -> Identity:
        database, version, user, primary, superuser, readable, pid = self.query("identity")[0]
        if pid != self.backend_pid:
            raise ConnectionFailed(
                f"cannot work on {self.target}: a connection pooler stands between (another process answers now)",
                where=self.target,
                hint="give this target a service or DSN that leads to the server itself",
            )
        if version < OLDEST:
            raise ConnectionFailed(
                f"cannot work on {self.target}: its server is PostgreSQL {version // 10_000}",
                where=self.target,
                hint=f"okto-change needs PostgreSQL {OLDEST // 10_000} or later",
            )
        return Identity(
            system_identifier=self.query("system_identifier")[0][0] if readable else "",
            database=database,
            server_version=version,
            user=user,
            primary=primary,
            superuser=superuser,
        )


def conninfo(target: str, *, service: str | None = None, dsn_env: str | None = None, environ: Mapping[str, str]) -> str:
    """Return the connection string of a target that names a libpq service or the environment variable holding its DSN.

    Raises ConnectionFailed when the variable is missing or empty, or the target names neither or both. The result may
    hold a password: never show it.
    """
    if (service is None) == (dsn_env is None):
        raise ConnectionFailed(f"target {target} needs either a service or a DSN variable", where=target)
    if service is not None:
        return make_conninfo(service=service)
    value = environ.get(dsn_env or "", "").strip()
    if not value:
        missing = "empty" if dsn_env in environ else "not set"
        raise ConnectionFailed(
            f"cannot connect to {target}: the environment variable {dsn_env} is {missing}",
            where=target,
            hint=f"set {dsn_env} to the connection string of {target}, outside the repository",
        )
    return value


def connect(target: str, conninfo: str, *, timeout: int | None = None) -> Session:
    """Open a session to ``target``. ``conninfo`` is a libpq string or URI, never shown; ``timeout`` is in seconds.

    Raises ConnectionFailed when the server is down or older than 13, the password wrong, the service or database
    unknown, or a pooler stands between.
    """
    given = options(target, conninfo)
    if timeout is not None:
        given["connect_timeout"] = str(timeout)
    with connecting(target), without_ambient():
        connection = psycopg.connect(
            make_conninfo(**{**DEFAULTS, **given, **FIXED}), autocommit=True, prepare_threshold=NEVER
        )
    try:
        return Session(target, connection)
    except BaseException:
        connection.close()
        raise


def demand(session: Session, *, database: str | None = None, system_identifier: str | None = None) -> None:
    """Refuse unless the session is on a primary and, where given, on that database of that cluster. Raises Refused."""
    found = session.identity
    faults = []
    if not found.primary:
        faults.append("the server is a standby, changes go to the primary")
    if database is not None and found.database != database:
        faults.append(f"the database is {found.database}, expected {database}")
    if system_identifier is not None and found.system_identifier != system_identifier:
        actual = found.system_identifier or "not readable by this role (needs EXECUTE on pg_control_system())"
        faults.append(f"the system identifier is {actual}, expected {system_identifier}")
    if faults:
        raise Refused(
            f"{session.target} is not the database it should be: {'; '.join(faults)}",
            where=session.target,
            hint="check the service or DSN of this target, and its entry in the policy",
        )


def identifier(*parts: str) -> sql.Identifier:
    """Quote a possibly qualified name."""
    return sql.Identifier(*parts)


def compose(template: LiteralString, **parts: sql.Composable) -> sql.Composed:
    """Fill ``{name}`` places of ``template`` with composed parts."""
    return sql.SQL(template).format(**parts)


def _rows(cursor: psycopg.Cursor[Row]) -> list[tuple[str | None, ...]]:
    result = cursor.pgresult
    if result is None:
        return []
    return [
        tuple(_text(result.get_value(row, column)) for column in range(result.nfields)) for row in range(result.ntuples)
    ]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "surrogateescape")


__all__ = [
    "READ_COMMITTED",
    "REPEATABLE_READ",
    "Row",
    "Session",
    "compose",
    "connect",
    "conninfo",
    "demand",
    "identifier",
]
