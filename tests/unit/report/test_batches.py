"""A large fix in words: a bar with rate and time left, lines that do not flood a log, estimates that say that they are."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from okto_change.model import BatchRehearsal, Event, EventKind, PauseAsked, Progress
from okto_change.report import batches, data, text
from okto_change.report.look import Look
from okto_change.report.progress import Progress as Shown

AT = datetime(2026, 11, 22, 2, 14, 9, tzinfo=UTC)
SEEN = BatchRehearsal(
    step="release",
    size=5000,
    chunks=2,
    of=10_000,
    whole=False,
    rows=8_200,
    expected_rows=41_000_000,
    expected_milliseconds=11_100_000,
)


def done(number: int, of: int | None = 100, *, kind: EventKind = EventKind.COMMITTED, **more: Any) -> Event:
    """Return a chunk that was committed, with 5000 rows for each so far."""
    told = {"unit": 1, "chunk": number, "of": of, "total": number * 5000, **more}
    return Event(kind=kind, run="r", change="fix", environment="production", step="release", data=told)


def test_a_bar_tells_share_rate_and_time_left() -> None:
    """The first chunk gives no rate; from the second on it is that of what was seen."""
    pace = batches.Pace()
    assert pace.line("release", done(1).data, 10.0, undo=False) == (
        "release [................] 1 % · chunk 1 of about 100 · 5,000 rows"
    )
    assert pace.line("release", done(51).data, 20.0, undo=False) == (
        "release [########........] 51 % · about 8 min left · 25,000 rows/s · chunk 51 of about 100 · 255,000 rows"
    )


def test_without_statistics_there_is_neither_bar_nor_time_left() -> None:
    """Unknown is not guessed."""
    pace = batches.Pace()
    pace.line("release", done(1, None).data, 0.0, undo=False)
    assert pace.line("release", done(2, None).data, 2.0, undo=False) == "release 2,500 rows/s · chunk 2 · 10,000 rows"


def test_an_undo_counts_down_and_its_bar_up() -> None:
    """The last chunk is taken back first."""
    told = {"chunk": 3, "of": 4}
    assert batches.Pace().line("release", told, 0.0, undo=True) == (
        "release [########........] 50 % · took back chunk 3 of 4"
    )


def test_a_log_gets_a_line_every_ten_seconds() -> None:
    """Ten thousand chunks do not leave ten thousand lines; the last one is always told, other events always."""
    stream, now = io.StringIO(), 0.0
    shown = Shown(stream, live=False, clock=lambda: now)
    for number in range(1, 101):
        now = number * 0.5
        shown(done(number, kind=EventKind.CHUNK_STARTED))
        shown(done(number))
    shown(
        Event(kind=EventKind.WAITING, run="r", change="fix", environment="e", step="release", data={"reason": "a lag"})
    )
    lines = stream.getvalue().splitlines()
    assert [line.split(" · ")[-2] for line in lines[:-1]] == [
        f"chunk {n} of about 100" for n in (1, 21, 41, 61, 81, 100)
    ]
    assert lines[-1] == "waiting release: a lag"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (
            SEEN,
            "rehearsed 2 of about 10,000 chunks; estimated from these: about 41,000,000 rows and about 3 h 05 min for the whole",
        ),
        (replace(SEEN, whole=True), "rehearsed whole, 2 chunks of at most 5,000 rows of the table"),
        (replace(SEEN, of=None), "the table was never analysed, so how many there are is unknown"),
        (replace(SEEN, expected_rows=None), "estimated from these: about 3 h 05 min for the whole"),
    ],
)
def test_a_rehearsal_says_what_it_ran_and_what_it_only_expects(seen: BatchRehearsal, words: str) -> None:
    """Two chunks are not the whole, and no figure of the whole is called rehearsed."""
    assert words in batches.expected(seen)


def test_the_page_of_a_pause_says_how_far_and_how_to_go_on() -> None:
    """An apply is resumed, an undo rolled back again; the JSON has the same facts."""
    far = Progress(step="release", chunk=12, of=100, rows=60_000, undo=False, at=AT)
    asked = PauseAsked(
        run="r-1", change="fix", environment="production", target="ledger", person="ana", undo=False, progress=far
    )
    page = text.pause(asked, Look(width=120))
    assert "chunk 12 of about 100, 60,000 rows so far, 2026-11-22 02:14:09 UTC" in page
    assert "okto-change resume r-1" in page
    undo = replace(asked, undo=True, progress=None)
    assert "okto-change rollback fix --env production" in text.pause(undo, Look(width=120))
    assert data.pause(asked)["progress"]["chunk"] == 12
