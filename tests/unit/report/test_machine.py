"""What machines and logs get: JSON objects, progress lines, error texts."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from okto_change.errors import NotAuthorised, StepFailed
from okto_change.model import Event, EventKind, Result
from okto_change.report import data, fault, verdict
from okto_change.report.progress import Progress
from tests.unit.report import samples


def event(kind: EventKind, step: str | None = "release", **facts: Any) -> Event:
    """An event of one run."""
    return Event(kind=kind, run="r1", change=samples.CHANGE, environment="production", step=step, data=facts)


def test_a_dry_run_becomes_an_object_with_stable_keys() -> None:
    """Plain JSON: no Python classes, no card number, moments in UTC, steps that say their type."""
    found = json.loads(json.dumps(data.dry_run(samples.GOOD)))
    assert found["kind"] == "dry-run"
    assert found["ready"] is True
    assert found["at"] == "2026-11-22T02:14:09.000000Z"
    assert [step["type"] for step in found["steps"]] == ["SqlStep", "EditStep"]
    assert found["rehearsal"]["undo"] == {"proven": True, "rows": 74, "identical": 74, "reason": None}
    assert "_type" not in json.dumps(found)
    assert "4111 1111" not in json.dumps(found)


def test_every_object_says_its_kind() -> None:
    """So that a log of outputs can be told apart."""
    assert data.ballot(samples.BALLOT)["kind"] == "ballot"
    assert data.outcome(samples.DONE)["exit_code"] == 0


def test_an_error_says_what_where_every_fault_state_and_next_step() -> None:
    """In that order, a line each."""
    error = NotAuthorised("not cleared", where="changes/x", faults=("3. no approval", "4. expired"), hint="ask bruno")
    assert fault.error(error) == (
        "error: not cleared\n  3. no approval\n  4. expired\n"
        "  where: changes/x\n  state: nothing was changed\n  next:  ask bruno\n"
    )
    assert data.error(error, 3)["error"]["faults"] == ["3. no approval", "4. expired"]


def test_an_errors_text_is_escaped_and_its_causes_told_on_demand() -> None:
    """A server's message is text from outside, too."""
    error = StepFailed("bad \x1b[2J")
    error.__cause__ = ValueError("behind\rit")
    shown = fault.error(error, causes=True)
    assert "bad \\u{1b}[2J" in shown
    assert "because: ValueError: behind\\u{d}it" in shown
    assert "because" not in fault.error(error)


@pytest.mark.parametrize(("result", "code"), list(verdict.OUTCOME_CODES.items()))
def test_the_exit_code_follows_from_how_a_run_ended(result: Result, code: int) -> None:
    """Every result has one."""
    assert code in {0, 1, 4, 5, 6}
    assert result in set(Result)


def test_every_result_has_an_exit_code() -> None:
    """None is forgotten."""
    assert set(verdict.OUTCOME_CODES) == set(Result)


def test_progress_is_a_plain_line_an_event_away_from_a_terminal() -> None:
    """No carriage returns, no escapes, nothing hostile."""
    stream = io.StringIO()
    progress = Progress(stream, live=False)
    progress(event(EventKind.STEP_STARTED, target="ledger"))
    progress(event(EventKind.STATEMENT_DONE, index=0, rows=37, milliseconds=12))
    progress(event(EventKind.RETRYING, reason="lock \x1b[2J timeout"))
    assert stream.getvalue() == (
        "step started release on ledger\nstatement done release #1, 37 rows, 12 ms\n"
        "retrying release: lock \\u{1b}[2J timeout\n"
    )


def test_a_broken_stream_does_not_stop_the_run() -> None:
    """Talk is not worth a rollback."""
    stream = io.StringIO()
    stream.close()
    Progress(stream, live=False)(event(EventKind.STEP_STARTED))


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ([], "nothing was changed"),
        ([EventKind.STATEMENT_DONE], "rolled back; nothing was changed"),
        ([EventKind.COMMITTING], "finds out what happened"),
        ([EventKind.COMMITTED, EventKind.STEP_STARTED], "1 part committed before the interruption"),
    ],
)
def test_progress_knows_what_state_an_interruption_leaves(kinds: list[EventKind], words: str) -> None:
    """From the last event it saw."""
    progress = Progress(io.StringIO(), live=False)
    for kind in kinds:
        progress(event(kind))
    assert words in progress.state()
