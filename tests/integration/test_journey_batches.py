"""A large fix in chunks: each a proven transaction of its own, paused, killed, resumed and taken back without doing one twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import psycopg
import pytest

from okto_change import pipeline
from okto_change.database import chunks as chunk_rows
from okto_change.database.session import connect
from okto_change.errors import JournalBroken, OktoError, Refused, Stuck, UsageError
from okto_change.journal.store import Journal
from okto_change.model import Entry, Event, EventKind, PauseAsked, Result
from okto_change.report.verdict import outcome_code
from tests.plugins.journey import FIRST, Bank
from tests.plugins.proxy import OnCommit, Proxy

ROWS = """
CREATE TABLE settlements (id bigint PRIMARY KEY, status text NOT NULL, amount numeric NOT NULL, runs integer NOT NULL DEFAULT 0);
INSERT INTO settlements (id, status, amount) SELECT n * 3, CASE WHEN n % 5 = 0 THEN 'PAID' ELSE 'PENDING' END, n FROM generate_series(1, 50) AS n;
ANALYZE settlements;
"""
STEP = """\
  - name: release
    target: ledger
    sql: release.sql
    rows: {rows}
    touches: [settlements]
    batch: {{table: settlements, key: id, size: {size}{more}}}
"""
RELEASE = "UPDATE settlements SET status = 'RELEASED', runs = runs + 1 WHERE status = 'PENDING' AND {{ batch }};\n"


def write(
    bank: Bank,
    *,
    size: int = 10,
    rows: str = "40",
    more: str = "",
    sql: str = RELEASE,
    checks: str = "",
    after: str = "",
) -> None:
    """Write a plan that releases the 40 of 50 settlements that are pending, in chunks."""
    bank.sql(ROWS)
    bank.plan(STEP.format(size=size, rows=rows, more=more) + after, checks=checks, release=sql)


def released(bank: Bank) -> int:
    """Return how many settlements are released; none may have been done twice."""
    assert bank.sql("SELECT count(*) FROM settlements WHERE runs > 1") == [(0,)]
    return int(bank.sql("SELECT count(*) FROM settlements WHERE status = 'RELEASED'")[0][0])


def chunks(bank: Bank) -> list[int]:
    """Return the numbers of the chunks that stand."""
    return [n for (n,) in bank.sql("SELECT number FROM okto_change.chunk WHERE undone_by IS NULL ORDER BY number")]


def as_before(bank: Bank) -> bool:
    """Whether every settlement is as it was when the table was made."""
    counts = bank.sql(
        "SELECT count(*) FILTER (WHERE status = 'PENDING'), count(*) FILTER (WHERE runs = 0) FROM settlements"
    )
    return counts == [(40, 50)]


def test_a_batch_is_applied_chunk_by_chunk_and_taken_back_last_first(bank: Bank) -> None:
    """Five chunks of ten rows, each announced, committed and told; their images share a pair of tables; the undo is exact."""
    write(bank)
    tables = bank.sql(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'okto_change'::regnamespace AND relkind = 'r'"
    )
    done = bank.journey.apply()
    assert done.result is Result.DONE, done
    assert released(bank) == 40 and chunks(bank) == [1, 2, 3, 4, 5]
    assert [(w.table, w.updated, w.imaged) for w in done.writes] == [("public.settlements", 40, 40)]
    told = [e.data for e in bank.journey.events if e.kind is EventKind.COMMITTED and "chunk" in e.data]
    assert [(d["chunk"], d["of"], d["total"]) for d in told] == [
        (1, 5, 8),
        (2, 5, 16),
        (3, 5, 24),
        (4, 5, 32),
        (5, 5, 40),
    ]
    ((now,),) = bank.sql(
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'okto_change'::regnamespace AND relkind = 'r'"
    )
    assert now == tables[0][0] + 2
    assert bank.sql(
        "SELECT count(DISTINCT capture), count(DISTINCT home), sum(rows) FROM okto_change.image_native"
    ) == [(5, 1, 40)]
    assert bank.journey.status().state == "applied"
    assert bank.journey.apply().result is Result.ALREADY_APPLIED
    back = bank.journey.rollback()
    assert back.result is Result.DONE, back
    undone = [e.data["chunk"] for e in bank.journey.events if e.kind is EventKind.UNDONE]
    assert undone == [5, 4, 3, 2, 1] and as_before(bank) and bank.journey.status().state == "undone"
    assert bank.journey.apply().result is Result.DONE and released(bank) == 40


@pytest.mark.parametrize("size", [1, 7, 49, 50, 51])
def test_chunks_cover_every_row_once_whatever_their_size(bank: Bank, size: int) -> None:
    """No row is between two chunks, and the last one may be short."""
    write(bank, size=size)
    assert bank.journey.apply().result is Result.DONE
    assert released(bank) == 40 and len(chunks(bank)) == -(-50 // size)
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


def test_an_empty_table_is_done_and_undone_without_a_chunk(bank: Bank) -> None:
    """Nothing to do is done, and can be taken back and applied again."""
    write(bank, rows="0")
    bank.sql("TRUNCATE settlements")
    assert bank.journey.apply().result is Result.DONE and chunks(bank) == []
    assert bank.journey.status().state == "applied"
    assert bank.journey.rollback().result is Result.DONE
    assert bank.journey.apply().result is Result.DONE


MOMENTS = [
    pytest.param("step started", "after", 1, 0, id="before the first chunk"),
    pytest.param("chunk started", "after", 3, 2, id="inside a chunk"),
    pytest.param("committing", "before", 3, 2, id="while rows are proven, before the announcement is there"),
    pytest.param("committing", "after", 3, 2, id="between the announcement and COMMIT"),
    pytest.param("committed", "before", 3, 3, id="after COMMIT, before its entry"),
    pytest.param("committed", "after", 3, 3, id="between two chunks"),
    pytest.param("committed", "before", 5, 5, id="after the last chunk"),
    pytest.param("committing", "after", 6, 5, id="before the end"),
    pytest.param("committed", "before", 6, 5, id="right after the end was committed"),
    pytest.param("run finished", "before", 1, 5, id="before the end was written"),
]


@pytest.mark.parametrize(("kind", "moment", "nth", "stand"), MOMENTS)
def test_a_killed_batch_goes_on_at_the_first_chunk_that_is_not_done(
    bank: Bank, kind: str, moment: str, nth: int, stand: int
) -> None:
    """kill -9 at any moment, then again one chunk later: no chunk is done twice, none is left out."""
    write(bank)
    bank.journey.killed("apply", kind, moment, nth=nth)
    run = str(bank.journey.status().run)
    assert chunks(bank) == list(range(1, stand + 1)) and released(bank) == stand * 8
    if stand < 4:
        bank.journey.killed(f"resume {run}", "committed", "before")
        assert chunks(bank) == list(range(1, stand + 2))
    done = bank.journey.resume(run)
    assert (done.result, done.run) == (Result.DONE, run), done
    assert released(bank) == 40 and chunks(bank) == [1, 2, 3, 4, 5]
    if stand < 5:  # where a chunk was left to do
        assert [(w.updated, w.imaged) for w in done.writes] == [(40, 40)]
    assert bank.journey.apply().result is Result.ALREADY_APPLIED
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


@pytest.mark.parametrize(
    ("kind", "moment", "nth", "stand"),
    [
        pytest.param("undo committing", "before", 2, 4, id="while rows are moved, before the announcement is there"),
        pytest.param("undo committing", "after", 2, 4, id="between the announcement and COMMIT"),
        pytest.param("undone", "before", 2, 3, id="after COMMIT, before its entry"),
        pytest.param("undone", "after", 2, 3, id="between two chunks"),
        pytest.param("undone", "before", 5, 0, id="after the last chunk"),
    ],
)
def test_a_killed_undo_goes_on_at_the_last_chunk_that_stands(
    bank: Bank, kind: str, moment: str, nth: int, stand: int
) -> None:
    """What is back stays back; the next rollback takes the rest, and nothing is taken back twice."""
    write(bank)
    assert bank.journey.apply().result is Result.DONE
    bank.journey.killed("rollback", kind, moment, nth=nth)
    assert len(chunks(bank)) == stand and released(bank) == stand * 8
    assert "all that run" not in str(bank.journey.status().detail)
    if stand > 1:
        bank.journey.killed("rollback", "undone", "before")
    again = bank.journey.rollback()
    assert again.result is (Result.DONE if stand else Result.NOTHING_TO_UNDO), again
    assert as_before(bank) and chunks(bank) == []


def test_a_batch_that_broke_off_is_not_applied_anew_but_can_be_taken_back(bank: Bank) -> None:
    """Apply names both ways; rollback takes back exactly the chunks that stand."""
    write(bank)
    bank.journey.killed("apply", "committed", "after", nth=2)
    with pytest.raises(Stuck, match="broke off") as caught:
        bank.journey.apply()
    assert "resume" in str(caught.value.hint) and "rollback" in str(caught.value.hint)
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)
    assert bank.journey.status().state == "undone"


def test_rows_beyond_the_bound_stop_the_chunk_that_would_exceed_it_and_take_all_back(bank: Bank) -> None:
    """The bound is for the whole: 24 would be reached with the third chunk, so it does not commit."""
    write(bank, rows="{min: 1, max: 20}")
    ended = bank.journey.apply()
    assert ended.result is Result.UNDONE, ended
    assert "with chunk 3 the statement would have changed 24 rows, the plan allows 1 to 20" in ended.summary
    assert as_before(bank) and chunks(bank) == []


def test_too_few_rows_over_all_chunks_take_all_back(bank: Bank) -> None:
    """What can only be judged at the end is judged there."""
    write(bank, rows="{min: 41}")
    ended = bank.journey.apply()
    assert ended.result is Result.UNDONE and "all chunks together changed 40 rows" in ended.summary
    assert as_before(bank)


INVARIANTS = """\
checks:
  before: [{{name: pending, target: ledger, statement: "SELECT count(*) FROM settlements WHERE status = 'PENDING'", expect: 40}}]
  inside: [{{name: none left, target: ledger, statement: "SELECT count(*) FROM settlements WHERE status = 'PENDING'", expect: 0}}]
  invariant:
    - {{name: whole, target: ledger, statement: SELECT sum(amount) FROM settlements}}
    - {{name: each, target: ledger, statement: "SELECT {what} FROM settlements WHERE {{{{ batch }}}}", each: chunk}}
