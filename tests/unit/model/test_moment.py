"""Moments in files have one spelling."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from okto_change.model.moment import MICROSECONDS, SECONDS, moment

AT = datetime(2026, 11, 22, 17, 0, 5, 120, tzinfo=UTC)


def test_what_was_written_is_read_again() -> None:
    assert moment(AT.strftime(SECONDS)) == AT.replace(microsecond=0)
    assert moment(AT.strftime(MICROSECONDS), fine=True) == AT
    assert moment(AT.strftime(SECONDS)).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-22",
        "2026-11-22T17:00:05",
        "2026-11-22T17:00:05+00:00",
        "2026-11-22 17:00:05Z",
        "2026-1-2T3:4:5Z",
        "2026-W47-7T17:00:05Z",
        "20261122T170005Z",
        "2026-11-22T17:00:05Z\n",
        "2026-11-31T17:00:05Z",
        "2026-11-22T24:00:01Z",
        "2026-11-22T17:00:60Z",
        "٢٠٢٦-11-22T17:00:05Z",
        "2026-11-22T17:00:05.000120Z",
    ],
)
def test_any_other_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text)


def test_a_moment_without_its_microseconds_is_no_fine_one() -> None:
    with pytest.raises(ValueError, match="no moment"):
        moment("2026-11-22T17:00:05Z", fine=True)
