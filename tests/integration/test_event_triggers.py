"""Event triggers that log DDL: what they write about ours would have no undo, so they do not hear of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from okto_change.database.composing import compose
from okto_change.database.session import connect
from okto_change.execution.images.unheard import execute, unheard

LOGGING = """
CREATE TABLE ddl_log (what text);
CREATE FUNCTION logged() RETURNS event_trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.ddl_log VALUES (tg_tag); END$$;
CREATE EVENT TRIGGER logged ON ddl_command_end EXECUTE FUNCTION logged();
"""


@pytest.fixture
def watched(database: str) -> str:
    """Return a database in which every DDL is logged to a table."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(LOGGING)
    return database


@pytest.fixture
def humble(watched: str) -> Iterator[str]:
    """Return the connection string of a role that may make tables and log, and set no role of a replica."""
    role = f"okto_humble_{os.getpid()}"
    with psycopg.connect(watched, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(f"GRANT ALL ON SCHEMA public TO {role}; GRANT ALL ON ddl_log TO {role}".encode())
        yield make_conninfo(watched, options=f"-c role={role}")
        connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


def logged(conninfo: str) -> list[str]:
    """Return the commands that were logged."""
    with connect("ledger", conninfo) as session:
        session.begin()
        found = [str(row[0]) for row in session.texts("SELECT what FROM public.ddl_log")[1]]
        session.rollback()
    return found


def test_ours_is_not_heard_and_everything_else_is(watched: str) -> None:
    """Around our statement alone; the author's DDL right after it is logged as ever."""
    with connect("ledger", watched) as session:
        session.begin()
        execute(session, compose("CREATE TABLE public.ours (id int)"))
        session.run("CREATE SEQUENCE public.theirs")
        session.commit()
    assert logged(watched) == ["CREATE SEQUENCE"]


def test_where_the_role_may_not_they_are_heard_and_nothing_breaks(humble: str) -> None:
    """The transaction goes on; what was logged is accounted for like every other row."""
    with connect("ledger", humble) as session:
        session.begin()
        with unheard(session):
            session.execute(compose("CREATE TABLE public.ours (id int)"))
        session.commit()
    assert logged(humble)[-1] == "CREATE TABLE"
