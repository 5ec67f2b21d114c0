"""Opening sessions, transactions, the author's bytes, and errors, on a real server."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from okto_change.database import session as sessions
from okto_change.database.session import READ_COMMITTED, Session, connect, demand
from okto_change.errors import ConnectionFailed, ConnectionLost, DatabaseError, Refused
from okto_change.model import Timeouts
from tests.plugins.server import Cluster

pytest_plugins = ["tests.plugins.sessions"]
Open = Callable[[], Session]
SECRET = "correct-horse"


# ---------------------------------------------------------------------- connecting


def failure(conninfo: str, *, timeout: int = 5) -> ConnectionFailed:
    """Return the error that connecting ends in."""
    with pytest.raises(ConnectionFailed) as caught, connect("ledger", conninfo, timeout=timeout):
        pass
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.exit_code == 1
    return caught.value


def test_a_session_knows_where_it_is(session: Session, server: Cluster) -> None:
    """Database, version, role and cluster are read at once."""
    identity = session.identity
    assert identity.server_version // 10_000 == server.major
    assert identity.primary and identity.superuser
    assert identity.system_identifier.isdigit()
    assert session.execute("SELECT current_database(), current_user") == [(identity.database, identity.user)]


def test_a_server_that_is_down_is_said_to_be_down() -> None:
    """Nobody listens on the port."""
    with socket.socket() as bound:  # nobody else gets the port, and nobody listens on it
        bound.bind(("127.0.0.1", 0))
        error = failure(f"host=127.0.0.1 port={bound.getsockname()[1]} user=okto password={SECRET}")
    assert "connection refused" in error.message
    assert "is the server up" in str(error.hint)


def test_a_server_that_never_answers_is_given_up() -> None:
    """Something accepts the connection and keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(f"host=127.0.0.1 port={silent.getsockname()[1]} user=okto password={SECRET}", timeout=2)
    assert "did not answer in time" in error.message


def test_a_wrong_password_is_named_with_where_to_put_the_right_one(server: Cluster) -> None:
    """The server says whose password it is."""
    with suppress(psycopg.Error), psycopg.connect(make_conninfo(server.tcp_admin, password=SECRET)):
        pytest.skip("this server asks for no password")
    error = failure(make_conninfo(server.tcp_admin, password=SECRET))
    assert "password authentication failed" in error.message
    assert "pgpass" in str(error.hint)


def test_an_unknown_database_is_named(server: Cluster) -> None:
    """The hint leads to the target's entry."""
    error = failure(server.conninfo("nowhere"))
    assert 'database "nowhere" does not exist' in error.message
    assert "database name" in str(error.hint)


def test_an_unknown_service_is_said_to_be_unknown(home: Path) -> None:
    """The service file of this home is empty."""
    (home / ".pg_service.conf").write_text("")
    error = failure("service=ledger-prod")
    assert "service is not defined" in error.message
    assert "pg_service.conf" in str(error.hint)


def test_a_service_file_leads_to_the_server(home: Path, database: str) -> None:
    """The target names the service, the file holds the rest."""
    given = psycopg.conninfo.conninfo_to_dict(database)
    lines = [f"{key}={value}" for key, value in given.items()]
    (home / ".pg_service.conf").write_text("\n".join(["[ledger-prod]", *lines, ""]))
    with connect("ledger", sessions.conninfo("ledger", service="ledger-prod", environ=os.environ)) as opened:
        assert opened.identity.database == given["dbname"]


def test_a_server_that_is_too_old_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is moved up instead of the server down."""
    monkeypatch.setattr(sessions, "OLDEST", 990_000)
    assert "okto-change needs PostgreSQL 99" in str(failure(database).hint)


@contextmanager
def pooler(address: tuple[str, int]) -> Iterator[int]:
    """Pass on one connection as a pooler does: the process id of the handshake is made up. Yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            upstream = socket.create_connection(address)
            back = threading.Thread(target=forward, args=(upstream, client, True), daemon=True)
            back.start()
            forward(client, upstream, False)
            back.join()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def forward(source: socket.socket, sink: socket.socket, forge: bool) -> None:
    """Pass bytes on until one side ends, with another process id in BackendKeyData if ``forge``."""
    with closing(sink), suppress(OSError):
        while chunk := source.recv(65_536):
            at = chunk.find(b"K\0\0\0\x0c") if forge else -1
            sink.sendall(chunk if at < 0 else chunk[: at + 5] + b"\x0a\x82\x00\x01" + chunk[at + 9 :])
        sink.shutdown(socket.SHUT_RDWR)


def test_a_connection_pooler_is_refused(server: Cluster) -> None:
    """The process that answers a query is not the one of the handshake."""
    with pooler(server.address) as port:
        error = failure(make_conninfo(server.tcp_admin, host="127.0.0.1", port=port, sslmode="disable"))
    assert "connection pooler" in error.message
    assert "the server itself" in str(error.hint)


def test_a_role_that_may_not_read_the_control_file_is_identified_all_the_same(session: Session, database: str) -> None:
    """Then the system identifier is empty, and a demand for it is refused with the grant that is missing."""
    role = f"okto_nocontrol_{os.getpid()}"
    session.run(f"CREATE ROLE {role}")
    session.run("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_control_system() FROM PUBLIC")
    try:
        with connect("ledger", make_conninfo(database, options=f"-c role={role}")) as opened:
            assert opened.identity.system_identifier == ""
            with pytest.raises(Refused, match="pg_control_system"):
                demand(opened, system_identifier="1")
    finally:
        session.run(f"DROP ROLE {role}")


