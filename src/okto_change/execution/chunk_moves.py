"""How the chunks of a batch go back, and forth again: what is known of them when it begins, and each chunk's own move."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from okto_change.database import chunks
from okto_change.database.chunks import Done, Range, Through
from okto_change.database.composing import Part, compose, identifier
from okto_change.database.session import READ_COMMITTED, Session
from okto_change.errors import Refused
from okto_change.execution.batches import batch_of
from okto_change.execution.images import matching, net, series_back
from okto_change.execution.images.series_back import Known, Moving
from okto_change.execution.units import SqlUnit
from okto_change.model import RowChange, TableWrites

MORE = "and more"
"""the last of the rows named where there are others"""
MOST_TRIED = 50
"""chunks with images as text that a look takes back for a try: each locks its tables until the look ends"""


@dataclass
class Way:
    """The chunks of run ``origin`` by number, their captures by unit key, and the table as it is now, if it is there."""

    origin: str
    unit: str
    done: Mapping[int, Done]
    families: Mapping[str, tuple[int, ...]]
    go: Through | None
    known: Known = field(default_factory=Known)
    texts: frozenset[int] = frozenset()
    """captures that have images as text"""

    def prepare(self, session: Session) -> None:
        """Make the images of single chunks quick to find; in a transaction of its own."""
        captures = self._moved(self.done, back=True)
        self.texts = series_back.texts(session, captures)
        if not captures:
            return
        try:
            session.begin(isolation=READ_COMMITTED)
            series_back.prepare(session, captures)
            session.commit()
        finally:
            session.rollback()

    def numbers(self, *, back: bool) -> list[int]:
        """Return the chunks that stand or of which rows were left, or with ``back`` false those taken back, in order."""
        return [number for number, one in self.done.items() if one.stands == back or (back and one.left)]

    def rests(self, numbers: Iterable[int]) -> list[int]:
        """Return those of these chunks that were taken back but for some rows."""
        return [number for number in numbers if self.done[number].left]

    def native(self, this: SqlUnit) -> bool:
        """Whether all rows of a chunk may go back at once: it has native images, as far as ``prepare`` has seen."""
        family = self.families.get(this.key, ())
        return self.go is not None and bool(family) and self.texts.isdisjoint(family)

    def move(self, session: Session, this: SqlUnit, name: str, *, back: bool) -> bool:
        """Take a chunk back, or with ``back`` false forth, from native images; False where that does not fit: nothing done."""
        if this.chunk is None or self.go is None or this.key not in self.families:
            return False
        if not back and len(self.done[this.chunk].undos) > 1:
            return False  # taken back in parts, and so row by row
        one, captures = self.done[this.chunk], self._moved([this.chunk], back=back)
        moving = Moving(
            origin=captures[0],
            captures=tuple(captures),
            table=self.go.oid,
            inside=chunks.inside(self.go, one.range, identifier("t", batch_of(this).key)),
            rows=one.imaged,
        )
        return series_back.move(session, self.known, moving, name, this.key)

    # -------------------------------------------------------------------------- looking

    def faults(self, session: Session, numbers: Sequence[int], *, back: bool) -> list[str]:
        """Name the rows in the way of the chunks that have native images, each with its chunk; a hundred at most."""
        text = set(self.others(session, numbers))
        captures = self._moved([number for number in numbers if number not in text], back=back)
        if not captures:
            return []
        found = series_back.faults(session, captures, matching.NAMED + 1, self._inside(numbers))
        owner = {found[0]: key.rpartition("/")[2] for key, found in self.families.items()}
        lines = [f"chunk {int(owner.get(source, 0)):,}: {line}" for source, line in found[: matching.NAMED]]
        return [*lines, *([MORE] if len(found) > matching.NAMED else [])]

    def _inside(self, numbers: Sequence[int]) -> dict[int, Part]:
        """Return, for the batch's own table, the condition that row ``t`` lies between the first of the chunks and the last."""
        if self.go is None:
            return {}
        ends = [self.done[number].range for number in (min(numbers), max(numbers))]
        whole = Range(first=ends[0].first, last=ends[1].last)
        return {self.go.oid: chunks.inside(self.go, whole, compose("t.{key}", key=self.go.key))}

    def others(self, session: Session, numbers: Sequence[int]) -> list[int]:
        """Return the chunks among these that have images as text."""
        text = series_back.texts(session, self._moved(numbers, back=True))
        return [number for number in numbers if not text.isdisjoint(self.families.get(self._key(number), ()))]

    def writes(self, session: Session, numbers: Sequence[int], *, back: bool) -> tuple[TableWrites, ...]:
        """Return what moving these chunks writes, by table."""
        rows = chunks.written(session, self.origin, self.unit, numbers)
        return tuple(
            TableWrites(
                table=table,
                inserted=deleted if back else inserted,
                updated=updated,
                deleted=inserted if back else deleted,
                imaged=imaged,
                declared=True,
            )
            for table, (inserted, updated, deleted, imaged) in rows.items()
        )

    def sample(self, session: Session, numbers: Sequence[int], *, back: bool) -> tuple[RowChange, ...]:
        """Return some rows of the chunk that goes first and has any, as they would change."""
        for number in reversed(numbers) if back else numbers:
            if self.done[number].imaged:
                found = net.sample_of(session, self.families[self._key(number)][0])
                return tuple(_turned(row) for row in found) if back else found
        return ()

    def _key(self, number: int) -> str:
        return f"{self.unit}/{number}"

    def _moved(self, numbers: Iterable[int], *, back: bool) -> list[int]:
        """Return the captures that are taken back: all that make up what stands of a chunk, or the last undo of it."""
        families = [self.families.get(self._key(number), ()) for number in numbers]
        return [capture for family in families for capture in (family if back else family[-1:])]


def _turned(row: RowChange) -> RowChange:
    columns = {name: (new, old) for name, (old, new) in row.columns.items()}
    return replace(row, columns=columns, before=row.after, after=row.before)


def find(session: Session, unit: SqlUnit, origin: str) -> Way:
    """Return what is known of the chunks of a run."""
    number = str(unit.number)
    done = chunks.done(session, origin, number)
    families = series_back.families(session, origin, [f"{number}/{chunk}" for chunk in done])
    try:
        go: Through | None = chunks.through(session, batch_of(unit))
    except Refused:
        go = None  # the images say that the table is gone, and what that means
    return Way(origin=origin, unit=number, done=done, families=families, go=go)
