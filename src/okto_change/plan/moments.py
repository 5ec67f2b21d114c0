"""Dates, times and intervals as text: one unambiguous form each, so that no session setting changes what they mean."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

Key = tuple[int, datetime]
"""orders moments with both infinities: (-1, 0 or 1, the moment)"""

_DAY = r"(\d{4})-(\d{2})-(\d{2})"
_CLOCK = r"(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?"
_ZONE = r"\s?(Z|[+-]\d{2}(?::?\d{2})?)"
_DATE = re.compile(_DAY, re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_MOMENT = re.compile(rf"{_DAY}(?:[T ]{_CLOCK})?", re.ASCII)
_ZONED = re.compile(rf"{_DAY}[T ]{_CLOCK}{_ZONE}", re.ASCII)
_UNIT = r"(?:microsecond|millisecond|second|minute|hour|day|week|month|year)s?"
_FIELD = rf"[+-]?\d{{1,8}}(?:\.\d{{1,6}})?\s?{_UNIT}"
_SPAN = r"[+-]?\d{1,7}:[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
_WORDS = re.compile(rf"(?:{_FIELD}(?:\s{_FIELD})*(?:\s{_SPAN})?|{_SPAN})", re.ASCII)
_ISO = re.compile(
    r"P(?=.)(-?\d{1,8}Y)?(-?\d{1,8}M)?(-?\d{1,8}W)?(-?\d{1,8}D)?"
    r"(T(?=.)(-?\d{1,8}H)?(-?\d{1,8}M)?(-?\d{1,8}(\.\d{1,6})?S)?)?",
    re.ASCII,
)
_INFINITE = {"infinity": 1, "-infinity": -1}
_ZERO = datetime(1, 1, 1, tzinfo=UTC)


def check_date(text: str) -> Key:
    """Return the order of a date; raises ValueError with the form expected."""
    if text in _INFINITE:
        return _INFINITE[text], _ZERO
    match = _DATE.fullmatch(text)
    if not match:
        raise ValueError("a date like 2026-11-22, infinity or -infinity")
    return 0, _day(match.groups())


def check_time(text: str) -> None:
    """Judge a time of day; raises ValueError with the form expected."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError("a time like 09:10 or 09:10:30.5")
    _clock(match.groups())


def check_timestamp(text: str) -> Key:
    """Return the order of a time stamp without zone; raises ValueError with the form expected."""
    if text in _INFINITE:
        return _INFINITE[text], _ZERO
    match = _MOMENT.fullmatch(text)
    if not match:
        raise ValueError("a time stamp without zone like 2026-11-22 09:10:00, infinity or -infinity")
    return 0, _day(match.groups()[:3]) + _clock(match.groups()[3:7])


def check_timestamptz(text: str) -> Key:
    """Return the order of a time stamp with its offset; raises ValueError with the form expected."""
    if text in _INFINITE:
        return _INFINITE[text], _ZERO
    match = _ZONED.fullmatch(text)
    if not match:
        raise ValueError("a time stamp with its offset like 2026-11-22T09:10:00Z or 2026-11-22 06:10-03:00")
    moment = _day(match.groups()[:3]) + _clock(match.groups()[3:7])
    try:
        return 0, moment - _offset(match[8])
    except OverflowError:
        return 0, moment


def check_interval(text: str) -> None:
    """Judge an interval; raises ValueError with the form expected.

    A minus sign that could govern the numbers after it is refused, because that hangs on the session's IntervalStyle.
    """
    if _ISO.fullmatch(text):
        return
    if not _WORDS.fullmatch(text):
        raise ValueError("an interval like '2 days 03:00:00', '90 seconds' or P1DT2H")
    signs = re.findall(r"(?:^|\s)([+-]?)\d", text)
    if "-" in signs and "" in signs and not _alone(text):
        raise ValueError("an interval with a sign at every number, once one of them is negative")


def _alone(text: str) -> bool:
    return len(re.findall(rf"{_UNIT}|:", text)) == 1


def _day(parts: tuple[str | None, ...]) -> datetime:
    try:
        day = date(*(int(part or 0) for part in parts))
    except ValueError as error:
        raise ValueError(f"a day of the calendar ({error})") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _clock(parts: tuple[str | None, ...]) -> timedelta:
    hour, minute, second = (int(part or 0) for part in parts[:3])
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a time of day from 00:00:00 to 23:59:59.999999")
    return timedelta(hours=hour, minutes=minute, seconds=second, microseconds=int((parts[3] or "").ljust(6, "0")))


def _offset(zone: str) -> timedelta:
    if zone == "Z":
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise ValueError("an offset from -15:59 to +15:59")
    return (-1 if zone[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)
