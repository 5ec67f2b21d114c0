"""When runs may start: windows by the week in a named time zone, freezes by moments, and the next opening. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from okto_change.approval.rulebook import Environment, Window

DAY_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TRIES = 1_000
"""openings that are tried before saying that there is none"""


def closed(environment: Environment, now: datetime) -> str | None:
    """Say why no run may start in ``environment`` at ``now``, and when the next one may; None if one may."""
    reason = _reason(environment, now)
    if reason is None:
        return None
    opening = next_opening(environment, now)
    return f"{reason}; {'it never opens again' if opening is None else f'the next opening is {_told(environment, opening)}'}"


def next_opening(environment: Environment, now: datetime) -> datetime | None:
    """Return the first moment from ``now`` on at which a run may start; None if there is none to be found."""
    moment = now
    for _ in range(TRIES):
        frozen = [freeze.until for freeze in environment.freezes if freeze.since <= moment < freeze.until]
        if frozen:
            moment = max(frozen)
        elif not environment.windows or any(_within(window, moment) for window in environment.windows):
            return moment
        else:
            moment = min(start for window in environment.windows for start in _starts(window, moment) if start > moment)
    return None


def _reason(environment: Environment, now: datetime) -> str | None:
    for freeze in environment.freezes:
        if freeze.since <= now < freeze.until:
            return f"{environment.name} is frozen until {freeze.until:%Y-%m-%d %H:%MZ}: {freeze.reason}"
    if not environment.windows or any(_within(window, now) for window in environment.windows):
        return None
    windows = "; ".join(_shown(window) for window in environment.windows)
    return f"{environment.name} is changed only within its windows ({windows}), and it is {_told(environment, now)}"


def _within(window: Window, moment: datetime) -> bool:
    local = moment.astimezone(_zone(window.zone))
    minute = local.hour * 60 + local.minute
    yesterday = (local.weekday() - 1) % 7
    if window.start < window.end:
        return local.weekday() in window.days and window.start <= minute < window.end
    return (local.weekday() in window.days and minute >= window.start) or (
        yesterday in window.days and minute < window.end
    )


def _starts(window: Window, moment: datetime) -> Iterator[datetime]:
    """Yield the window's next beginnings, the one of today too; an hour that the clocks skip begins when they go on."""
    zone = _zone(window.zone)
    today = moment.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for ahead in range(9):
        day = today + timedelta(days=ahead)
        if day.weekday() in window.days:
            yield day.replace(hour=window.start // 60 % 24, minute=window.start % 60).astimezone(UTC)


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)


def _told(environment: Environment, moment: datetime) -> str:
    zone = environment.windows[0].zone if environment.windows else "UTC"
    local = moment.astimezone(_zone(zone))
    return f"{DAY_NAMES[local.weekday()]} {local:%Y-%m-%d %H:%M} {zone}"


def _shown(window: Window) -> str:
    days = "daily" if len(window.days) == 7 else ", ".join(DAY_NAMES[day] for day in window.days)
    return f"{days} {_clock(window.start)}-{_clock(window.end)} {window.zone}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
