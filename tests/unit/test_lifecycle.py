"""The life of a run: every arrow of the table, every other arrow refused, and what replay makes of a journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from okto_change.errors import JournalBroken
from okto_change.lifecycle import ENDINGS, TRANSITIONS, ChangeState, Run, State, advance, left_by, replay
from okto_change.model import Entry, Event, EventKind, Result

K = EventKind
START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
Told = tuple[EventKind, dict[str, Any]]

RUN: Told = (K.RUN_STARTED, {"decisions": ["d1", "d2"], "digest": "sha256:1"})
UNDO: Told = (K.UNDO_STARTED, {"origin": "a"})


def committing(unit: int) -> Told:
    """Announce the COMMIT of ``unit``."""
    return K.COMMITTING, {"unit": unit, "xid": 7000 + unit, "pid": 4711, "started": "2026-11-22"}


def unit_done(unit: int) -> list[Told]:
    """Tell of a unit from its announcement to its confirmation."""
    return [committing(unit), (K.COMMITTED, {"unit": unit})]


def unit_undone(unit: int) -> list[Told]:
    """Tell of a unit's undo from its announcement to its confirmation."""
    return [(K.UNDO_COMMITTING, {"unit": unit}), (K.UNDONE, {"unit": unit})]


def finished(result: Result) -> Told:
    """Tell the end of a run."""
    return K.RUN_FINISHED, {"result": result.value}


def story(run: str, told: Sequence[Told], *, first: int = 1, actor: str = "ana") -> list[Entry]:
    """Return journal entries of one run, a second apart."""
    return [
        Entry(
            number=number,
            at=START + timedelta(seconds=number),
            actor=actor,
            content=b"",
            previous="",
            hash="",
            event=Event(kind=kind, run=run, change="c", environment="e", data=data),
        )
        for number, (kind, data) in enumerate(told, first)
    ]


def change(*stories: list[Entry]) -> ChangeState:
    """Replay whole runs, one after the other."""
    return replay([entry for entries in stories for entry in entries])[("c", "e")]


APPLIED: list[Told] = [RUN, *unit_done(1), *unit_done(2), finished(Result.DONE)]


def test_an_applied_change_knows_who_when_what_and_which_decisions() -> None:
    """The facts that status, rollback and clearance need come from the entries alone."""
    found = change(story("a", APPLIED))
    assert found.state is State.APPLIED
    assert found.run is not None
    assert found.run.started_by == "ana"
    assert found.run.started_at == START + timedelta(seconds=1)
    assert found.run.digest == "sha256:1"
    assert found.standing == ("a", ("1", "2"))
    assert found.consumed == {"d1", "d2"}
    assert found.unresolved is None
    assert not found.undone


def test_a_rollback_is_a_run_of_its_own_that_undoes_the_first() -> None:
    """After an undo run nothing stands, and the first run is still there to read."""
    found = change(
        story("a", APPLIED),
        story("b", [UNDO, *unit_undone(2), *unit_undone(1), finished(Result.DONE)], first=10, actor="bruno"),
    )
    assert found.state is State.UNDONE
    assert found.undone
    assert found.standing is None
    assert [run.id for run in found.runs] == ["a", "b"]
    assert found.run is not None and found.run.started_by == "bruno"


def test_a_change_can_be_applied_again_after_its_undo() -> None:
    """The latest run that left a trace gives the state."""
    undo = story("b", [UNDO, *unit_undone(2), *unit_undone(1), finished(Result.DONE)], first=10)
    found = change(story("a", APPLIED), undo, story("z", APPLIED, first=20))
    assert found.state is State.APPLIED
    assert found.standing == ("z", ("1", "2"))


def test_a_commit_without_its_confirmation_is_unresolved_with_its_backend() -> None:
    """After kill -9 at COMMIT the next command finds transaction and process to ask about."""
    found = change(story("a", [RUN, *unit_done(1), committing(2)]))
    assert found.state is State.COMMITTING
    assert found.unresolved is not None
    run, pending = found.unresolved
    assert (run, pending.unit, pending.data["xid"], pending.undo) == ("a", "2", 7002, False)
    assert found.standing == ("a", ("1",))


@pytest.mark.parametrize(("fate", "units"), [("committed", ("1", "2")), ("aborted", ("1",))])
def test_settling_a_commit_tells_whether_the_unit_stands(fate: str, units: tuple[str, ...]) -> None:
    """What the server says of the transaction becomes part of the trail."""
    found = change(story("a", [RUN, *unit_done(1), committing(2), (K.SETTLED, {"unit": 2, "fate": fate})]))
    assert found.unresolved is None
    assert found.standing == ("a", units)


