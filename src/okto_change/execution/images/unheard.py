"""DDL of our own past the event triggers of others: what they log about it is no work of the change, and has no undo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from okto_change.database.composing import Composed
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, DatabaseError

NOT_ALLOWED = "42501"


@contextmanager
def unheard(session: Session) -> Iterator[None]:
    """Keep event triggers from firing for the body, which is DDL of ours alone, inside the open transaction.

    Those that fire always do. Where the role may not, they fire, and what they write is accounted for like all else.
    """
    former = _muted(session) if session.query("event_triggers_listen")[0][0] else None
    yield
    if former is not None:  # an error takes it back with the transaction
        session.query("image_unpin", names=["session_replication_role"], values=[former])


def execute(session: Session, statement: Composed) -> None:
    """Run one statement of DDL of ours, unheard."""
    with unheard(session):
        session.execute(statement)


def _muted(session: Session) -> str | None:
    """Switch them off and return the setting to go back to; None where the role may not."""
    try:
        with session.savepoint():
            return str(session.query("event_triggers_mute")[0][0])
    except DatabaseError as error:
        if isinstance(error, ConnectionLost) or error.sqlstate != NOT_ALLOWED:
            raise
        return None
