"""The journal of one environment, in PostgreSQL: append one entry durably, read it as a stream, verify it.

Moments come from the clock of the server that keeps the journal, so that entries of several machines share one clock;
they never go back, even when that clock does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from okto_change import lifecycle
from okto_change.database import state, turns
from okto_change.database.session import Session
from okto_change.errors import AccessDenied, ConnectionLost, DatabaseError, JournalBroken
from okto_change.journal import chain
from okto_change.model import AuditReport, Entry, Event, EventKind, Timeouts

PAGE = 1_000
"""rows a round trip"""
WAIT = Timeouts(lock=10_000, statement=20_000)
"""how long an append waits for other appenders"""
GUARDS = {"entry_refuse": "UPDATE, DELETE and TRUNCATE", "entry_follow": "every INSERT but the next entry's"}
ANNOUNCING = frozenset(
    {
        EventKind.RUN_STARTED,
        EventKind.STEP_STARTED,
        EventKind.STATEMENT_STARTED,
        EventKind.EDITING,
        EventKind.COMMITTING,
        EventKind.UNDO_STARTED,
        EventKind.UNDO_COMMITTING,
    }
)
"""Events whose effect comes after their entry; the others tell what was seen."""
SEEN = frozenset({EventKind.STATEMENT_DONE, EventKind.CHECK_PASSED, EventKind.IMAGES_KEPT})
"""What they tell was seen inside a transaction whose COMMIT is still to be announced: where one is lost, so is the other"""
TELLING = frozenset({EventKind.CHUNK_STARTED, EventKind.COMMITTED, EventKind.UNDONE})
"""Of a chunk of a batch: what they tell announces no effect, and is found out again where it is lost with the server"""
DENIED = "42501"
"""insufficient_privilege"""
COLUMNS = ("at", "actor", "kind", "run", "change", "environment")


class Journal:
    """The journal behind ``session``, which must be its own: entries are durable while the run's transaction is open.

    ``actor`` is the person in whose name entries are written. ``repo`` is the UUID of the repository whose runs it tells
    of, None for all: several may keep their journal in one table. Needs ``state.ensure_schema``.
    """

    def __init__(self, session: Session, *, actor: str, repo: str | None = None) -> None:
        self._session = session
        self._actor = actor
        self._repo = repo
        self._runs: dict[str, tuple[int, lifecycle.Run]] = {}

    def append(self, event: Event) -> Entry:
        """Write ``event`` as the next entry; on return it is on disk, unless it announces no effect (`waits`).

        Then it is there for every reader, and on disk with the next entry that announces something.

        Raises JournalBroken when it cannot be written, or when the lifecycle has no such arrow: what would be read back
        as an impossible story is never written.
        """
        if self._session.in_transaction:
            raise ValueError("the journal needs a session of its own")
        try:
            try:
                entry, run = self._write(event)
            finally:
                self._session.rollback()
        except DatabaseError as error:
            raise _unwritable(event, error) from error
        self._runs[event.run] = entry.number, run
        return entry

    def entries(
        self, change: str | None = None, environment: str | None = None, run: str | None = None
    ) -> Iterator[Entry]:
        """Yield entries in order, all or those of a change, an environment, a run; at most a page is in memory.

        Only those of its repository, if it is one's. Raises JournalBroken at an entry that cannot be read.
        """
        strangers: set[str] = set()
        for entry in self.every(change=change, environment=environment, run=run):
            if self.stranger(entry.event) is not None:
                strangers.add(entry.event.run)
            if entry.event.run not in strangers:
                yield entry

    def stranger(self, event: Event) -> str | None:
        """Return the UUID of the other repository whose run begins with ``event``; None for ours and for what goes on.

        A run names its repository where it starts, and nowhere else.
        """
        repo = event.data.get("repo")
        return str(repo) if self._repo and repo and repo != self._repo else None

    def every(self, **filters: str | None) -> Iterator[Entry]:
        """Yield entries as ``entries`` does, those of other repositories too."""
        for row in self._rows(**filters):
            try:
                yield chain.read(row)
            except ValueError as error:
                raise JournalBroken(
                    f"entry {row.number} cannot be read: {error}",
                    where=self._session.target,
                    hint="run `okto-change audit verify`",
                ) from error

    def at_work(self, change: str, environment: str) -> str | None:
        """Say which command changes where a change stands right now: process, user, since when; None if none does."""
        held = turns.holder(self._session, change, environment)
        return held[1] if held else None

    def report(
        self, environment: str, *, kept: Iterable[chain.Head] = (), recorded: Mapping[str, str] | None = None
    ) -> AuditReport:
        """Return what verifying the chain, its guards and ``kept`` heads found, with the entries and the head that were read.

        ``recorded`` are the runs that state rows in targets know, each with its place: the journal must tell of them too.
        """
        count, head = 0, None
        untold = dict(recorded or {})

        def counted() -> Iterator[chain.Row]:
            nonlocal count, head
            for row in self._rows():
                count, head = count + 1, str(chain.Head(number=row.number, hash=row.hash))
                untold.pop(str(row.columns["run"]), None)
                yield row

        problems = (*chain.verify(counted(), kept=kept), *self._guards())
        problems += tuple(f"no entry tells of run {run}, which {place} knows" for run, place in sorted(untold.items()))
        return AuditReport(environment=environment, entries=count, head=head, problems=problems)

    # ------------------------------------------------------------------ inside

    def _write(self, event: Event) -> tuple[Entry, lifecycle.Run]:
        """Write ``event`` in a transaction of its own."""
        limits: dict[str, Any] = {"lock": WAIT.lock, "statement": WAIT.statement, "durable": waits(event)}
        known: dict[str, Any] = {"run": event.run}
        found = self._session.together(
            ("journal_begin", limits), ("journal_lock", {}), ("journal_next", known), begin=True
        )
        number, previous, at, last = found[0]
        run = lifecycle.advance(self._known(event.run, last), event, actor=self._actor, at=at)
        entry = chain.compose(number, at, self._actor, event, previous or chain.GENESIS)
        stored = {
            **chain.columns(entry),
            "number": entry.number,
            "content": entry.content.decode("ascii"),
            "previous": entry.previous,
            "hash": entry.hash,
        }
        self._session.together(("journal_append", stored), commit=True)
        return entry, run

    def _known(self, run: str, last: int) -> lifecycle.Run | None:
        """Return the run's state up to entry ``last``: remembered, or replayed when another process wrote of it too."""
        number, known = self._runs.get(run, (0, None))
        if number == last:
            return known
        states = lifecycle.replay(self.entries(run=run)).values()
        return next(found for state in states for found in state.runs)

    def _guards(self) -> Iterator[str]:
        if not state.is_installed(self._session):
            return  # nothing was ever run here, as far as this database can tell
        if not self._there():
            yield "table okto_change.entry is gone: the journal was dropped"
            return
        standing = {name for (name,) in self._session.query("journal_guards")}
        for name, purpose in GUARDS.items():
            if name not in standing:
                yield f"trigger {name} on okto_change.entry, which refuses {purpose}, was dropped, replaced or disabled"

    def _there(self) -> bool:
        return bool(self._session.query("journal_there")[0][0])

    def _rows(self, **filters: str | None) -> Iterator[chain.Row]:
        try:
            yield from self._pages(**filters)
        except DatabaseError as error:
            if error.sqlstate != DENIED:
                raise
            raise AccessDenied(
                f"this role may not read the journal: {error.message}",
                sqlstate=error.sqlstate,
                where=error.where,
                state="nothing was changed",
                hint="run it as the role that runs changes there, the owner of schema okto_change: only that one may read it",
            ) from error

    def _pages(self, **filters: str | None) -> Iterator[chain.Row]:
        if not self._there():
            return
        wanted: dict[str, Any] = {"change": None, "environment": None, "run": None} | filters
        after = 0
        while True:
            page = self._session.query("journal_page", after=after, size=PAGE, **wanted)
            for number, content, previous, hash_, *columns in page:
                yield chain.Row(
                    number=number,
                    content=content.encode(),
                    previous=previous,
                    hash=hash_,
                    columns=dict(zip(COLUMNS, columns, strict=True)),
                )
                after = number
            if len(page) < PAGE:
                return


def waits(event: Event) -> bool:
    """Whether the entry of ``event`` must be on disk before anything else happens.

    Entries stand in one chain, and the server writes what they say in that order: once one is on disk, so are all before.
    """
    return event.kind not in SEEN and not (event.kind in TELLING and "chunk" in event.data)


def _unwritable(event: Event, error: DatabaseError) -> JournalBroken:
    written = "may be" if isinstance(error, ConnectionLost) else "is not"
    effect = "was not done" if event.kind in ANNOUNCING else "has happened"
    return JournalBroken(
        f"the journal cannot be written: {error.message}",
        where=error.where,
        state=f"{event.kind.value!r} of run {event.run} {written} in the journal; what it tells of {effect}, "
        "and what was not committed is rolled back",
        hint=error.hint or "look at the journal's database, then run `okto-change status`",
    )
