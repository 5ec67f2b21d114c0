"""What a batch does between two chunks: it stops when asked to, pauses, and waits for replicas and for sessions it held up."""

from __future__ import annotations

import time
from collections.abc import Generator
from datetime import UTC

from okto_change.database import chunks
from okto_change.database.session import Session
from okto_change.errors import ConnectionLost, Paused, Refused
from okto_change.execution import interrupts
from okto_change.execution.job import Job
from okto_change.execution.units import SqlUnit
from okto_change.model import Batch, Event, EventKind

LOOK = 0.5
"""seconds between two looks at what is waited for"""
TELL = 30.0
"""seconds after which it is told again that a batch still waits"""
MOST_BLOCKED = 10.0
"""seconds that a batch gives way to sessions which its last chunk held up, at most"""


class Rest:
    """What the last chunk says about how long to give way: how long it took, and how many sessions waited for it."""

    def __init__(self) -> None:
        self.took = 0.0
        self.blocked = 0

    def after(self, took: float, blocked: int) -> None:
        """Note a chunk that was just committed."""
        self.took, self.blocked = took, blocked


def between(job: Job, unit: SqlUnit, batch: Batch, rest: Rest) -> Generator[Event, None, None]:
    """Wait as the plan and the last chunk ask for, each wait told. Raises Paused when somebody asked for that."""
    session = heard(job, unit)
    _sleep(batch.pause / 1000)
    if rest.blocked:
        seconds = min(rest.took, MOST_BLOCKED)
        who = "1 session" if rest.blocked == 1 else f"{rest.blocked} sessions"
        reason = f"{who} waited for a lock of the last chunk; giving way for {seconds:.1f} s"
        yield job.event(EventKind.WAITING, unit.name, unit=unit.number, reason=reason)
        _sleep(seconds)
    if batch.max_lag is not None:
        yield from _replicas(job, unit, batch.max_lag, session)


def heard(job: Job, unit: SqlUnit) -> Session:
    """Return the target's session, which answers; raise Paused when somebody asked this run to stop."""
    session = job.targets.session(unit.target)
    try:
        obey(job, session)
    except ConnectionLost:
        session = job.targets.ready(unit.target)
        obey(job, session)
    return session


def obey(job: Job, session: Session) -> None:
    """Raise Paused when somebody asked this run to stop."""
    asked = chunks.asked_pause(session, job.run)
    if asked is not None:
        person, at = asked
        raise Paused(f"paused as {person} asked at {at.astimezone(UTC):%H:%M:%S} UTC")


def demand_visible(batch: Batch, session: Session) -> None:
    """Raise Refused when the plan asks to wait for replicas and this role may not see how far they are behind."""
    if batch.max_lag is not None and chunks.lag(session) is None:
        raise Refused(
            "the plan says `max_lag`, and this role may not see the lag of the replicas",
            where=session.target,
            hint="GRANT pg_monitor to the role, or leave `max_lag` out",
        )


def _replicas(job: Job, unit: SqlUnit, most: int, session: Session) -> Generator[Event, None, None]:
    told = -TELL
    while (lag := _lag(session)) > most:
        if time.monotonic() - told >= TELL:
            told = time.monotonic()
            reason = f"the slowest replica is {lag / 1000:.1f} s behind, the plan allows {most / 1000:g} s"
            yield job.event(EventKind.WAITING, unit.name, unit=unit.number, reason=reason)
        _sleep(LOOK)
        obey(job, session)


def _lag(session: Session) -> int:
    found = chunks.lag(session)
    if found is None:
        raise Paused("this role may not see the lag of the replicas any more")
    return found


def _sleep(seconds: float) -> None:
    """Sleep where an interrupt is answered: nothing is open between two chunks."""
    with interrupts.allowed():
        time.sleep(seconds)
