"""Pure work done in a process of its own: it imports the SQL parser while this one imports the rest and asks git.

The process is a fork from before anything was opened; it hears values, computes, and tells values. Whatever goes wrong
there, an error of the author's included, the work is done again here, where the error is raised.
"""

from __future__ import annotations

import os
import pickle  # only between this process and its own fork
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from typing import BinaryIO, NoReturn, TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

COMPILING = (
    "okto_change.approval.schema",
    "okto_change.analysis.tree",
    "okto_change.analysis.examine",
    "okto_change.plan.compile",
    "okto_change.plan.render",
    "okto_change.plan.read",
    "okto_change.pipeline.compiling",
)
"""what judging a policy, compiling and analysing import, down to the parsers of YAML and SQL"""


_ENDING: list[int] = []
"""processes that were killed; their memory is given back while we go on, or leave"""


class Apart:
    """A process that does what it is asked until it is closed. To be begun before threads are, and before files are opened."""

    def __init__(self) -> None:
        _reap()
        heard, self_asks = os.pipe()
        self_hears, tells = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self_asks)
            os.close(self_hears)
            _serve(heard, tells)
        os.close(heard)
        os.close(tells)
        self._ask, self._hear = os.fdopen(self_asks, "wb"), os.fdopen(self_hears, "rb")

    def call(self, work: Callable[[*Ts], T], *given: *Ts) -> T:
        """Return what ``work``, a pure function of a module, returns; raises what it raises."""
        if not self._ask.closed:
            try:
                pickle.dump((work, given), self._ask)
                self._ask.flush()
                fine, result = pickle.load(self._hear)  # noqa: S301
            except (OSError, EOFError, pickle.PickleError, TypeError, AttributeError):
                self.close()
            else:
                if fine:
                    found: T = result
                    return found
        return work(*given)

    def prepare(self, modules: Iterable[str]) -> None:
        """Have it import modules that it will need; nobody waits for it."""
        with suppress(OSError, ValueError):
            pickle.dump((None, tuple(modules)), self._ask)
            self._ask.flush()

    def close(self) -> None:
        """End the process, without waiting until it is gone; what is asked from now on is done here."""
        if self._ask.closed:
            return
        for stream in (self._ask, self._hear):
            with suppress(OSError):
                stream.close()
        with suppress(OSError):
            os.kill(self._process, signal.SIGKILL)
        _ENDING.append(self._process)


def _reap() -> None:
    """Take leave of those that are gone by now."""
    for process in tuple(_ENDING):
        with suppress(ChildProcessError):
            if os.waitpid(process, os.WNOHANG) == (0, 0):
                continue
        _ENDING.remove(process)


def _serve(heard: int, tells: int) -> NoReturn:
    """Do what is asked until nobody can ask any more; nothing of ours reaches the terminal or outlives the asker."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        for module in COMPILING:
            import_module(module)
        with os.fdopen(heard, "rb") as asked, os.fdopen(tells, "wb") as told:
            while True:
                _answer(asked, told)
    finally:
        os._exit(0)


def _answer(asked: BinaryIO, told: BinaryIO) -> None:
    work, given = pickle.load(asked)  # noqa: S301
    if work is None:
        with suppress(Exception):
            for module in given:
                import_module(module)
        return
    try:
        answer = pickle.dumps((True, work(*given)))
    except Exception:
        answer = pickle.dumps((False, None))
    told.write(answer)
    told.flush()
