"""What okto-change keeps in a target: the installed schema, and what is applied."""

from __future__ import annotations

from okto_change.database import queries
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.digest import sha256
from okto_change.errors import Refused
from okto_change.model import Timeouts

SCHEMA_VERSION = 1
INSTALL = Timeouts(lock=10_000, statement=60_000)

# ---------------------------------------------------------------------- the schema


def ensure_schema(session: Session) -> None:
    """Install schema ``okto_change``, or do nothing when this version is there; safe when several sessions do it at once.

    Outside a transaction only. Raises Refused when a newer okto-change was here, DatabaseError when the role may not
    create the schema or it belongs to somebody else.
    """
    if session.in_transaction:
        raise ValueError("ensure_schema needs a transaction of its own")
    if _is_current(session):
        return
    session.begin(INSTALL, isolation=READ_COMMITTED)
    try:
        session.query("schema_lock")
        if not _is_current(session):
            for text in queries.schemas():
                session.execute(text)
            session.query("schema_record", version=SCHEMA_VERSION, digest=_schema_digest())
        session.commit()
    finally:
        session.rollback()


def is_installed(session: Session) -> bool:
    """Whether any version of schema ``okto_change`` is there."""
    return bool(session.query("schema_installed")[0][0])


def _is_current(session: Session) -> bool:
    rows = session.query("schema_version") if is_installed(session) else []
    if not rows:
        return False
    version, digest = rows[0]
    if version > SCHEMA_VERSION:
        raise Refused(
            f"schema okto_change has version {version}, this okto-change knows version {SCHEMA_VERSION}",
            where=session.target,
            hint="use the newer okto-change that installed it",
        )
    return bool(version == SCHEMA_VERSION and digest == _schema_digest())


def _schema_digest() -> str:
    return sha256("\n".join(queries.schemas()).encode())
