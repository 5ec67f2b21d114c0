"""A large fix in chunks: each a proven transaction of its own, paused, killed, resumed and taken back without doing one twice."""

from __future__ import annotations

import pytest

from okto_change.errors import Stuck
from okto_change.model import EventKind, Result
from tests.plugins.journey import Bank

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
    """Five chunks of ten rows, each announced, committed and told; the images share the one table; the undo is exact."""
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
    assert (
        bank.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'okto_change'::regnamespace AND relkind = 'r'")
        == tables
    )
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


def test_rows_that_somebody_changed_stop_the_undo_there_and_only_clean_does_the_rest(bank: Bank) -> None:
    """Chunks taken back so far stay taken back; state says which stand; the row is named; nothing of others is lost."""
    write(bank)
    assert bank.journey.apply().result is Result.DONE
    bank.sql("UPDATE settlements SET amount = 0 WHERE id = 66")
    stopped = bank.journey.rollback()
    assert stopped.result is Result.STUCK, stopped
    assert "chunk 3 of release" in stopped.summary and "3 of 5 chunks" in stopped.state
    assert any("66" in line for line in stopped.conflicts)
    assert chunks(bank) == [1, 2, 3] and released(bank) == 24
    again = bank.journey.rollback(only_clean=True)
    assert again.result is Result.CONFLICT, again
    assert released(bank) == 1 and bank.sql("SELECT amount FROM settlements WHERE id = 66") == [(0,)]


def test_a_rehearsal_runs_the_first_chunks_and_says_what_it_expects_of_the_rest(bank: Bank) -> None:
    """Two of five chunks, their undo proven; what needs the whole is not judged, what follows is not rehearsed."""
    write(bank, checks=INVARIANTS.format(what="sum(amount)"))
    rehearsed = bank.journey.dry_run().rehearsal
    assert rehearsed is not None and rehearsed.failure is None, rehearsed
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