def test_a_swap_of_a_file_is_pending_until_it_is_confirmed() -> None:
    """An edit is announced with the digests before and after, so that a crash can be settled by reading the file."""
    found = change(story("a", [RUN, (K.EDITING, {"unit": 1, "before": "sha256:b", "after": "sha256:a"})]))
    assert found.unresolved is not None
    assert found.unresolved[1].data["after"] == "sha256:a"


def test_a_run_that_broke_off_between_units_is_partly_applied() -> None:
    """The journal cannot know whether the process lives; when it is gone, what stands is clear."""
    found = change(story("a", [RUN, *unit_done(1), (K.STEP_STARTED, {})]))
    assert found.state is State.RUNNING
    assert found.run is not None
    assert left_by(found.run) is State.PARTLY_APPLIED
    (empty,) = change(story("a", [RUN])).runs
    assert left_by(empty) is State.ROLLED_BACK


def test_a_run_that_resumes_must_know_the_units_that_stand() -> None:
    """Resuming while forgetting a committed unit would apply it twice."""
    told = [RUN, *unit_done(1)]
    again = [*told, (K.RUN_STARTED, {"resumed": [1]}), *unit_done(2), finished(Result.DONE)]
    assert change(story("a", again)).state is State.APPLIED
    with pytest.raises(JournalBroken, match="resumes after units"):
        change(story("a", [*told, (K.RUN_STARTED, {"resumed": []})]))


def test_a_stuck_commit_is_settled_before_the_run_goes_on() -> None:
    """A run that ended stuck on a COMMIT keeps it pending; only settling it opens the way."""
    stuck = [RUN, committing(1), finished(Result.STUCK)]
    assert change(story("a", stuck)).unresolved is not None
    with pytest.raises(JournalBroken, match="settled first"):
        change(story("a", [*stuck, (K.RUN_STARTED, {"resumed": []})]))
    settled: list[Told] = [(K.SETTLED, {"unit": 1, "fate": "committed"}), (K.RUN_STARTED, {"resumed": [1]})]
    assert change(story("a", [*stuck, *settled, finished(Result.DONE)])).state is State.APPLIED


def test_a_failed_after_check_takes_back_what_the_same_run_committed() -> None:
    """Compensation is part of the run that failed."""
    told = [RUN, *unit_done(1), (K.CHECK_FAILED, {}), (K.UNDO_STARTED, {"origin": "a"}), *unit_undone(1)]
    found = change(story("a", [*told, finished(Result.UNDONE)]))
    assert found.state is State.UNDONE
    assert found.standing is None


REDO: Told = (K.REDO_STARTED, {"origin": "a"})
TAKEN_BACK: list[Told] = [UNDO, *unit_undone(2), *unit_undone(1), finished(Result.DONE)]


def test_a_redo_that_took_itself_back_leaves_the_change_undone_and_redoable() -> None:
    """The next redo takes back the undo inside it, not the rollback before it."""
    told = [REDO, *unit_done(1), *unit_done(2), (K.CHECK_FAILED, {}), UNDO, *unit_undone(2), *unit_undone(1)]
    found = change(story("a", APPLIED), story("b", TAKEN_BACK), story("r", [*told, finished(Result.UNDONE)]))
    assert found.state is State.UNDONE and found.undone and found.standing is None
    assert found.redoable == ("a", {"1": ("r/undo",), "2": ("r/undo",)})


def test_a_redo_may_not_call_itself_undone_while_a_unit_of_it_stands() -> None:
    """What was put back and not taken back stands."""
    told = [REDO, *unit_done(1), *unit_done(2), UNDO, *unit_undone(2)]
    found = change(story("a", APPLIED), story("b", TAKEN_BACK), story("r", told))
    assert found.standing == ("a", ("1",)) and found.redoable == ("a", {"2": ("r/undo",)})
    with pytest.raises(JournalBroken, match="it says undone, but units 1 stand"):
        change(story("a", APPLIED), story("b", TAKEN_BACK), story("r", [*told, finished(Result.UNDONE)]))


