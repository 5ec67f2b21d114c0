"""Sessions of ours to the test's database, closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from okto_change.database.session import Session, connect

Open = Callable[[], Session]


@pytest.fixture
def open_session(database: str) -> Iterator[Open]:
    """Return a function that opens one more session to the fresh database."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(connect("ledger", database))


@pytest.fixture
def session(open_session: Open) -> Session:
    """Return one session to the fresh database."""
    return open_session()