"""


def test_checks_judge_the_whole_and_an_invariant_each_chunk(bank: Bank) -> None:
    """Before the first chunk, after the last, and around each where the plan says so; also after a kill in between."""
    write(bank, checks=INVARIANTS.format(what="sum(amount)"))
    bank.journey.killed("apply", "committed", "after", nth=2)
    done = bank.journey.resume(str(bank.journey.status().run))
    assert done.result is Result.DONE, done
    assert [(check.name, check.passed) for check in done.checks] == [("none left", True), ("whole", True)]


def test_an_invariant_that_a_chunk_breaks_takes_all_back(bank: Bank) -> None:
    """It fails inside the chunk's transaction, which does not commit; the chunks before it are taken back."""
    write(bank, checks=INVARIANTS.format(what="bool_or(id = 93 AND status = 'RELEASED')"))
    ended = bank.journey.apply()
    assert ended.result is Result.UNDONE and "'each' failed" in ended.summary, ended
    assert as_before(bank)


def test_a_chunk_that_reaches_beyond_its_range_does_not_commit(bank: Bank) -> None:
    """The text looks restricted; the rows that were changed prove that it is not."""
    sql = "UPDATE settlements SET runs = 1 WHERE EXISTS (SELECT FROM accounts AS s WHERE s.balance > 0) AND id < 40 AND {{ batch }};\n"
    trick = sql.replace("AND {{ batch }}", "AND EXISTS (SELECT FROM settlements AS s WHERE {{ batch.s }})")
    write(bank, rows="{min: 0}", sql=trick)
    ended = bank.journey.apply()
    assert ended.result is Result.ROLLED_BACK, ended
    assert "rows outside its range of the key" in ended.summary and as_before(bank)


