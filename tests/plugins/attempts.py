"""A change through capture and accounts alone, without a plan: tried again with wider coverage, as the runner does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from okto_change.database.session import REPEATABLE_READ, Session
from okto_change.errors import NotReversible, Unaccounted
from okto_change.execution.images import capture as capturing
from okto_change.execution.images import coverage
from okto_change.execution.images.accounts import Accounting
from okto_change.execution.images.capture import Capture
from okto_change.model import Timeouts
from okto_change.model.base import type_

ATTEMPTS = 5


@type_
class Attempt:
    """A transaction that is accounted for and still open: commit it, go on with ``restore``, or roll it back."""

    capture: Capture
    accounting: Accounting
    tables: frozenset[str]
    """every name that capture had to be given, for the next time"""


def guarded(
    session: Session,
    run: str,
    unit: str,
    names: Iterable[str],
    work: Callable[[], None],
    *,
    timeouts: Timeouts | None = None,
    ddl: bool = False,
    touches: Iterable[str] | None = None,
    reversible: bool = True,
    truncate_limit: int = capturing.TRUNCATE_LIMIT,
) -> Attempt:
    """Open a transaction, capture, call ``work`` (which runs the statements), account; leave the transaction open.

    Tables that accounting finds uncovered are added and everything is rolled back and tried again, five times at most:
    ``work`` may be called several times. With ``reversible``, raises NotReversible when an automatic undo is not possible.
    Raises Unaccounted when coverage does not come to an end, and whatever ``work`` raises; everything is rolled back then.
    """
    known, by_row = frozenset(names), ddl
    try:
        for _ in range(ATTEMPTS):
            tables = coverage.cover(session, known)
            session.begin(timeouts, isolation=REPEATABLE_READ)
            capture = capturing.start(session, run, unit, tables, truncate_limit=truncate_limit, fixed=not by_row)
            work()
            accounting = capturing.account(session, capture, ddl=ddl, touches=touches)
            _demand_reversible(session, accounting, reversible)
            if not accounting.missing:
                return Attempt(capture=capture, accounting=accounting, tables=known)
            session.rollback()
            known |= accounting.missing
            by_row = by_row or not accounting.missing.isdisjoint(capture.by_statement)
        raise Unaccounted(f"more tables every time: {', '.join(sorted(known))}", where=session.target)
    except BaseException:
        session.rollback()
        raise


def _demand_reversible(session: Session, accounting: Accounting, reversible: bool) -> None:
    # Before another attempt, not after it: what setval did stays, and the second time it would look unchanged.
    if reversible and accounting.refusals:
        raise NotReversible(
            "not automatically reversible",
            where=session.target,
            faults=accounting.refusals,
            state="rolled back; nothing was changed",
            hint='give the step an undo script, or `undo: {irreversible: "reason"}` that the approver signs',
        )