def test_an_attempt_that_left_no_trace_does_not_hide_what_stands() -> None:
    """A refused second apply, or an undo that failed, leaves the change applied."""
    refused = story("b", [RUN, finished(Result.ALREADY_APPLIED)], first=10)
    failed = story("d", [UNDO, (K.ROLLED_BACK, {}), finished(Result.ROLLED_BACK)], first=20)
    found = change(story("a", APPLIED), refused, failed)
    assert found.state is State.APPLIED
    assert found.run is not None and found.run.id == "a"
    assert found.latest is not None and found.latest.id == "d"


def test_a_lost_race_does_not_hide_the_run_that_is_still_going() -> None:
    """Two terminals at once: the one that was refused says nothing about the other."""
    found = change(story("a", [RUN, *unit_done(1)]), story("b", [RUN, finished(Result.REFUSED)], first=10))
    assert found.run is not None and found.run.id == "a"


def test_a_conflict_leaves_the_change_standing() -> None:
    """The undo stopped; which run stands is still known."""
    found = change(story("a", APPLIED), story("b", [UNDO, (K.CONFLICT, {}), finished(Result.CONFLICT)], first=10))
    assert found.state is State.CONFLICT
    assert found.standing == ("a", ("1", "2"))


def chunks_done(*numbers: int) -> list[Told]:
    """Tell of chunks of unit 1, each from its announcement to its confirmation."""
    return [
        told
        for number in numbers
        for told in ((K.COMMITTING, {"unit": 1, "chunk": number}), (K.COMMITTED, {"unit": 1, "chunk": number}))
    ]


def chunk_undone(number: int, *, standing: int, more: int, rest: bool = False, left: int = 0) -> list[Told]:
    """Tell of a chunk of unit 1 that is taken back, or of rows left of it."""
    data = {"unit": 1, "chunk": number, "standing": standing, "more": more, "rest": rest, "left_of_all": left}
    return [(K.UNDO_COMMITTING, data), (K.UNDONE, {"unit": 1, "chunk": number})]


BATCH = [RUN, *chunks_done(1, 2, 3), *unit_done(1), finished(Result.DONE)]


def test_a_batch_of_which_an_undo_took_some_chunks_is_neither_applied_nor_undone() -> None:
    """Whoever applies it again must not be told that it stands, nor that nothing does."""
    undo = story("b", [UNDO, *chunk_undone(3, standing=2, more=2)], first=20)
    found = change(story("a", BATCH), undo)
    assert found.standing == ("a", ("1",)) and found.applied is None and not found.undone
    assert found.half is not None and not found.half.redo and found.redoable is None
    assert found.half.progress is not None and found.half.progress.standing == 2


def test_an_undo_that_broke_off_after_a_redo_that_broke_off_leaves_what_stands_known() -> None:
    """The undo took back one of two chunks that the redo had put back."""
    undone = [told for n in (3, 2, 1) for told in chunk_undone(n, standing=n - 1, more=n - 1)]
    told = [
        story("a", BATCH),
        story("b", [UNDO, *undone, finished(Result.DONE)], first=20),
        story("c", [REDO, *chunks_done(1, 2)], first=40),
    ]
    found = change(*told)
    assert found.half is not None and found.half.redo and found.standing == ("a", ("1",))
    found = change(*told, story("d", [UNDO, *chunk_undone(2, standing=1, more=1)], first=60))
    assert found.standing == ("a", ("1",)) and found.half is not None and found.half.id == "d"
    found = change(
        *told, story("d", [UNDO, *chunk_undone(2, standing=1, more=1), *chunk_undone(1, standing=0, more=0)], first=60)
    )
    assert found.standing is None and found.half is None and found.undone


