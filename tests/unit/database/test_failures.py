"""Driver errors become ours without giving away the connection string."""

from __future__ import annotations

import psycopg
import pytest

from okto_change.database import failures
from okto_change.database.session import conninfo
from okto_change.errors import ConnectionFailed

SECRET = "hunter2"


def refused(message: str) -> ConnectionFailed:
    """Return what becomes of a failed connection with this message of libpq's."""
    with pytest.raises(ConnectionFailed) as caught, failures.connecting("ledger"):
        raise psycopg.OperationalError(message)
    return caught.value


@pytest.mark.parametrize(
    ("message", "words", "hint"),
    [
        (
            'connection to server at "db", port 5432 failed: FATAL:  password authentication failed for user "okto"',
            'password authentication failed for user "okto"',
            "pgpass",
        ),
        ('connection failed: FATAL:  database "x" does not exist', 'database "x" does not exist', "database name"),
        ("FATAL:  sorry, too many clients already", "sorry, too many clients already", "no connection left"),
        ("FATAL:  the database system is starting up", "the database system is starting up", "try again"),
        ('definition of service "x" not found', "its service is not defined", "pg_service.conf"),
        (f'could not translate host name "{SECRET}@db" to address', "host name cannot be resolved", "%40"),
        (f'invalid port number: "{SECRET}@db"', "port number is not valid", "%40"),
        ("connection refused", "does not answer", "is the server up"),
        (f"something new about {SECRET}", "libpq could not connect", "psql"),
    ],
)
def test_a_failed_connection_says_why_and_what_to_do(message: str, words: str, hint: str) -> None:
    """Each usual reason has its own words and hint, and what libpq quotes is not passed on."""
    error = refused(message)
    assert words in error.message
    assert hint in str(error.hint)
    assert SECRET not in f"{error.message} {error.hint}"
    assert error.__cause__ is None
    assert error.exit_code == 1


@pytest.mark.parametrize("given", [f"host=db {SECRET}", f"postgresql://okto:p@ss:{SECRET}@db/x?nope={SECRET}", "="])
def test_an_unreadable_connection_string_is_not_quoted(given: str) -> None:
    """libpq's message would show a piece of it."""
    with pytest.raises(ConnectionFailed) as caught:
        failures.options("ledger", given)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.__cause__ is None


def test_a_target_may_name_a_service() -> None:
    """The service file is libpq's business."""
    assert conninfo("ledger", service="ledger prod", environ={}) == "service='ledger prod'"


def test_a_target_may_name_the_variable_that_holds_its_dsn() -> None:
    """The value is used as it is."""
    assert conninfo("ledger", dsn_env="LEDGER_DSN", environ={"LEDGER_DSN": " host=db "}) == "host=db"


@pytest.mark.parametrize(
    ("environ", "words"), [({}, "LEDGER_DSN is not set"), ({"LEDGER_DSN": " "}, "LEDGER_DSN is empty")]
)
def test_a_missing_variable_is_named(environ: dict[str, str], words: str) -> None:
    """The hint says where it belongs: not into the repository."""
    with pytest.raises(ConnectionFailed, match=words) as caught:
        conninfo("ledger", dsn_env="LEDGER_DSN", environ=environ)
    assert "outside the repository" in str(caught.value.hint)


def test_a_target_names_a_service_or_a_variable_not_both() -> None:
    """Neither is as wrong as both."""
    for service, variable in ((None, None), ("s", "V")):
        with pytest.raises(ConnectionFailed, match="either a service or a DSN variable"):
            conninfo("ledger", service=service, dsn_env=variable, environ={"V": "host=db"})