def test_a_deleting_and_an_inserting_batch_are_taken_back_too(bank: Bank) -> None:
    """Two statements a chunk, one of them into another table."""
    bank.sql("CREATE TABLE archive (id bigint PRIMARY KEY, amount numeric)")
    sql = (
        "INSERT INTO archive (id, amount) SELECT s.id, s.amount FROM settlements AS s WHERE s.status = 'PAID' AND {{ batch.s }};\n"
        "DELETE FROM settlements WHERE status = 'PAID' AND {{ batch }};\n"
    )
    bank.sql(ROWS)
    step = STEP.format(size=10, rows="[10, 10]", more="").replace("[settlements]", "[settlements, archive]")
    bank.plan(step, release=sql)
    assert bank.journey.apply().result is Result.DONE
    assert bank.sql("SELECT count(*) FROM settlements") == [(40,)] and bank.sql("SELECT count(*) FROM archive") == [
        (10,)
    ]
    assert bank.journey.rollback().result is Result.DONE
    assert as_before(bank) and bank.sql("SELECT count(*) FROM archive") == [(0,)]


def test_rows_that_somebody_changed_are_named_before_anything_is_taken_back_and_only_clean_does_the_rest(
    bank: Bank,
) -> None:
    """A look at all chunks comes first: the row is named with its chunk, nothing is changed; nothing of others is lost."""
    write(bank)
    assert bank.journey.apply().result is Result.DONE
    bank.sql("UPDATE settlements SET amount = 0 WHERE id = 66; DELETE FROM settlements WHERE id = 9")
    found = bank.journey.rollback_preview()
    named = (
        "chunk 1: public.settlements (id=9): removed since",
        "chunk 3: public.settlements (id=66): changed since: amount",
    )
    assert found.conflicts == named and [(w.updated, w.imaged) for w in found.writes] == [(40, 40)]
    assert found.rows[0].columns["status"] == ("RELEASED", "PENDING") and "5 chunks" in found.notes[0]
    assert found.notes[1] == "rows in the way in 2 of 5 chunks, the first of them chunk 1"
    stopped = bank.journey.rollback()
    assert stopped.result is Result.CONFLICT and stopped.conflicts == named, stopped
    assert chunks(bank) == [1, 2, 3, 4, 5] and released(bank) == 39
    again = bank.journey.rollback(only_clean=True)
    assert again.result is Result.CONFLICT and len(again.conflicts) == 2, again
    assert "take back what is left with: okto-change rollback" in str(again.hint)
    assert released(bank) == 1 and bank.sql("SELECT amount FROM settlements WHERE id = 66") == [(0,)]


