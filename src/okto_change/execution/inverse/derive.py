"""Finding the way back by walking it: statements are tried in a savepoint until the catalogue is as it was before.

What the server takes is kept, in its order; then everything is rolled back to where the change had left it.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from okto_change.database import facts
from okto_change.database.inverse import Catalogue, Fingerprint, Line, Record, read, settled, turn
from okto_change.database.session import Session
from okto_change.errors import DatabaseError, NotReversible
from okto_change.execution import catalogue
from okto_change.execution.inverse import making
from okto_change.execution.inverse.candidates import Guard, guards, stages
from okto_change.execution.inverse.differences import Difference, difference
from okto_change.execution.inverse.facets import Texts

ROUNDS = 100
PASSING = {"55P03", "40001", "40P01", "57014"}
"""errors that say nothing about the statement: locks, deadlocks, timeouts"""
HINT = 'give the step an undo script, or `undo: {irreversible: "reason"}` that the approver signs'


def derive(
    session: Session, before: Catalogue, was: catalogue.Before, held: Container[str] = ()
) -> tuple[tuple[Line, ...], tuple[Fingerprint, ...]]:
    """Return what takes the open transaction's definitions back to ``before``, and the objects that it touched.

    ``held`` are the ids of the sequences that nobody else drew from since ``before`` was read. Nothing stays of trying it.
    Raises NotReversible naming what has no inverse, catalogue.NotCompared, DatabaseError.
    """
    catalogue.demand_compared(session, session.target, was, scripts=False)
    now = facts.fingerprint(session)
    with settled(session):
        objects = read(session)
        _demand_held(session, before, objects, held)
        first = difference(before, objects)
        demands = [line for guard in guards(first, before, objects) for line in _lines(session, guard)]
        _demand_none(session, demands)
    turn(session)
    session.run("SAVEPOINT okto_change_inverse")
    try:
        with settled(session):
            statements = unwind(session, before)
        left = catalogue.differences(session, was)
    finally:
        session.run("ROLLBACK TO SAVEPOINT okto_change_inverse; RELEASE SAVEPOINT okto_change_inverse")
    if left:
        raise _irreversible([f"after taking it back in a trial: {line}" for line in left])
    lines = [Line(kind="statement", text=text) for text in statements]
    return (*dict.fromkeys(demands), *lines), _touched(was.objects, now)


def _demand_held(session: Session, before: Catalogue, now: Catalogue, held: Container[str]) -> None:
    """Where a sequence is set back to is known only if nobody drew from it between reading it and setting or dropping it."""
    loose = (record for key, record in before.items() if record.kind == "sequence" and key not in held)
    moved = [one.object for one in loose if one.id not in now or now[one.id].get("filenode") != one.get("filenode")]
    if moved:
        raise catalogue.NotCompared(session.target, frozenset(moved))


def unwind(session: Session, before: Catalogue) -> list[str]:
    """Run statements until the catalogue is as in ``before``; return them. Raises NotReversible when nothing helps any more."""
    done: list[str] = []
    refused: list[str] = []
    for _ in range(ROUNDS):
        left = difference(before, read(session))
        if not left:
            return done
        taken, refused = _round(session, stages(left))
        taken = taken or _out_of_the_way(session, left)
        if not taken:
            raise _irreversible((*_named(left), *refused))
        done += taken
    raise _irreversible(refused)


def _named(left: Difference) -> tuple[str, ...]:
    return (f"no inverse is known for this: {left}",)


def _irreversible(faults: Sequence[str]) -> NotReversible:
    return NotReversible(
        "not automatically reversible",
        faults=tuple(faults[: catalogue.NAMED]),
        state="rolled back; nothing was changed",
        hint=HINT,
    )


def _round(session: Session, found: Sequence[Sequence[Texts]]) -> tuple[list[str], list[str]]:
    """Try every statement of the first stage in which any helps; return those that the server took, and why it refused others."""
    refused: list[str] = []
    for stage in found:
        taken = [text for alternatives in stage if (text := _first(session, alternatives, refused))]
        if taken:
            return taken, refused
    return [], refused


def _out_of_the_way(session: Session, left: Difference) -> list[str]:
    """Drop a view that cannot be replaced, after those on top of it, which are made again; each by its name, never by CASCADE."""
    for change in left.changed:
        if change.now.kind == "view" and "def" in change.facets:
            above = _above(session, change.now)
            done: list[str] = []
            while above and (taken := [text for text in above if _first(session, (text,), [])]):
                done += taken
                above = [text for text in above if text not in taken]
            if done:
                return done
    return _keys_away(session, left)


def _keys_away(session: Session, left: Difference) -> list[str]:
    """Drop the foreign keys that rest on a key which the change made; those of before are made again on the key of before."""
    for record in left.created:
        found = _resting(session, record) if record.kind == "constraint" else []
        if done := [text for text in found if _first(session, (text,), [])]:
            return done
    return _circles_open(session, left)


def _circles_open(session: Session, left: Difference) -> list[str]:
    """Drop the foreign keys that hold tables to each other which the change made: none of them can go before the other."""
    keys = [one for one in left.all_created if one.kind == "constraint" and one.get("type") == "f"]
    found = [making.dropping(key)[0] for key in keys if not key.get("inherited")]
    return [text for text in found if _first(session, (text,), [])]


def _resting(session: Session, key: Record) -> list[str]:
    """Return what drops each foreign key that rests on ``key``; [] where more than foreign keys would go with it."""
    before = read(session)
    session.run("SAVEPOINT okto_change_resting")
    try:
        session.run(f"{making.dropping(key)[0]} CASCADE")
        gone = [before[name] for name in before.keys() - read(session).keys() if before[name].id != key.id]
    except DatabaseError as error:
        if error.sqlstate is None or error.sqlstate in PASSING:
            raise
        return []
    finally:
        session.run("ROLLBACK TO SAVEPOINT okto_change_resting; RELEASE SAVEPOINT okto_change_resting")
    if any(record.kind not in ("constraint", "index") for record in gone):
        return []
    return [making.dropping(record)[0] for record in gone if record.kind == "constraint"]


def _above(session: Session, view: Record) -> list[str]:
    """Return what drops a view and all views on top of it, the youngest first; [] where more than views would go."""
    before = read(session)
    session.run("SAVEPOINT okto_change_above")
    session.run(f"DROP VIEW {view.ref} CASCADE")
    gone = [before[key] for key in before.keys() - read(session).keys()]
    session.run("ROLLBACK TO SAVEPOINT okto_change_above; RELEASE SAVEPOINT okto_change_above")
    views = [record for record in gone if record.kind in ("view", "materialized view")]
    ids = {record.id for record in views}
    if any(record.id not in ids and record.parent not in ids for record in gone):
        return []
    return [f"DROP {record.word} {record.ref}" for record in sorted(views, key=lambda one: one.id, reverse=True)]


def _first(session: Session, alternatives: Texts, refused: list[str]) -> str | None:
    for text in alternatives:
        try:
            with session.savepoint():
                session.run(text)
        except DatabaseError as error:
            if error.sqlstate is None or error.sqlstate in PASSING:
                raise
            refused.append(f"{error.message} ({text[:80]})")
        else:
            return text
    return None


def _lines(session: Session, guard: Guard) -> tuple[Line, Line]:
    """Fill in what the run itself left, which is no reason against its undo."""
    query = guard.query
    if guard.seen:
        xids = [str(row[0]) for row in session.texts(guard.seen)[1]]
        query = query.replace("{xids}", ", ".join(xids) or "''")
    if guard.value:
        query = query.replace("{value}", str(session.texts(guard.value)[1][0][0]))
    return Line(kind="lock", text=guard.lock), Line(kind="demand", text=query, message=guard.message)


def _demand_none(session: Session, lines: Sequence[Line]) -> None:
    """What speaks against the undo right away, before others wrote anything, speaks against the change."""
    found = tuple(line.message for line in lines if line.kind == "demand" and _counts(session, line))
    if found:
        raise _irreversible(found)


def _counts(session: Session, line: Line) -> bool:
    try:
        return session.texts(line.text)[1][0][0] != "0"
    except DatabaseError as error:
        if (error.sqlstate or "")[:2] not in ("22", "42") or error.sqlstate == "42501":
            raise
        raise _irreversible((f"{line.message}: {error.message}",)) from error


def _touched(was: Mapping[str, str], now: Mapping[str, str]) -> tuple[Fingerprint, ...]:
    return tuple(
        Fingerprint(object=name, before=was.get(name), after=now.get(name))
        for name in sorted(was.keys() | now.keys())
        if was.get(name) != now.get(name)
    )
