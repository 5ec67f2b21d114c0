"""Entries written in the order of their events, those about a chunk of a batch while the run goes on.

An effect still waits for its announcement: the desk leaves in the job what a COMMIT has to wait for, and ``transactions.commit``
waits for it. Whatever is not about a chunk is on disk before the run goes on at all.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from okto_change.errors import JournalBroken
from okto_change.execution.job import Announced
from okto_change.journal.store import Journal
from okto_change.model import Entry, Event, EventKind

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

HANDED_OVER = frozenset(
    {
        EventKind.CHUNK_STARTED,
        EventKind.COMMITTING,
        EventKind.COMMITTED,
        EventKind.UNDO_COMMITTING,
        EventKind.UNDONE,
    }
)
"""What is written by the side, where it is about a chunk"""


class Unwritten(BaseException):
    """Raised where a COMMIT would come next: nothing of the run may answer it, as nothing may when ``write`` fails."""

    def __init__(self, error: JournalBroken) -> None:
        super().__init__(error.message)
        self.error = error


class Desk:
    """One writer beside the run. What it could not write, the next event raises as JournalBroken, a COMMIT as Unwritten."""

    def __init__(self, journal: Journal, announced: Announced) -> None:
        self._journal = journal
        self._announced = announced
        self._writer: ThreadPoolExecutor | None = None
        self._under_way: list[Future[Entry]] = []

    def write(self, event: Event) -> None:
        """Write an entry; on return it is in the journal, or its effect will wait until it is. Raises JournalBroken."""
        if event.kind in HANDED_OVER and "chunk" in event.data:
            self._hand_over(event)
            return
        self.wait()
        self._journal.append(event)

    def wait(self) -> None:
        """Return when everything handed over is in the journal; raise JournalBroken where it cannot be."""
        while self._under_way:
            self._under_way.pop(0).result()

    def _demand(self) -> None:
        try:
            self.wait()
        except JournalBroken as error:
            raise Unwritten(error) from error

    def _hand_over(self, event: Event) -> None:
        if self._writer is None:
            from concurrent.futures import ThreadPoolExecutor  # 15 ms that most runs need not spend

            self._writer = ThreadPoolExecutor(1, "journal")
        while self._under_way and self._under_way[0].done():
            self._under_way.pop(0).result()
        self._under_way.append(self._writer.submit(self._journal.append, event))
        self._announced.wait = self._demand

    def __enter__(self) -> Desk:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.shutdown()
