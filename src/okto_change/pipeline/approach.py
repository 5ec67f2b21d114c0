"""Connections that are made while the change is still compiled: to the journal, and to the only database there is.

They are only looked through until they are taken. What goes wrong is told by whoever takes one; those that nobody took
are closed, also when they come about later.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock, Thread
from typing import TYPE_CHECKING

from okto_change.approval.rulebook import Environment, PostgresTarget

if TYPE_CHECKING:
    from okto_change.database.session import Session


class _Reaching:
    """One connection that is being made; nobody waits for it unless it is taken."""

    def __init__(self, target: PostgresTarget, environ: Mapping[str, str]) -> None:
        self._target, self._environ = target, environ
        self._made: Session | None = None
        self._error: BaseException | None = None
        self._unwanted = False
        self._lock = Lock()
        self._thread = Thread(target=self._reach, daemon=True)
        self._thread.start()

    def take(self) -> Session:
        """Wait for it; raise what went wrong."""
        self._thread.join()
        if self._made is None:
            assert self._error is not None
            raise self._error
        return self._made

    def drop(self) -> None:
        """Close it as soon as it is there."""
        with self._lock:
            self._unwanted = True
            if self._made is not None:
                self._made.close()

    def _reach(self) -> None:
        try:
            from okto_change.pipeline import connections

            made = connections.reach(self._target, self._environ)
        except BaseException as error:
            self._error = error
            return
        with self._lock:
            self._made = made
            if self._unwanted:
                made.close()


class Approach:
    """The connections that a run in ``environment`` needs for sure, or nearly so."""

    def __init__(self, environment: Environment, environ: Mapping[str, str]) -> None:
        databases = {name: one for name, one in environment.targets.items() if isinstance(one, PostgresTarget)}
        wanted = [environment.journal, *(databases if len(databases) == 1 else ())]
        self._begun: dict[str, list[_Reaching]] = {name: [] for name in databases}
        for name in wanted:
            if name in databases:
                self._begun[name].append(_Reaching(databases[name], environ))

    def take(self, name: str) -> Session | None:
        """Return a connection to the target ``name``, None if none was begun that nobody has taken yet.

        Raises what went wrong with it: ConnectionFailed, Refused.
        """
        try:
            reaching = self._begun.get(name, []).pop()  # at once, since two threads may ask
        except IndexError:
            return None
        return reaching.take()

    def __enter__(self) -> Approach:
        return self

    def __exit__(self, *_: object) -> None:
        for begun in self._begun.values():
            while begun:
                begun.pop().drop()
