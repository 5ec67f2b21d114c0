"""The settings that row text depends on, pinned for a while and put back exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from okto_change.database.sending import Call
from okto_change.database.session import Row, Session
from okto_change.errors import DatabaseError

PINNED_PATH = "pg_catalog, pg_temp"


@contextmanager
def pinned(session: Session) -> Iterator[dict[str, str]]:
    """Pin the settings inside the open transaction for the body; yield what they were. They come back also after an error.

    They come back in front of whatever is sent next.
    """
    with pinned_for(session) as (former, _):
        yield former


@contextmanager
def pinned_for(
    session: Session, *calls: Call, ahead: Sequence[Call] = (), again: bool = False, ours: bool = False
) -> Iterator[tuple[dict[str, str], list[list[Row]]]]:
    """Pin the settings like ``pinned`` and run queries under them in the same round trip; yield the rows of each, too.

    What is to run ``ahead`` of the pins goes with them. ``again`` as for ``Session.each``; ``ours`` says that nothing of others
    runs in the body, so that the settings come back by a prepared statement, too.
    """
    pins, *found = session.each(*ahead, ("image_pin", {}), *calls, again=again)[len(ahead) :]
    former: dict[str, str] = {name: value for name, value, _ in pins}
    try:
        yield former, found
    except BaseException:
        with suppress(DatabaseError):  # a failed transaction takes the settings back by itself
            session.query("image_unpin", names=list(former), values=list(former.values()))
        raise
    session.later("image_unpin", again=ours, names=list(former), values=list(former.values()))


@contextmanager
def resolving(session: Session) -> Iterator[None]:
    """Inside ``pinned``: find names as this session does by default, built-in ones first.

    Functions in checks, domains, indexes and generated columns of others may need that.
    """
    session.query("image_resolve")
    yield
    session.query("image_unpin", names=["search_path"], values=[PINNED_PATH])