def test_rows_left_of_a_batch_are_known_until_an_undo_has_taken_them() -> None:
    """The first undo left two rows; a second took one of them and broke off, a third took the other."""
    told = [story("a", BATCH), story("b", [UNDO], first=20)]
    first = [told for n in (3, 2, 1) for told in chunk_undone(n, standing=n - 1, more=n - 1, left=2)]
    told = [told[0], story("b", [UNDO, *first, finished(Result.CONFLICT)], first=20)]
    assert change(*told).left == ("a", ("1",)) and change(*told).standing is None
    second = story("c", [UNDO, *chunk_undone(3, standing=0, more=1, rest=True, left=1)], first=40)
    found = change(*told, second)
    assert found.left == ("a", ("1",)) and found.standing is None and found.half is None
    assert left_by(found.runs[-1]) is State.PARTLY_APPLIED
    with pytest.raises(JournalBroken, match="says that nothing changed"):
        change(*told, second, story("c", [finished(Result.ROLLED_BACK)], first=50))
    third = story("d", [UNDO, *chunk_undone(1, standing=0, more=0, rest=True)], first=60)
    found = change(*told, second, third)
    assert found.left is None and found.undone


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ([committing(1)], "'new' cannot go on"),
        ([RUN, (K.COMMITTED, {"unit": 1})], "'running' cannot go on"),
        ([RUN, committing(1), (K.COMMITTED, {"unit": 2})], "was not announced"),
        ([RUN, committing(1), committing(1)], "'committing' cannot go on"),
        ([RUN, *unit_done(1), committing(1)], "committed already"),
        ([RUN, committing(1), finished(Result.DONE)], "'committing' cannot go on"),
        ([RUN, *unit_done(1), finished(Result.ROLLED_BACK)], "says that nothing changed"),
        ([RUN, *unit_done(1), (K.UNDO_STARTED, {}), finished(Result.UNDONE)], "units 1 stand"),
        ([RUN, *unit_done(1), (K.UNDO_STARTED, {}), (K.UNDO_COMMITTING, {"unit": 2})], "never committed"),
        ([UNDO, *unit_undone(1), finished(Result.ROLLED_BACK)], "says that nothing changed"),
        ([UNDO, *unit_undone(1), (K.EDITING, {"unit": 1})], "undone already"),
        ([RUN, finished(Result.DONE), (K.STEP_STARTED, {})], "'applied' cannot go on"),
        ([RUN, (K.RUN_FINISHED, {"result": "splendid"})], "unknown result"),
        ([RUN, (K.RUN_FINISHED, {})], "unknown result"),
        ([RUN, (K.COMMITTING, {})], "which unit"),
        ([RUN, committing(1), (K.SETTLED, {"unit": 1, "fate": "in progress"})], "settles nothing"),
        ([(K.UNDO_STARTED, {})], "which run it takes back"),
    ],
)
def test_an_impossible_story_is_refused(told: list[Told], complaint: str) -> None:
    """Each of these would let the trail say something that cannot have happened."""
    with pytest.raises(JournalBroken, match=complaint):
        change(story("b", told))


def test_a_run_belongs_to_one_change() -> None:
    """An entry that moves a run to another change is refused."""
    other = Event(kind=K.STEP_STARTED, run="a", change="other", environment="e")
    (first,) = story("a", [RUN])
    moved = Entry(number=2, at=START, actor="ana", event=other, content=b"", previous="", hash="")
    with pytest.raises(JournalBroken, match="belongs to c in e"):
        replay([first, moved])


def run_in(state: State) -> Run:
    """Return a run that is just in ``state``, with nothing pending."""
    return Run(
        id="a",
        change="c",
        environment="e",
        state=state,
        reason="",
        started_by="ana",
        started_at=START,
        last_at=START,
        origin=None,
        digest=None,
        decisions=(),
    )


@pytest.mark.parametrize("state", State)
def test_every_arrow_outside_the_table_is_refused(state: State) -> None:
    """The table is the whole truth: what is not in it raises."""
    for kind in set(K) - {K.RUN_FINISHED} - {kind for known, kind in TRANSITIONS if known is state}:
        with pytest.raises(JournalBroken, match="cannot go on"):
            advance(run_in(state), Event(kind=kind, run="a", change="c", environment="e"), actor="ana", at=START)


@pytest.mark.parametrize("state", State)
def test_every_ending_outside_the_table_is_refused(state: State) -> None:
    """A run ends only from where its result can be true."""
    for result in Result:
        event = Event(kind=K.RUN_FINISHED, run="a", change="c", environment="e", data={"result": result.value})
        if (state, result) in ENDINGS:
            assert advance(run_in(state), event, actor="ana", at=START).state is ENDINGS[state, result][0]
            continue
        with pytest.raises(JournalBroken, match="cannot go on"):
            advance(run_in(state), event, actor="ana", at=START)


def test_every_arrow_has_a_reason() -> None:
    """The table explains itself, in words for whoever reads status."""
    assert all(len(reason) > 10 for _, reason in (*TRANSITIONS.values(), *ENDINGS.values()))


def test_every_state_but_new_and_partly_applied_can_be_reached_by_an_arrow() -> None:
    """No dead words: NEW is before the first entry, PARTLY_APPLIED is what a vanished process leaves."""
    reached = {state for state, _ in (*TRANSITIONS.values(), *ENDINGS.values())}
    assert set(State) - reached == {State.NEW, State.PARTLY_APPLIED}
