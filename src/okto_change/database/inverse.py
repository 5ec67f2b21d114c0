"""The catalogue object by object, for what puts an inverse together: every name and expression quoted by the server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from okto_change.database import facts
from okto_change.database.session import Session
from okto_change.model.base import type_

MANY = 500
"""sequences that one query looks at"""


@type_
class Record:
    """One object. ``id`` is class, oid and column number; ``parent`` the id of what it goes with, '' if it stands alone.

    ``object`` names it for people, ``word`` and ``ref`` for SQL, quoted. ``facets`` are its parts, JSON values.
    """

    id: str
    kind: str
    object: str
    word: str
    ref: str
    parent: str
    facets: Mapping[str, Any]

    def get(self, facet: str) -> Any:
        """Return a part, None if this kind of object has none of it."""
        return self.facets.get(facet)


Catalogue = Mapping[str, Record]


def read(session: Session) -> Catalogue:
    """Return every object but the system's and ours by id, as the open transaction sees it; sequences with their state."""
    with facts.empty_search_path(session):
        rows = session.query("inverse_catalogue")
    states = _states(session, {row[0]: row[4] for row in rows if row[1] == "sequence" and row[6]["readable"]})
    return {
        key: Record(
            id=key,
            kind=kind,
            object=name,
            word=word,
            ref=ref,
            parent=parent,
            facets={**parts, "state": states[key]} if key in states else parts,
        )
        for key, kind, name, word, ref, parent, parts in rows
    }


def _states(session: Session, sequences: Mapping[str, str]) -> dict[str, tuple[str | None, ...]]:
    """Return last value and whether it was called, as text, by id."""
    found: dict[str, tuple[str | None, ...]] = {}
    items = sorted(sequences.items())
    for start in range(0, len(items), MANY):
        queries = [f"SELECT '{key}', last_value, is_called FROM {ref}" for key, ref in items[start : start + MANY]]  # noqa: S608
        found |= {str(row[0]): row[1:] for row in session.texts(" UNION ALL ".join(queries))[1]}
    return found


@contextmanager
def settled(session: Session) -> Iterator[None]:
    """Run the body under the settings that inverse statements were made for; those of before come back afterwards."""
    former = {name: value for name, value, _ in session.query("inverse_settings")}
    yield
    session.query("inverse_settings_back", names=list(former), values=list(former.values()))


# ------------------------------------------------------------------------------------ what is kept for a rollback


def turn(session: Session) -> None:
    """Let the server take note of the DDL so far; to be called before DDL is tried in a savepoint."""
    session.query("inverse_turn")


@type_
class Line:
    """One line of an inverse: a ``lock``, a ``demand`` (a query that must count 0, ``message`` says of what), a ``statement``."""

    kind: str
    text: str
    message: str = ""


@type_
class Fingerprint:
    """An object that a run touched: sha256 of its definition before and after, None where it was not there."""

    object: str
    before: str | None
    after: str | None


def keep(session: Session, run: str, unit: str, lines: Iterable[Line], fingerprints: Iterable[Fingerprint]) -> None:
    """Write an inverse down in the transaction of the change itself."""
    lines, fingerprints = tuple(lines), tuple(fingerprints)
    session.query(
        "inverse_keep",
        run=run,
        unit=unit,
        kinds=[line.kind for line in lines],
        texts=[line.text for line in lines],
        messages=[line.message for line in lines],
    )
    session.query(
        "inverse_keep_definitions",
        run=run,
        unit=unit,
        objects=[item.object for item in fingerprints],
        before=[item.before for item in fingerprints],
        after=[item.after for item in fingerprints],
    )


def kept(session: Session, run: str, unit: str) -> tuple[tuple[Line, ...], tuple[Fingerprint, ...]]:
    """Return the inverse of one unit of a run, and the objects that it touched."""
    lines = session.query("inverse_kept", run=run, unit=unit)
    touched = session.query("inverse_kept_definitions", run=run, unit=unit)
    return (
        tuple(Line(kind=kind, text=text, message=message) for kind, text, message in lines),
        tuple(Fingerprint(object=name, before=before, after=after) for name, before, after in touched),
    )


def names_aside(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """Return, by id, quoted names for objects that are put aside; the schema for tables is there afterwards."""
    session.query("inverse_trash")
    return dict(session.query("inverse_trash_names", ids=sorted(ids)))


@type_
class Aside:
    """Something that lies aside: by which run of which change, what it was and where it is, its size, what drops it for good."""

    change: str
    run: str
    object: str
    place: str
    at: datetime
    bytes: int | None
    statement: str


def aside(session: Session, environment: str) -> tuple[Aside, ...]:
    """Return what runs of an environment put aside and what still lies there, oldest first."""
    if not session.query("inverse_trash_there")[0][0]:
        return ()
    names = ("change", "run", "object", "place", "at", "bytes", "statement")
    rows = session.query("inverse_trash_list", environment=environment)
    return tuple(Aside(**dict(zip(names, row, strict=True))) for row in rows)


def keep_aside(session: Session, run: str, unit: str, places: Iterable[tuple[str, str]]) -> None:
    """Write down what was put aside: what it was and where it is now."""
    pairs = sorted(places)
    session.query(
        "inverse_trash_keep",
        run=run,
        unit=unit,
        objects=[one for one, _ in pairs],
        places=[other for _, other in pairs],
    )
