"""DDL of our own past the event triggers of others: what they log about it is no work of the change, and has no undo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from okto_change.database import accounting
from okto_change.database.composing import Composed
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, DatabaseError
from okto_change.model import Timeouts

NOT_ALLOWED = "42501"
SILENCE = (
    "as superuser: GRANT SET ON PARAMETER session_replication_role TO {user} (PostgreSQL 15 and later), which keeps them "
    "silent; or have their functions return at once when current_user is {user}"
)
"""what to do about event triggers that a role may not keep silent"""
LIMITS = Timeouts(lock=2_000, statement=10_000)


@contextmanager
def unheard(session: Session) -> Iterator[None]:
    """Keep event triggers from firing for the body, which is DDL of ours alone, inside the open transaction.

    Those that fire always do. Where the role may not, they fire, and what they write is accounted for like all else.
    """
    former = _muted(session) if session.query("event_triggers_listen")[0][0] else None
    yield
    if former is not None:  # an error takes it back with the transaction
        session.query("image_unpin", names=["session_replication_role"], values=[former])


def heard(session: Session) -> tuple[str, ...]:
    """Return the tables of others that event triggers write to when they hear DDL of ours; () where nothing is written.

    It is tried and rolled back. Raises DatabaseError when an event trigger forbids it.
    """
    if not session.query("event_triggers_hear")[0][0]:
        return ()
    with _tried(session):
        before = accounting.counters(session)
        with unheard(session):
            session.query("event_triggers_probe")
        written = accounting.deltas(before, accounting.counters(session))
        names = accounting.names(session, [oid for oid in written if oid >= accounting.FIRST_USER_OID])
    return tuple(sorted(name for name in names.values() if not name.startswith("okto_change.")))


@contextmanager
def _tried(session: Session) -> Iterator[None]:
    inside = session.in_transaction
    if inside:
        session.run("SAVEPOINT okto_change_heard")
    else:
        session.begin(LIMITS)
    try:
        yield
    finally:
        if inside:
            session.run("ROLLBACK TO SAVEPOINT okto_change_heard; RELEASE SAVEPOINT okto_change_heard")
        else:
            session.rollback()


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
