"""What the beginning of a transaction gives anew, given back in the middle of one that stands for several.

COMMIT ends what SET LOCAL set, closes cursors, and lets constraints be deferred as they were declared (PostgreSQL's pages
on SET, DECLARE and SET CONSTRAINTS).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from okto_change.database.composing import compose, identifier, joined
from okto_change.database.session import Session
from okto_change.errors import DatabaseError

NOT_ALLOWED = "42501"


@contextmanager
def afterwards(session: Session) -> Iterator[None]:
    """Give that back after the body, in the open transaction; where the body raises, the transaction is over."""
    former = _settings(session)
    yield
    _set(session, former)
    session.run("CLOSE ALL")
    if deferred := session.query("afresh_deferred"):
        names = joined(identifier(*row) for row in deferred)
        session.execute(compose("SET CONSTRAINTS {names} DEFERRED", names=names))


def _settings(session: Session) -> dict[str, str]:
    return dict(session.query("afresh_settings"))


def _set(session: Session, former: Mapping[str, str]) -> None:
    # What was not there came with a library that was loaded meanwhile, and has its default.
    changed = {name: former[name] for name, value in _settings(session).items() if former.get(name, value) != value}
    try:
        with session.savepoint():
            session.query("image_unpin", names=list(changed), values=list(changed.values()))
    except DatabaseError as error:  # set for this role by a function of another one, and not for this role to set back
        if error.sqlstate != NOT_ALLOWED:
            raise