def test_what_another_step_leaves_is_taken_back_later_while_the_batch_leaves_a_row_again(bank: Bank) -> None:
    """A second rollback goes through both, and names the row that is still in the way."""
    bank.sql("CREATE TABLE notes (id int PRIMARY KEY); CREATE TABLE remarks (note int NOT NULL REFERENCES notes)")
    note = '  - {name: note, target: ledger, statement: "INSERT INTO notes VALUES (1)", touches: [notes], rows: 1}\n'
    write(bank, after=note)
    assert bank.journey.apply().result is Result.DONE
    bank.sql("UPDATE settlements SET amount = 0 WHERE id = 66; INSERT INTO remarks VALUES (1)")
    part = bank.journey.rollback(only_clean=True)
    assert part.result is Result.CONFLICT and len(part.conflicts) == 2, part
    assert "okto-change rollback" in str(part.hint)
    bank.sql("DELETE FROM remarks")
    rest = bank.journey.rollback(only_clean=True)
    assert rest.result is Result.CONFLICT and ["66" in line for line in rest.conflicts] == [True], rest
    assert bank.sql("SELECT count(*) FROM notes") == [(0,)] and released(bank) == 1


def test_a_row_that_somebody_changes_meanwhile_stops_the_undo_in_its_chunk(bank: Bank) -> None:
    """Chunks taken back so far stay taken back; state says which stand; --only-clean does the rest."""
    write(bank)
    assert bank.journey.apply().result is Result.DONE
    stopped = bank.journey.rollback(
        at(bank, EventKind.UNDONE, 5, lambda: bank.sql("UPDATE settlements SET amount = 0 WHERE id = 66"))
    )
    assert stopped.result is Result.STUCK, stopped
    assert "chunk 3 of release" in stopped.summary and "3 of 5 chunks" in stopped.state
    assert any("66" in line for line in stopped.conflicts)
    assert chunks(bank) == [1, 2, 3] and released(bank) == 24
    assert bank.journey.rollback().result is Result.CONFLICT and chunks(bank) == [1, 2, 3]
    again = bank.journey.rollback(only_clean=True)
    assert again.result is Result.CONFLICT, again
    assert released(bank) == 1 and bank.sql("SELECT amount FROM settlements WHERE id = 66") == [(0,)]


