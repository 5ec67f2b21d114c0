"""Taking definitions back at any later time: only if they are as the run left them, and only if nothing of others is lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from okto_change.database import facts
from okto_change.database.inverse import Fingerprint, Line, kept, settled
from okto_change.database.session import Session
from okto_change.errors import Conflict, DatabaseError, NotReversible
from okto_change.execution.inverse.derive import PASSING

SPEAKING = ("0A", "22", "23", "2B", "2F", "38", "39", "3D", "3F", "42", "44", "54", "55", "P0")
"""classes of errors by which the server says that the database of now does not fit the statement, not that it failed itself"""
WHAT = "somebody changed what this change left; undoing it would destroy that"
HINT = "write a new change that puts things right"


def undo(session: Session, run: str, unit: str) -> None:
    """Take back what ``unit`` of ``run`` did to definitions, in the open transaction.

    Raises Conflict naming the objects that are not as the run left them, that hold rows or values written since, or that
    something made since depends on; NotReversible when this role may not; DatabaseError. Then nothing may be committed.
    """
    lines, touched = kept(session, run, unit)
    before = facts.fingerprint(session)
    _demand(session, (_standing(item, before.get(item.object)) for item in touched))
    with settled(session):
        for line in lines:
            if line.kind == "lock":
                _run(session, line)
        _demand(session, [_count(session, line) for line in lines if line.kind == "demand"])
        for line in lines:
            if line.kind == "statement":
                _run(session, line)
    _demand_as_before(session, touched, before)


def _standing(item: Fingerprint, now: str | None) -> str | None:
    if now == item.after:
        return None
    if item.after is None:
        return f"{item.object} was made since"
    return f"{item.object} is gone" if now is None else f"{item.object} is not as the change left it"


def _demand(session: Session, found: Iterable[str | None]) -> None:
    faults = tuple(dict.fromkeys(fault for fault in found if fault))
    if faults:
        raise Conflict(WHAT, where=session.target, faults=faults, hint=HINT)


def _count(session: Session, line: Line) -> str | None:
    try:
        with session.savepoint():
            count = int(session.texts(line.text)[1][0][0] or 0)
    except DatabaseError as error:
        if (error.sqlstate or "")[:2] != "22":
            raise
        return f"{line.message}: {error.message}"
    return f"{line.message}: {count}" if count else None


def _run(session: Session, line: Line) -> None:
    try:
        session.run(line.text)
    except DatabaseError as error:
        if error.sqlstate is None or error.sqlstate in PASSING or error.sqlstate[:2] not in SPEAKING:
            raise
        if error.sqlstate == "42501":
            raise NotReversible(
                f"this role cannot undo it: {error.message}", where=session.target, hint=error.hint
            ) from error
        raise Conflict(
            "the database of now does not let the old definitions back",
            where=session.target,
            faults=(f"{error.message} ({line.text[:200]})",),
            hint=HINT,
        ) from error


def _demand_as_before(session: Session, touched: Sequence[Fingerprint], before: Mapping[str, str]) -> None:
    """What the run touched is as before the run, and nothing else was changed by taking it back."""
    wanted = {**before, **{item.object: item.before for item in touched}}
    now = facts.fingerprint(session)
    wrong = [
        name
        for name in sorted(wanted.keys() | now.keys())
        if wanted.get(name) != now.get(name) and not _moved_up(name, touched, before, now)
    ]
    if wrong:
        raise Conflict(
            "undoing this change would leave definitions that were never there",
            where=session.target,
            faults=tuple(f"{name} would not be as it was" for name in wrong),
            hint=HINT,
        )


def _moved_up(name: str, touched: Sequence[Fingerprint], before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether it is a column that others added, which moves up as a column before it goes; all of it is still there."""
    table, _, column = name.rpartition(".")
    return bool(
        column
        and table.startswith("column ")
        and name in before
        and name in now
        and any(item.before is None and item.object.rpartition(".")[0] == table for item in touched)
    )
