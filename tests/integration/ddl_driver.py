"""Plays one piece of DDL through the engine: apply, take back, compare the dumps; the units of a plan without its repository."""

from __future__ import annotations

import subprocess
from functools import partial

import psycopg

from okto_change.database.session import READ_COMMITTED, REPEATABLE_READ, Session
from okto_change.errors import OktoError
from okto_change.execution import catalogue, inverse

IGNORED = ("SET ", "SELECT pg_catalog.set_config", "--", "\\restrict", "\\unrestrict")


def dump(conninfo: str) -> list[str]:
    """Return the lines of pg_dump with data but without what is ours, comments and settings."""
    command = ["pg_dump", "--dbname", conninfo, "--inserts", "--exclude-schema", "okto_change"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # It says OVERRIDING SYSTEM VALUE for as long as a dropped identity column leaves a trace in the catalogue.
    text = done.stdout.replace(" OVERRIDING SYSTEM VALUE", "")
    return [line for line in text.splitlines() if line and not line.startswith(IGNORED)]


def apply(session: Session, run: str, *statements: str, aside: bool = False) -> tuple[str, ...]:
    """Run statements as one unit and commit them with their inverse; return it. Raises NotReversible, with nothing changed.

    ``aside`` has what they drop put aside.
    """
    compared: set[str] = set()
    while True:
        session.begin(isolation=REPEATABLE_READ)
        try:
            before = inverse.look(session, compared)
            for statement in statements:
                if aside:
                    inverse.put_aside(session, run, "1", partial(session.run, statement))
                else:
                    session.run(statement)
            found = inverse.keep(session, run, "1", before)
            session.commit()
            return found
        except OktoError as error:
            error.add_note("; ".join(error.faults))
            raise
        except catalogue.NotCompared as moved:
            compared |= moved.tables
        finally:
            session.rollback()


def take_back(session: Session, run: str) -> None:
    """Undo a run and commit that. Raises Conflict, with nothing changed."""
    session.begin(isolation=READ_COMMITTED)
    try:
        inverse.undo(session, run, "1")
        session.commit()
    except OktoError as error:
        error.add_note("; ".join(error.faults))
        raise
    finally:
        session.rollback()


def others(conninfo: str, text: str) -> None:
    """Run something of somebody else's."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(text.encode())
