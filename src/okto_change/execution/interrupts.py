"""Ctrl-C, SIGTERM and SIGHUP while something changes: raised where a rollback answers them, held back everywhere else.

An entry, a COMMIT or a file swap that is torn apart would leave something that nobody can tell. So a signal only raises
KeyboardInterrupt in the ``allowed`` places, where statements run or wait inside an open transaction; elsewhere it waits
for the next such place. A second signal that finds the first one waiting raises at once, wherever that is.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupts:
    """The state of this process: signals have no other owner."""

    def __init__(self) -> None:
        self._open = False
        self._waiting: str | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over for the body; does nothing outside the main thread, where Python delivers none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [(number, signal.signal(number, self._arrived)) for number in SIGNALS]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            self._open, self._waiting = False, None

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
        if self._open or self._waiting is not None:
            self._raise(name)
        self._waiting = name

    def _raise(self, name: str) -> None:
        self._open, self._waiting = False, None
        raise KeyboardInterrupt(name)


_interrupts = _Interrupts()
listening = _interrupts.listening
allowed = _interrupts.allowed
