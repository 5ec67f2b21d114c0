"""Ctrl-C, SIGTERM and SIGHUP while something changes: raised where a rollback answers them, held back everywhere else.

An entry, a COMMIT or a file swap that is torn apart would leave something that nobody can tell. So a signal only raises
KeyboardInterrupt in the ``allowed`` places, where statements run or wait inside an open transaction; elsewhere it waits
for the next such place, and ``held`` is told. A second signal that finds the first one waiting raises at once, wherever
that is, and so does each one after it: what answers the second may wait for the same server that answers nobody.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupts:
    """The state of this process: signals have no other owner."""

    def __init__(self) -> None:
        self._open = False
        self._waiting: str | None = None
        self._urgent = False
        self._held: Callable[[str], None] = _nobody

    @contextmanager
    def listening(self, held: Callable[[str], None] | None = None) -> Iterator[None]:
        """Take the signals over for the body; does nothing outside the main thread, where Python delivers none.

        ``held`` is called, from the signal handler, with the name of a signal that has to wait.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._held = held or _nobody
        before = [(number, signal.signal(number, self._arrived)) for number in SIGNALS]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            self._open, self._waiting, self._urgent = False, None, False
            self._held = _nobody

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let signals raise KeyboardInterrupt in the body, one that waited already at its start."""
        self._open = True
        try:
            if self._waiting is not None:
                self._raise(self._waiting)
            yield
        finally:
            self._open = False

    def _arrived(self, number: int, _frame: object) -> None:
        name = signal.Signals(number).name
        self._urgent = self._urgent or self._waiting is not None
        if self._open or self._urgent:
            self._raise(name)
        self._waiting = name
        self._held(name)

    def _raise(self, name: str) -> None:
        self._open, self._waiting = False, None
        raise KeyboardInterrupt(name)


def _nobody(_name: str) -> None:
    """Tell nobody."""


_interrupts = _Interrupts()
listening = _interrupts.listening
allowed = _interrupts.allowed
