"""The PostgreSQL that the integration tests use, a fresh database for each test, a line in the header that names it.

Which server: ``OKTO_TEST_DSN`` if set, else programs found on the machine, else the embedded wheel. ``--postgres
installed|embedded|container[:VERSION]`` chooses. The role must be a superuser. Nothing starts until a test asks.
"""

from __future__ import annotations

import gc
import itertools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from okto_change.demo import payments as payments_data
from okto_change.demo import server as own
from okto_change.demo.binaries import Kind, find
from okto_change.errors import Refused

VARIABLE = "OKTO_TEST_DSN"
SMALL = 2_000
"""Transactions in the payments database of the tests."""
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server: ``admin`` is a superuser's connection string, ``tcp_admin`` the same over TCP."""

    admin: str
    tcp_admin: str
    major: int

    def conninfo(self, database: str, *, tcp: bool = False) -> str:
        """Return the superuser's connection string to a database."""
        return make_conninfo(self.tcp_admin if tcp else self.admin, dbname=database)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port for TCP."""
        given = conninfo_to_dict(self.tcp_admin)
        return str(given.get("host") or "127.0.0.1"), int(given.get("port") or 5432)

    def create(self, template: str = "template0") -> str:
        """Create a database as a copy of ``template``; return its name."""
        name = f"okto_{os.getpid()}_{next(_numbers)}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, database: str) -> None:
        """Drop a database, ending whatever is connected to it."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.admin, autocommit=True) as connection:
            connection.execute(statement)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--postgres``."""
    parser.addoption(
        "--postgres",
        default="auto",
        metavar="auto|installed|embedded|container[:17]",
        help=f"the PostgreSQL to test with; auto: {VARIABLE}, else one found on the machine, else the embedded one",
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say which PostgreSQL the integration tests use."""
    return f"PostgreSQL: {_describe(config.getoption('--postgres'))}"


def _describe(choice: str) -> str:
    if choice == "auto" and VARIABLE in os.environ:
        return f"the server of {VARIABLE}"
    if choice.startswith("container"):
        return f"a container of {_image(choice)}"
    try:
        binaries = find(_kind(choice))
    except Refused as refused:
        return refused.message
    return f"{binaries.version}, started from {binaries.folder} ({binaries.origin})"


def _kind(choice: str) -> Kind:
    kinds: dict[str, Kind] = {"auto": "auto", "installed": "installed", "embedded": "embedded"}
    if choice not in kinds:
        raise pytest.UsageError(f"--postgres {choice}: expected auto, installed, embedded or container[:VERSION]")
    return kinds[choice]


def _image(choice: str) -> str:
    return f"postgres:{choice.partition(':')[2] or '17'}-alpine"


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Return the server of this test run; one that we started is gone at the end, however the run ends."""
    choice = request.config.getoption("--postgres")
    if choice == "auto" and VARIABLE in os.environ:
        yield _cluster(os.environ[VARIABLE], os.environ[VARIABLE])
    elif choice.startswith("container"):
        with _container(_image(choice)) as dsn:
            yield _cluster(dsn, dsn)
    else:
        with own.running(_kind(choice)) as running:
            yield _cluster(running.conninfo(), running.conninfo(tcp=True))


def _cluster(admin: str, tcp_admin: str) -> Cluster:
    with psycopg.connect(admin) as connection:
        return Cluster(admin, tcp_admin, connection.info.server_version // 10_000)


@contextmanager
def _container(image: str) -> Iterator[str]:
    from docker.errors import DockerException
    from testcontainers.community.postgres import PostgresContainer

    reason = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            container = PostgresContainer(image, driver=None).start()
        except DockerException as error:
            reason = str(error)
        gc.collect()  # the client leaves a socket open when nobody answers
    if reason:
        pytest.skip(f"no container of {image}: {reason}")
    try:
        yield container.get_connection_url()
    finally:
        container.stop()


@pytest.fixture
def database(server: Cluster) -> Iterator[str]:
    """Return the connection string of a fresh, empty database."""
    name = server.create()
    yield server.conninfo(name)
    server.drop(name)


@pytest.fixture(scope="session")
def payments_template(server: Cluster) -> Iterator[str]:
    """Return the name of a small payments database that nobody connects to, for copying."""
    name = server.create()
    payments_data.load(server.conninfo(name), transactions=SMALL)
    yield name
    server.drop(name)


@pytest.fixture
def payments(server: Cluster, payments_template: str) -> Iterator[str]:
    """Return the connection string of a fresh copy of the small payments database."""
    name = server.create(payments_template)
    yield server.conninfo(name)
    server.drop(name)