def test_the_search_path_stays_as_the_role_has_it(session: Session, database: str) -> None:
    """Unqualified names in a plan mean what they mean to the role."""
    session.run(f"ALTER DATABASE {session.identity.database} SET search_path = ledger, public")
    with connect("ledger", database) as opened:
        assert opened.execute("SHOW search_path") == [("ledger, public",)]
        assert opened.execute("SHOW client_encoding") == [("UTF8",)]


# ---------------------------------------------------------------------- demands


def test_the_right_database_is_accepted(session: Session) -> None:
    """Name and system identifier are as the target says."""
    identity = session.identity
    demand(session, database=identity.database, system_identifier=identity.system_identifier)


def test_every_difference_from_the_right_database_is_named(session: Session) -> None:
    """Standby, name and cluster, all at once."""
    session.identity = replace(session.identity, primary=False)
    with pytest.raises(Refused) as caught:
        demand(session, database="other", system_identifier="1")
    for words in ("standby", "expected other", "expected 1"):
        assert words in caught.value.message


# ---------------------------------------------------------------------- transactions and statements


def test_limits_are_set_for_the_transaction_only(session: Session) -> None:
    """After it the session is as it was."""
    before = session.execute("SHOW lock_timeout")
    session.begin(Timeouts(lock=1_500, statement=7_000), isolation=READ_COMMITTED)
    assert session.execute("SHOW lock_timeout") == [("1500ms",)]
    assert session.execute("SHOW statement_timeout") == [("7s",)]
    session.limit(Timeouts(lock=1_000, statement=90_000))
    assert session.execute("SHOW idle_in_transaction_session_timeout") == [("3min",)]
    session.rollback()
    assert session.execute("SHOW lock_timeout") == before
    assert not session.in_transaction


def test_a_read_only_transaction_refuses_writes(session: Session) -> None:
    """The static preview and outside checks run in one."""
    session.begin(read_only=True)
    with pytest.raises(DatabaseError) as caught:
        session.run("CREATE TABLE t ()")
    assert caught.value.sqlstate == "25006"
    session.rollback()


def test_a_savepoint_gives_back_what_its_body_did(session: Session) -> None:
    """The transaction stays usable."""
    session.begin()
    session.run("CREATE TABLE t (a int)")
    with pytest.raises(DatabaseError), session.savepoint():
        session.run("INSERT INTO t VALUES (1)")
        session.run("SELECT 1/0")
    assert session.texts("SELECT count(*) FROM t") == (("count",), [("0",)])
    session.rollback()


def test_the_line_of_a_mistake_is_told(session: Session) -> None:
    """Positions of the server become lines of the author's statement, also behind letters of several bytes."""
    with pytest.raises(DatabaseError, match=r"line 3 of the statement") as caught:
        session.run("SELECT 'äöü€',\n  1\nFRM t")
    assert caught.value.sqlstate == "42601"


def test_values_come_as_the_server_prints_them(session: Session) -> None:
    """Nothing goes through Python's types, which cannot hold them all."""
    query = "SELECT 'infinity'::timestamptz AS t, NULL::int AS n, '-0'::float8 AS f, '24:00'::time AS d"
    names, rows = session.texts(query)
    assert names == ("t", "n", "f", "d")
    assert rows == [("infinity", None, "-0", "24:00:00")]


def test_percent_signs_and_parameters_are_the_authors(session: Session) -> None:
    """The statement is sent byte for byte."""
    assert session.texts("SELECT '100%s' AS a, '%(x)s' AS b, 5 % 3 AS c")[1] == [("100%s", "%(x)s", "2")]


def test_inline_copy_data_is_sent_as_it_is(session: Session) -> None:
    """The number of rows comes back."""
    session.run("CREATE TABLE t (a int, b text)")
    assert session.copy_in("COPY t FROM STDIN", "1\tä\\tb\n2\t\\N\n") == 2
    assert session.texts("SELECT * FROM t ORDER BY a")[1] == [("1", "ä\tb"), ("2", None)]


def test_prepare_only_looks(session: Session) -> None:
    """A statement is analysed, not run, and the name is free again."""
    session.run("CREATE TABLE t (a int)")
    for _ in range(2):
        session.prepare("INSERT INTO t VALUES (1)")
    assert session.texts("SELECT count(*) FROM t")[1] == [("0",)]
    with pytest.raises(DatabaseError, match="column"):
        session.prepare("UPDATE t SET nope = 1")


def test_a_row_that_breaks_a_check_is_not_printed(session: Session) -> None:
    """PostgreSQL's detail would show the whole row, card number included; keys are shown, long numbers masked."""
    session.run("CREATE TABLE cards (pan text PRIMARY KEY, CHECK (pan <> '4111111111111112'))")
    with pytest.raises(DatabaseError) as caught:
        session.run("INSERT INTO cards VALUES ('4111111111111112')")
    assert "4111" not in caught.value.message
    session.run("INSERT INTO cards VALUES ('4111111111111111')")
    with pytest.raises(DatabaseError, match=r"411111\*{6}1111"):
        session.run("INSERT INTO cards VALUES ('4111111111111111')")


def test_a_terminated_session_is_a_lost_connection(open_session: Open) -> None:
    """And stays one for every later statement; rolling back and closing do no harm."""
    victim, other = open_session(), open_session()
    victim.begin()
    other.run(f"SELECT pg_terminate_backend({victim.backend_pid})")
    for _ in range(2):
        with pytest.raises(ConnectionLost) as caught:
            victim.run("SELECT 1")
    assert caught.value.exit_code == 6
    assert "found out" in caught.value.state
    victim.rollback()