def test_a_batch_that_was_taken_back_is_put_back_in_chunks_and_taken_back_again(bank: Bank) -> None:
    """Back and forth: the same rows each time, each way first looked at, the chunks in the order of their keys."""
    write(bank, checks=INVARIANTS.format(what="sum(amount)"))
    assert bank.journey.apply().result is Result.DONE
    for _ in range(2):
        assert bank.journey.rollback().result is Result.DONE and as_before(bank) and chunks(bank) == []
        found = bank.journey.redo_preview()
        assert found.redo and found.conflicts == () and [w.updated for w in found.writes] == [40]
        bank.journey.events.clear()
        done = bank.journey.redo()
        assert done.result is Result.DONE and [w.updated for w in done.writes] == [40], done
        told = [e.data["chunk"] for e in bank.journey.events if e.kind is EventKind.COMMITTED and "chunk" in e.data]
        assert told == [1, 2, 3, 4, 5] and released(bank) == 40 and chunks(bank) == told
        assert bank.sql("SELECT count(*) FROM okto_change.image") == [(0,)]  # the native images go back and forth
        assert bank.journey.status().state == "applied"
        assert bank.journey.apply().result is Result.ALREADY_APPLIED
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


@pytest.mark.parametrize(
    ("kind", "moment", "nth", "stand"),
    [
        pytest.param("committing", "after", 3, 2, id="between the announcement and COMMIT"),
        pytest.param("committed", "before", 3, 3, id="after COMMIT, before its entry"),
        pytest.param("committed", "before", 5, 5, id="after the last chunk"),
        pytest.param("committed", "before", 6, 5, id="after the end was committed"),
    ],
)
def test_a_killed_redo_goes_on_or_is_taken_back(bank: Bank, kind: str, moment: str, nth: int, stand: int) -> None:
    """What stands again can be taken back, and what does not is put back by the next redo; never twice."""
    write(bank)
    assert bank.journey.apply().result is Result.DONE
    for way in ("rollback", "redo"):
        assert bank.journey.rollback().result is Result.DONE and as_before(bank)
        bank.journey.killed("redo", kind, moment, nth=nth)
        assert len(chunks(bank)) == stand and released(bank) == stand * 8
        if way == "rollback":
            assert bank.journey.rollback().result is Result.DONE and as_before(bank) and chunks(bank) == []
            again = bank.journey.redo()
        elif (kind, moment, nth) == ("committed", "before", 6):
            continue  # the next command finds out that it is whole
        else:
            with pytest.raises(Stuck, match="broke off") as caught:
                bank.journey.apply()
            assert "okto-change redo" in str(caught.value.hint)
            again = bank.journey.redo()
        assert again.result is Result.DONE and released(bank) == 40 and chunks(bank) == [1, 2, 3, 4, 5], again
    assert bank.journey.apply().result is Result.ALREADY_APPLIED
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


def test_a_row_that_somebody_changed_after_the_undo_stops_the_redo_before_anything(bank: Bank) -> None:
    """A redo destroys no later work either; what comes between its chunks stops it, and what it put back is taken back."""
    write(bank)
    bank.journey.apply()
    bank.journey.rollback()
    bank.sql("UPDATE settlements SET amount = 0 WHERE id = 66")
    stopped = bank.journey.redo()
    assert stopped.result is Result.CONFLICT and any("chunk 3" in line and "66" in line for line in stopped.conflicts)
    assert chunks(bank) == [] and released(bank) == 0
    bank.sql("UPDATE settlements SET amount = 22 WHERE id = 66")
    assert bank.journey.redo().result is Result.CONFLICT  # written again, with the same values


def test_a_rehearsal_runs_the_first_chunks_and_says_what_it_expects_of_the_rest(bank: Bank) -> None:
    """Two of five chunks, their undo proven; what needs the whole is not judged, what follows is not rehearsed."""
    write(bank, checks=INVARIANTS.format(what="sum(amount)"))
    result = bank.journey.dry_run()
    rehearsed = result.rehearsal
    assert rehearsed is not None and rehearsed.failure is None, rehearsed
    (preview,) = result.previews
    assert preview.count.rows == 8 and preview.note == "looked at in the first chunk of about 5"
    (seen,) = rehearsed.batches
    assert (seen.chunks, seen.of, seen.rows, seen.expected_rows, seen.whole) == (2, 5, 16, 40, False)
    assert rehearsed.undo.proven and rehearsed.undo.rows == 16
    assert [check.name for check in rehearsed.checks] == ["pending", "each", "each"]
    assert as_before(bank) and chunks(bank) == []


