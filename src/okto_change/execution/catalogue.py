"""Did an undo bring the definitions back, and the rows that DDL moved? Compared in the rehearsal's own transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from okto_change.database import accounting, facts
from okto_change.database.facts import Place
from okto_change.database.session import Session
from okto_change.execution.images import Capture, net
from okto_change.execution.units import SqlUnit
from okto_change.model import StatementKind, UndoProof

NAMED = 10
"""differences that a reason names"""
UNSEEN = frozenset({StatementKind.DDL, StatementKind.REFRESH, StatementKind.OTHER})
"""Statements that may change definitions or materialized views, which images of rows do not show."""


@dataclass(frozen=True)
class Before:
    """What a target was like before the plan ran: every object's sha256, where rows lie, and what the compared tables hold."""

    objects: Mapping[str, str]
    places: Mapping[str, Place]
    contents: Mapping[str, tuple[int, str]]


class NotCompared(Exception):
    """DDL moved rows that were not read before, or numbers of sequences that others could draw: try again with them."""

    def __init__(self, target: str, tables: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(tables)))
        self.target = target
        self.tables = tables
        """names of tables, and of sequences as ``sequence NAME``"""


def concerns(units: Iterable[SqlUnit]) -> bool:
    """Whether any of these units may change definitions, or is undone by a script, which may do anything."""
    return any(unit.scripts or any(s.kind in UNSEEN for s in unit.statements) for unit in units)


def look(session: Session, compared: Iterable[str]) -> Before:
    """Read what the open transaction sees now; rows only of the ``compared`` tables."""
    places = facts.places(session)
    contents = {name: facts.contents(session, places[name]) for name in compared if name in places}
    return Before(objects=facts.fingerprint(session), places=places, contents=contents)


def demand_compared(session: Session, target: str, before: Before, *, scripts: bool) -> None:
    """Raise NotCompared for tables that are dropped, rewritten or lost a column, and were not read before.

    Where ``scripts`` of the author's undo the change, also for those that were renamed or have other columns now.
    """
    moved = (_altered if scripts else _rewritten)(before.places, facts.places(session))
    if tables := frozenset(moved - before.contents.keys()):
        raise NotCompared(target, tables)


def demand_views_compared(session: Session, target: str, before: Before, captures: Iterable[Capture]) -> None:
    """Raise NotCompared for materialized views that were refreshed, and were not read before: they may have been out of date."""
    kept = session.query("image_kept_shapes", captures=[capture.id for capture in captures])
    views = {f"{shape['schema']}.{shape['name']}" for _, shape in kept if shape["kind"] == "m"}
    if unread := frozenset((views & before.places.keys()) - before.contents.keys()):
        raise NotCompared(target, unread)


def _altered(before: Mapping[str, Place], now: Mapping[str, Place]) -> set[str]:
    return {name for name, place in before.items() if name not in now or now[name].identity != place.identity}


def _rewritten(before: Mapping[str, Place], now: Mapping[str, Place]) -> set[str]:
    left = {place.storage: place.numbers for place in now.values()}
    return {
        name for name, place in before.items() if place.storage not in left or not place.numbers <= left[place.storage]
    }


def prove(session: Session, before: Before, proof: UndoProof) -> UndoProof:
    """Return ``proof`` if everything is as it was, else why it is none."""
    found = differences(session, before)
    if not found:
        return proof
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return UndoProof(
        proven=False,
        rows=proof.rows,
        identical=proof.identical,
        reason=f"the undo leaves the database different: {'; '.join(found[:NAMED])}{more}",
    )


def decides(session: Session, before: Before, capture: Capture) -> bool:
    """Whether images disagree only about tables that are compared as a whole: their rows had another shape in between."""
    left = [standing.relid for standing in net.standing(session, net.family(session, capture.id))]
    return set(accounting.names(session, left).values()) <= before.contents.keys()


def differences(session: Session, before: Before) -> tuple[str, ...]:
    """Name every object and compared table that is not as it was."""
    now = facts.fingerprint(session)
    gone = [f"{name} is gone" for name in sorted(before.objects.keys() - now.keys())]
    left = [f"{name} was left behind" for name in sorted(now.keys() - before.objects.keys())]
    both = sorted(now.keys() & before.objects.keys())
    other = [f"{name} is not as it was" for name in both if now[name] != before.objects[name]]
    return (*left, *gone, *other, *_rows(session, before))


def altered(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Return every object that differs, with the sha256 of what defined it before; None where it was not there. Pure."""
    names = sorted(before.keys() | after.keys())
    return {name: before.get(name) for name in names if before.get(name) != after.get(name)}


def unlike(kept: Mapping[str, str | None], found: Mapping[str, str], left: Mapping[str, str]) -> tuple[str, ...]:
    """Say where an undo script does not bring definitions back. Pure.

    ``kept`` is what the run altered, ``found`` all definitions before the script, ``left`` after it: what the run altered
    must be as before the run, everything else as the script found it.
    """
    wanted = dict(found) | {name: old for name, old in kept.items() if old is not None}
    for name in (name for name, old in kept.items() if old is None):
        wanted.pop(name, None)
    gone = [f"{name} would not be there again" for name in sorted(wanted.keys() - left.keys())]
    behind = [f"{name} would be left behind" for name in sorted(left.keys() - wanted.keys())]
    both = sorted(left.keys() & wanted.keys())
    other = [f"{name} would not be as it was" for name in both if left[name] != wanted[name]]
    return (*behind, *gone, *other)


def _rows(session: Session, before: Before) -> Iterable[str]:
    now = facts.places(session)
    for name, (count, total) in sorted(before.contents.items()):
        place = before.places[name]
        if name not in now or not set(place.columns) <= set(now[name].columns):
            continue  # the table or a column is gone, which is told already
        found, again = facts.contents(session, place)
        if found != count:
            yield f"{name} has {found} rows, it had {count}"
        elif again != total:
            yield f"rows of {name} have other values than before"
