"""The open ends of a run: one session a database target, one store a config target, opened when first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from threading import Thread
from typing import TYPE_CHECKING

from okto_change.database.composing import compose, identifier
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, OktoError, UsageError

if TYPE_CHECKING:
    from okto_change.config.store import FileStore


class _Connecting:
    """A connection that is being made while somebody does something else."""

    def __init__(self, opener: Callable[[], Session]) -> None:
        self._opener = opener
        self._made: Session | None = None
        self._error: BaseException | None = None
        self._thread = Thread(target=self._connect)
        self._thread.start()

    @property
    def session(self) -> Session | None:
        """Wait for it; None if it failed."""
        self._thread.join()
        return self._made

    def result(self) -> Session:
        """Wait for it; raise what went wrong."""
        made = self.session
        if made is None:
            assert self._error is not None
            raise self._error
        return made

    def _connect(self) -> None:
        try:
            self._made = self._opener()
        except BaseException as error:
            self._error = error


class Targets:
    """Sessions and stores by target name. ``openers`` connect and demand the right database; they may raise ConnectionFailed."""

    def __init__(self, openers: Mapping[str, Callable[[], Session]], stores: Mapping[str, FileStore]) -> None:
        self._openers = openers
        self._stores = stores
        self._sessions: dict[str, Session] = {}
        self._begun: dict[str, _Connecting] = {}

    def begin(self, targets: Iterable[str]) -> None:
        """Begin to connect to the database targets among ``targets``; what goes wrong is told by ``session``."""
        for target in self._openers.keys() & set(targets):
            self._begun[target] = _Connecting(self._openers[target])

    def session(self, target: str) -> Session:
        """Return the session of a database target, connecting on first use and again when the connection is gone."""
        if target not in self._openers:
            raise UsageError(f"{target} is no database target of this environment", where=target)
        if target in self._begun:
            self._sessions[target] = self._begun.pop(target).result()
        if target not in self._sessions or self._sessions[target].closed:
            self._sessions[target] = self._openers[target]()
        return self._sessions[target]

    def ready(self, target: str) -> Session:
        """Return the session of ``target`` outside a transaction, after a look whether it still answers; else connect anew.

        What the author's statements prepared outlives a transaction that was rolled back; it is forgotten.
        """
        session = self.session(target)
        try:
            for (name,) in session.query("session_prepared"):
                session.execute(compose("DEALLOCATE {name}", name=identifier(name)))
        except ConnectionLost:
            return self.fresh(target)
        return session

    def fresh(self, target: str) -> Session:
        """Drop the session of ``target``, whatever its condition, and connect anew."""
        old = self._sessions.pop(target, None)
        if old is not None:
            old.close()
        return self.session(target)

    def store(self, target: str) -> FileStore:
        """Return the store of a config target."""
        if target not in self._stores:
            raise UsageError(f"{target} is no config target of this environment", where=target)
        return self._stores[target]

    def rollback(self) -> tuple[str, ...]:
        """Roll back whatever is open; return a line for each target where that could not be said to the server."""
        problems = []
        for target, session in self._sessions.items():
            try:
                session.rollback()
            except OktoError as error:
                problems.append(f"{target}: {error.message}")
        return tuple(problems)

    def close(self) -> None:
        """Close every session; open transactions are rolled back by the server."""
        for session in (*self._sessions.values(), *(one.session for one in self._begun.values())):
            if session is not None:
                session.close()
        self._sessions.clear()
        self._begun.clear()

    def __enter__(self) -> Targets:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
