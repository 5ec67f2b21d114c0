"""The settings that row text depends on, pinned for a while and put back exactly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from okto_change.database.session import Session
from okto_change.errors import DatabaseError

PINNED_PATH = "pg_catalog, pg_temp"


@contextmanager
def pinned(session: Session) -> Iterator[dict[str, str]]:
    """Pin the settings inside the open transaction for the body; yield what they were. They come back also after an error."""
    former = {name: value for name, value, _ in session.query("image_pin")}
    try:
        yield former
    except BaseException:
        with suppress(DatabaseError):  # a failed transaction takes the settings back by itself
            _put_back(session, former)
        raise
    _put_back(session, former)


def _put_back(session: Session, former: dict[str, str]) -> None:
    session.query("image_unpin", names=list(former), values=list(former.values()))


@contextmanager
def resolving(session: Session) -> Iterator[None]:
    """Inside ``pinned``: find names as this session does by default, built-in ones first.

    Functions in checks, domains, indexes and generated columns of others may need that.
    """
    session.query("image_resolve")
    yield
    session.query("image_unpin", names=["search_path"], values=[PINNED_PATH])
