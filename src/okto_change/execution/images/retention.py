"""Taking images away after their time: their number and a digest stay, in the transaction that takes the rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from okto_change.database.composing import compose, identifier, literal
from okto_change.database.session import Session
from okto_change.errors import NotReversible
from okto_change.execution.images.pins import pinned
from okto_change.model.base import type_

OUR = "okto_change"


@type_
class Family:
    """The captures of a run's unit and of everything that took it back. ``runs`` are all runs that took part."""

    origin: str
    captures: tuple[int, ...]
    runs: tuple[str, ...]


@type_
class Remains:
    """What is left of some images: whose they were, of what, how many, and their digest."""

    origin: str
    run: str
    unit: str
    object: str
    part: str
    rows: int
    digest: str


def limit(session: Session, keep: int) -> tuple[datetime, datetime]:
    """Return the server's time, and the moment before which images are too old, ``keep`` seconds earlier."""
    now, before = session.query("retention_now", keep=keep)[0]
    return now, before


def families(session: Session, before: datetime) -> tuple[Family, ...]:
    """Return the families that have images and saw nothing since ``before``, oldest first."""
    rows = session.query("retention_families", before=before)
    return tuple(Family(origin=run, captures=tuple(captures), runs=tuple(runs)) for run, captures, runs in rows)


def edits(session: Session, before: datetime) -> tuple[str, ...]:
    """Return the runs whose images of config edits are older than ``before``; they lie beside the journal."""
    return tuple(row[0] for row in session.query("retention_edits", before=before))


def take_away(session: Session, family: Family) -> tuple[Remains, ...]:
    """Remove every image of a family inside the open transaction; return what stays of them. Holds no row in memory."""
    captures = list(family.captures)
    with pinned(session):
        found = [
            (c, relid, "text", n, digest) for c, relid, n, digest in session.query("retention_texts", captures=captures)
        ]
        for name, capture, relid, part, shared in session.query("retention_natives", captures=captures):
            found.append((capture, relid, part, *_native(session, name, capture if shared else None)))
            gone = "DELETE FROM {name} AS t WHERE t.c0 = {source}" if shared else "DROP TABLE {name}"
            session.execute(compose(gone, name=identifier(OUR, name), source=literal(capture)))
        homes = [row[0] for row in session.query("retention_homes", captures=captures)]
        session.query("retention_remove", captures=captures)
        for (name,) in session.query("retention_empty", homes=homes):
            session.execute(compose("DROP TABLE {name}", name=identifier(OUR, name)))
    return tuple(
        _remains(family.origin, row)
        for capture, relid, part, rows, digest in found
        for row in session.query(
            "retention_note",
            target=session.target,
            origin=family.origin,
            capture=capture,
            relid=relid,
            part=part,
            rows=rows,
            digest=digest,
        )
    )


def _native(session: Session, name: str, source: int | None) -> tuple[int, str]:
    """Return count and digest of a table's rows; those of ``source`` where several chunks share it."""
    own = compose("true") if source is None else compose("t.c0 = {source}", source=literal(source))
    rows: Sequence[tuple[int, str]] = session.execute(
        compose(
            """SELECT pg_catalog.count(*),
                      'sha256:' || pg_catalog.encode(
                          pg_catalog.sha256(coalesce(pg_catalog.string_agg(h.one, ''::bytea ORDER BY h.one), '')), 'hex')
                 FROM (SELECT pg_catalog.sha256(pg_catalog.convert_to(t::text, 'UTF8')) AS one
                         FROM {name} AS t WHERE {own}) AS h""",
            name=identifier(OUR, name),
            own=own,
        )
    )
    return rows[0]


def take_away_edits(session: Session, run: str) -> tuple[Remains, ...]:
    """Remove the images of a run's config edits; their digests are those that the journal has."""
    return tuple(_remains(run, row) for row in session.query("retention_remove_edits", target=session.target, run=run))


def purged(session: Session) -> Iterable[Remains]:
    """Return what stays of all images that were taken away under the name of this target."""
    return (_remains(origin, row) for origin, *row in session.query("retention_purged", target=session.target))


def demand_kept(session: Session, run: str, unit: str) -> None:
    """Raise NotReversible, with the date, when the images of a unit were taken away."""
    for (at,) in session.query("retention_purged_at", run=run, unit=unit):
        raise NotReversible(
            f"the images of run {run} were purged on {at:%Y-%m-%d}: there is nothing to put back",
            where=session.target,
            state="the change stands; nothing was undone",
            hint="write a new change that puts things right",
        )


def _remains(origin: str, row: Sequence[object]) -> Remains:
    names = ("run", "unit", "object", "part", "rows", "digest")
    return Remains(origin=origin, **dict(zip(names, row, strict=True)))  # type: ignore[arg-type]