def test_a_rehearsal_of_a_small_batch_is_the_whole(bank: Bank) -> None:
    """Two chunks are all there is, so everything is judged."""
    write(bank, size=25, checks=INVARIANTS.format(what="sum(amount)"))
    rehearsed = bank.journey.dry_run().rehearsal
    assert rehearsed is not None and rehearsed.batches[0].whole
    assert [check.name for check in rehearsed.checks] == ["pending", "each", "each", "none left", "whole"]


def test_a_step_behind_a_batch_is_not_called_rehearsed(bank: Bank) -> None:
    """It may need the whole, which a rehearsal does not run."""
    write(bank, after="  - {name: book, target: ledger, sql: book.sql, rows: 2, touches: [accounts]}\n")
    rehearsed = bank.journey.dry_run().rehearsal
    assert rehearsed is not None and rehearsed.failure is None
    assert not rehearsed.undo.proven and "book comes after a batch" in str(rehearsed.undo.reason)
    assert bank.journey.apply().result is Result.DONE
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


# ----------------------------------------------------------------------------------- pauses


def at(bank: Bank, kind: EventKind, chunk: int, act: Callable[[], object]) -> Callable[[Event], None]:
    """Return a watcher that acts at one event of one chunk."""

    def watch(event: Event) -> None:
        bank.journey.events.append(event)
        if event.kind is kind and event.data.get("chunk") == chunk:
            act()

    return watch


def pause(bank: Bank) -> PauseAsked:
    """Ask the run of now to pause, as another terminal does."""
    return pipeline.pause(bank.journey.repository, str(bank.journey.status().run))


def test_a_run_pauses_between_two_chunks_when_asked_and_goes_on(bank: Bank) -> None:
    """Exit code 6, what stands in figures, who asked, and the command that goes on; resume does the rest, once."""
    write(bank)
    asked: list[PauseAsked] = []
    paused = bank.journey.apply(at(bank, EventKind.COMMITTED, 2, lambda: asked.append(pause(bank))))
    assert (paused.result, outcome_code(paused)) == (Result.PAUSED, 6), paused
    assert paused.summary.startswith("paused as ana asked at ")
    assert "2 of about 5 chunks, 16 rows" in paused.state and f"okto-change resume {paused.run}" in str(paused.hint)
    assert (asked[0].run, asked[0].target, asked[0].undo) == (paused.run, "ledger", False)
    assert released(bank) == 16
    status = bank.journey.status()
    assert status.state == "paused" and "chunk 2 of about 5, 16 rows so far" in str(status.detail)
    assert "paused as ana asked" in str(status.detail) and "okto-change resume" in str(status.next)
    assert f"run {paused.run} stands committed in part" in str(status.detail)
    with pytest.raises(Stuck, match=f"run {paused.run} of .* is paused"):
        bank.journey.apply()
    with pytest.raises(Refused, match="has ended: paused"):
        pause(bank)
    done = bank.journey.resume(str(paused.run))
    assert done.result is Result.DONE and released(bank) == 40
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


def test_a_paused_run_can_be_taken_back_and_the_undo_be_paused_too(bank: Bank) -> None:
    """The undo stops between two chunks as well; the next rollback goes on with it."""
    write(bank)
    bank.journey.apply(at(bank, EventKind.COMMITTED, 4, lambda: pause(bank)))
    halted = bank.journey.rollback(at(bank, EventKind.UNDONE, 4, lambda: pause(bank)))
    assert halted.result is Result.PAUSED, halted
    assert "3 of 4 chunks" in halted.state and "okto-change rollback" in str(halted.hint)
    assert chunks(bank) == [1, 2, 3] and bank.journey.status().state == "paused"
    assert "rollback" in str(bank.journey.status().next) and "resume" not in str(bank.journey.status().next)
    run = next(entry.event.run for entry in bank.journey.journal())
    with pytest.raises(Refused, match="took something back"):
        bank.journey.resume(run)
    assert chunks(bank) == [1, 2, 3]
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


@pytest.mark.parametrize("kind", [EventKind.CHUNK_STARTED, EventKind.COMMITTED])
def test_ctrl_c_pauses_instead_of_undoing_hours_of_work(bank: Bank, kind: EventKind) -> None:
    """Inside a chunk that chunk is rolled back; between two nothing is; those committed stand."""
    write(bank)
    paused = bank.journey.apply(at(bank, kind, 3, lambda: os.kill(os.getpid(), signal.SIGINT)))
    stand = 2 if kind is EventKind.CHUNK_STARTED else 3
    assert paused.result is Result.PAUSED and "interrupted by SIGINT" in paused.summary, paused
    assert chunks(bank) == list(range(1, stand + 1)) and released(bank) == stand * 8
    assert bank.journey.resume(str(paused.run)).result is Result.DONE and released(bank) == 40


def test_ctrl_c_before_the_first_commit_leaves_nothing(bank: Bank) -> None:
    """Where nothing stands there is nothing to pause."""
    write(bank)
    ended = bank.journey.apply(at(bank, EventKind.CHUNK_STARTED, 1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert (ended.result, ended.state) == (Result.ROLLED_BACK, "rolled back; nothing was changed") and as_before(bank)


def test_a_statement_that_fails_in_a_later_chunk_pauses_there(bank: Bank) -> None:
    """One row that does not fit says nothing about the others: they stand, it is named, and resume tries again."""
    write(bank)
    bank.sql("ALTER TABLE settlements ADD CONSTRAINT odd CHECK (id <> 93 OR status <> 'RELEASED')")
    paused = bank.journey.apply()
    assert paused.result is Result.PAUSED and "odd" in paused.summary, paused
    assert chunks(bank) == [1, 2, 3]
    bank.sql("ALTER TABLE settlements DROP CONSTRAINT odd")
    assert bank.journey.resume(str(paused.run)).result is Result.DONE and released(bank) == 40


@pytest.mark.parametrize("how", [OnCommit.LOSE_REQUEST, OnCommit.LOSE_ANSWER, OnCommit.LATE], ids=lambda how: how.name)
def test_a_broken_commit_of_a_chunk_is_found_out_and_happens_once(
    bank: Bank, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, how: OnCommit
) -> None:
    """Lost before COMMIT arrived, the run pauses; arrived without an answer, it goes on as if nothing had been."""
    monkeypatch.setenv("OKTO_LEDGER_DSN", proxy.conninfo(bank.ledger))
    proxy.late = 0.5
    write(bank)

    def watch(event: Event) -> None:
        chosen = event.kind is EventKind.COMMITTING and event.data.get("chunk") == 3
        proxy.on_commit = how if chosen else OnCommit.PASS

    ended = bank.journey.apply(watch)
    if how is OnCommit.LOSE_REQUEST:
        assert ended.result is Result.PAUSED and "before COMMIT arrived" in ended.summary, ended
        ended = bank.journey.resume(str(ended.run))
    assert ended.result is Result.DONE and released(bank) == 40 and chunks(bank) == [1, 2, 3, 4, 5]
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


@pytest.mark.parametrize("command", ["apply", "rollback"])
def test_no_chunk_commits_whose_announcement_cannot_be_written(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The entry is written while the rows are proven or moved; the COMMIT waits for it, however long that takes."""
    write(bank)
    if command == "rollback":
        assert bank.journey.apply().result is Result.DONE
    wanted = EventKind.COMMITTING if command == "apply" else EventKind.UNDO_COMMITTING
    append = Journal.append

    def refuse(journal: Journal, event: Event) -> Entry:
        if event.kind is wanted and event.data.get("chunk") == 3:
            time.sleep(0.5)
            raise JournalBroken("the journal cannot be written: no room")
        return append(journal, event)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", refuse)
        with pytest.raises(JournalBroken, match="no room"):
            getattr(bank.journey, command)()
    assert chunks(bank) == ([1, 2] if command == "apply" else [1, 2, 3])
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


@pytest.mark.parametrize("command", ["rollback", "redo"])
@pytest.mark.parametrize("how", [OnCommit.LOSE_REQUEST, OnCommit.LOSE_ANSWER], ids=lambda how: how.name)
def test_a_broken_commit_of_a_chunk_on_its_way_back_or_forth_happens_once(
    bank: Bank, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, how: OnCommit, command: str
) -> None:
    """As while it was applied: lost, it pauses; without an answer, it is found out."""
    monkeypatch.setenv("OKTO_LEDGER_DSN", proxy.conninfo(bank.ledger))
    write(bank)
    assert bank.journey.apply().result is Result.DONE
    if command == "redo":
        assert bank.journey.rollback().result is Result.DONE
    kind = EventKind.UNDO_COMMITTING if command == "rollback" else EventKind.COMMITTING

    def watch(event: Event) -> None:
        proxy.on_commit = how if event.kind is kind and event.data.get("chunk") == 3 else OnCommit.PASS

    go = getattr(bank.journey, command)
    ended = go(watch)
    if how is OnCommit.LOSE_REQUEST:
        assert ended.result is Result.PAUSED and len(chunks(bank)) == (3 if command == "rollback" else 2), ended
        ended = go()
    assert ended.result is Result.DONE and released(bank) == (0 if command == "rollback" else 40), ended


def test_of_two_terminals_that_resume_at_once_one_does_it(bank: Bank) -> None:
    """The other is told who works on it; no chunk is done twice."""
    write(bank, size=1)
    bank.journey.killed("apply", "committed", "after", nth=3)
    run = str(bank.journey.status().run)

    def resume() -> str:
        try:
            with closing(pipeline.open_repository(bank.journey.git.path)) as repo:
                return pipeline.resume(repo, run, watch=lambda event: None).result.value
        except Refused as refused:
            return refused.message

    with ThreadPoolExecutor(2) as pool:
        told = [one.result(60) for one in [pool.submit(resume), pool.submit(resume)]]
    [other] = [one for one in told if one != "done"]
    assert "another command works on" in other or "nothing to resume" in other, told
    assert released(bank) == 40 and len(chunks(bank)) == 50


def test_a_run_without_chunks_and_one_that_nobody_knows_cannot_be_paused(bank: Bank) -> None:
    """The message says why, and what stops it instead."""
    bank.plan(FIRST)
    refused: list[OktoError] = []

    def ask() -> None:
        with pytest.raises(Refused) as caught:
            pause(bank)
        refused.append(caught.value)

    def watch(event: Event) -> None:
        if event.kind is EventKind.STATEMENT_DONE:
            ask()

    assert bank.journey.apply(watch).result is Result.DONE
    assert "not in a step with `batch:`" in refused[0].message and "Ctrl-C" in str(refused[0].hint)
    with pytest.raises(UsageError, match="no journal knows"):
        pipeline.pause(bank.journey.repository, "20261122-000000-0000")
    bank.journey.killed("rollback", "undo started", "after")
    with pytest.raises(Refused, match="no command works on run"):
        pause(bank)


# ----------------------------------------------------------------------------------- giving way


def waits(bank: Bank) -> list[str]:
    """Return what the run said that it waited for."""
    return [str(event.data["reason"]) for event in bank.journey.events if event.kind is EventKind.WAITING]


def test_a_batch_waits_for_its_replicas_and_says_so(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of the tests has a replica, so the answer is made up; that the question is right is tested beside it."""
    lags = iter([0, 0, 9_000, 8_000, 0])
    monkeypatch.setattr(chunk_rows, "lag", lambda session: next(lags, 0))
    write(bank, more=", max_lag: 5s")
    assert bank.journey.apply().result is Result.DONE
    assert waits(bank) == ["the slowest replica is 9.0 s behind, the plan allows 5 s"]


def test_the_lag_of_no_replica_is_none_and_of_hidden_ones_unknown(bank: Bank) -> None:
    """The real question, on a server without replicas."""
    with connect("ledger", bank.ledger) as session:
        assert chunk_rows.lag(session) == 0


def test_a_role_that_may_not_see_replicas_is_refused_before_the_first_chunk(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown never passes."""
    monkeypatch.setattr(chunk_rows, "lag", lambda session: None)
    write(bank, more=", max_lag: 5s")
    refused = bank.journey.apply()
    assert refused.result is Result.REFUSED and "GRANT pg_monitor" in str(refused.hint) and as_before(bank)


def test_a_batch_gives_way_to_sessions_that_waited_for_its_last_chunk(bank: Bank) -> None:
    """Another session waits for a row of the first chunk; the run says how many waited and gives way before the second."""
    write(bank)
    with psycopg.connect(bank.ledger, autocommit=True) as other, ThreadPoolExecutor(1) as pool:
        waiting: list[Future[object]] = []

        def block() -> None:
            waiting.append(pool.submit(other.execute, "UPDATE settlements SET amount = amount WHERE id = 3"))
            _until(bank, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 1)

        outcome = bank.journey.apply(at(bank, EventKind.COMMITTING, 1, block))
        waiting[0].result(60)
    assert outcome.result is Result.DONE and released(bank) == 40
    assert len(waits(bank)) == 1 and waits(bank)[0].startswith("1 session waited for a lock of the last chunk")


def _until(bank: Bank, question: str, answer: int) -> None:
    deadline = time.monotonic() + 60
    while bank.sql(question) != [(answer,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
