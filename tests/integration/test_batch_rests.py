"""What a rollback had to leave of a batch is taken back later: chunk by chunk, once, and nothing of what others did since."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from okto_change import pipeline
from okto_change.errors import Refused, Stuck
from okto_change.model import Event, EventKind, Result
from tests.plugins.journey import Bank

STEP = """\
  - name: fix
    target: ledger
    sql: fix.sql
    touches: [{touches}]
    batch: {{table: t, key: id, size: 5}}
"""
FIX = "UPDATE t SET code = 'new-' || id, state = 'done' WHERE {{ batch }};\n"
TABLE = """
    CREATE TABLE t (id bigint PRIMARY KEY, code text UNIQUE, state text);
    INSERT INTO t SELECT n, 'old-' || n, 'open' FROM generate_series(1, 23) AS n; ANALYZE t"""
TRIGGER = """
    CREATE FUNCTION same() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
    CREATE TRIGGER same BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION same()"""
PARTITIONED = """
    CREATE TABLE t (id bigint PRIMARY KEY, code text, state text) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (9); CREATE TABLE high PARTITION OF t FOR VALUES FROM (9) TO (9999);
    CREATE UNIQUE INDEX ON low (code); CREATE UNIQUE INDEX ON high (code);
    INSERT INTO t SELECT n, 'old-' || n, 'open' FROM generate_series(1, 23) AS n; ANALYZE t"""
TABLES = {"native images": TABLE, "images by triggers": f"{TABLE}; {TRIGGER}", "partitions": PARTITIONED}
Rows = list[tuple[int, str, str]]


def plan(bank: Bank, ddl: str = TABLE, *, fix: str = FIX, touches: str = "t", checks: str = "") -> None:
    """Make the table, and a change that goes through it in five chunks."""
    bank.sql(ddl)
    bank.plan(STEP.format(touches=touches), fix=fix, checks=checks)


def rows(bank: Bank) -> Rows:
    """Return the rows of the plan, without those of others."""
    return [
        (n, code, state)
        for n, code, state in bank.sql("SELECT * FROM t WHERE id < 1000 AND state <> 'theirs' ORDER BY id")
    ]


def mixed(before: Rows, after: Rows, *standing: int) -> Rows:
    """Return the rows as they were, but for some that are as the change left them."""
    return [new if old[0] in standing else old for old, new in zip(before, after, strict=True)]


def occupy(bank: Bank, *numbers: int) -> None:
    """Take the code that a row had, so that it cannot come back."""
    for number in numbers:
        place = 1000 + number if number > 8 or bank.sql("SELECT to_regclass('low') IS NULL") == [(True,)] else 0
        bank.sql(f"INSERT INTO t VALUES ({place}, 'old-{number}', 'theirs')")


def free(bank: Bank, *numbers: int) -> None:
    """Put that right."""
    for number in numbers:
        bank.sql(f"DELETE FROM t WHERE state = 'theirs' AND code = 'old-{number}'")


def left(bank: Bank) -> list[tuple[int, int]]:
    """Return the chunks of which rows were left, and how many, as the target knows them."""
    return bank.sql("SELECT number, left_rows FROM okto_change.chunk WHERE left_rows > 0 ORDER BY number")


def gone_through(bank: Bank) -> list[int]:
    """Return the chunks that the last command took back."""
    return [e.data["chunk"] for e in bank.journey.events if e.kind is EventKind.UNDONE and "chunk" in e.data]


@pytest.fixture(params=list(TABLES))
def ddl(request: pytest.FixtureRequest) -> str:
    """Give a table whose images are kept in one way."""
    return TABLES[str(request.param)]


def test_what_was_left_is_taken_back_when_the_conflict_is_gone(bank: Bank, ddl: str) -> None:
    """Two rows were in the way. Each comes back once its place is free; rows that are back are nobody's business any more."""
    plan(bank, ddl)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    occupy(bank, 7, 18)
    part = bank.journey.rollback(only_clean=True)
    assert part.result is Result.CONFLICT and len(part.conflicts) == 2, part
    assert "okto-change rollback" in str(part.hint) and part.summary.startswith("took back a part of")
    assert rows(bank) == mixed(before, after, 7, 18) and left(bank) == [(2, 1), (4, 1)]
    assert (
        "what others changed since" in str(bank.journey.status().detail) and bank.journey.status().state == "conflict"
    )

    bank.sql("UPDATE t SET state = 'mine' WHERE id IN (6, 8, 19)")  # rows that are back: theirs now
    bank.sql("DELETE FROM t WHERE id = 9")
    before = [(n, code, "mine" if n in (6, 8, 19) else state) for n, code, state in before if n != 9]
    after = [row for row in after if row[0] != 9]
    stopped = bank.journey.rollback()
    assert stopped.result is Result.CONFLICT and len(stopped.conflicts) == 2, stopped
    assert rows(bank) == mixed(before, after, 7, 18)

    free(bank, 18)
    found = bank.journey.rollback_preview()
    assert [line.split(":")[0] for line in found.conflicts] == ["chunk 2"] and "what is left" in found.notes[0], found
    assert [w.updated for w in found.writes if w.total] == [1] and [row.columns["state"] for row in found.rows] == [
        ("done", "open")
    ]
    bank.journey.events.clear()
    second = bank.journey.rollback(only_clean=True)
    assert second.result is Result.CONFLICT and second.summary.startswith("took back a part of"), second
    assert gone_through(bank) == [4, 2] and rows(bank) == mixed(before, after, 7) and left(bank) == [(2, 1)]
    nothing = bank.journey.rollback(only_clean=True)
    assert nothing.summary.startswith("took back nothing of") and rows(bank) == mixed(before, after, 7), nothing

    free(bank, 7)
    bank.journey.events.clear()
    last = bank.journey.rollback()
    assert last.result is Result.DONE and gone_through(bank) == [2], last
    assert rows(bank) == before and left(bank) == [] and bank.journey.status().state == "undone"
    assert bank.journey.rollback().result is Result.NOTHING_TO_UNDO
    assert bank.journey.journal()


def test_a_redo_puts_back_what_all_rollbacks_took_and_nothing_else(bank: Bank, ddl: str) -> None:
    """After one part, after two, after the whole: the change stands as it was applied, and comes back whole from there."""
    plan(bank, ddl)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    for parts in (1, 2, 3):
        occupy(bank, 7, 18)
        assert bank.journey.rollback(only_clean=True).result is Result.CONFLICT
        for number in (18, 7)[: parts - 1]:
            free(bank, number)
            bank.journey.rollback(only_clean=True)
        standing = (7, 18) if parts == 1 else (7,) if parts == 2 else ()
        assert rows(bank) == mixed(before, after, *standing)
        found = bank.journey.redo_preview()
        assert found.conflicts == () and [w.updated for w in found.writes] == [23 - len(standing)], found
        free(bank, 7, 18)
        again = bank.journey.redo()
        assert again.result is Result.DONE and rows(bank) == after and left(bank) == [], again
        assert bank.journey.status().state == "applied"
        assert bank.journey.apply().result is Result.ALREADY_APPLIED
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


def test_a_redo_stops_at_a_row_that_somebody_changed_after_any_of_the_rollbacks(bank: Bank) -> None:
    """One that came back with the second rollback counts like the others."""
    plan(bank)
    assert bank.journey.apply().result is Result.DONE
    occupy(bank, 7)
    bank.journey.rollback(only_clean=True)
    free(bank, 7)
    assert bank.journey.rollback().result is Result.DONE
    bank.sql("UPDATE t SET state = 'mine' WHERE id IN (7, 8)")
    now = rows(bank)
    stopped = bank.journey.redo()
    assert stopped.result is Result.CONFLICT and rows(bank) == now, stopped
    assert sorted(line.split(":")[1] for line in stopped.conflicts) == [" public.t (id=7)", " public.t (id=8)"]


@pytest.mark.parametrize(
    ("kind", "moment", "nth", "standing"),
    [
        pytest.param("undo started", "after", 1, (2, 7, 18), id="before the first"),
        pytest.param("chunk started", "after", 2, (2, 7), id="inside a chunk"),
        pytest.param("undo committing", "after", 2, (2, 7), id="between the announcement and COMMIT"),
        pytest.param("undone", "before", 2, (2,), id="after COMMIT, before its entry"),
        pytest.param("undone", "after", 2, (2,), id="between two chunks"),
        pytest.param("undo committing", "before", 3, (2,), id="before the last announcement"),
        pytest.param("undone", "before", 3, (), id="after the last COMMIT"),
        pytest.param("run finished", "before", 1, (), id="before the end was written"),
    ],
)
def test_a_second_rollback_that_is_killed_is_gone_on_with(
    bank: Bank, kind: str, moment: str, nth: int, standing: tuple[int, ...]
) -> None:
    """kill -9 at any moment: what is back stays back, also when others change it, and the rest comes back with the next."""
    plan(bank)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    occupy(bank, 2, 7, 18)
    bank.journey.rollback(only_clean=True)
    assert left(bank) == [(1, 1), (2, 1), (4, 1)]
    free(bank, 2, 7, 18)
    bank.journey.killed("rollback", kind, moment, nth=nth)
    assert rows(bank) == mixed(before, after, *standing)
    back = sorted({2, 7, 18} - set(standing))
    bank.sql(f"UPDATE t SET state = 'mine' WHERE id IN ({', '.join(map(str, [*back, 3]))})")
    before = [(n, code, "mine" if n in (*back, 3) else state) for n, code, state in before]
    again = bank.journey.rollback()
    assert again.result is (Result.DONE if standing else Result.NOTHING_TO_UNDO), again
    assert rows(bank) == before and left(bank) == [] and bank.journey.status().state.startswith("undone")
    assert bank.journey.journal()


@pytest.mark.parametrize("kind", ["undo committing", "undone"])
def test_a_first_rollback_in_part_that_is_killed(bank: Bank, kind: str) -> None:
    """The next one takes the chunks that stand, and what was left of those that do not, in one go."""
    plan(bank)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    occupy(bank, 2, 18)
    moment, nth = ("before", 3) if kind == "undone" else ("after", 4)  # chunk 4 is announced twice: not all of it fits
    bank.journey.killed("rollback --only-clean", kind, moment, nth=nth)
    stand = 2 if kind == "undone" else 3
    assert rows(bank) == mixed(before, after, *range(1, stand * 5 + 1), 18) and left(bank) == [(4, 1)]
    with pytest.raises(Stuck, match="a part of run"):
        bank.journey.apply()
    with pytest.raises(Refused, match="in part only"):
        bank.journey.redo()
    assert "okto-change rollback" in str(bank.journey.status().next)
    free(bank, 18)
    bank.journey.events.clear()
    second = bank.journey.rollback(only_clean=True)
    assert second.result is Result.CONFLICT and len(second.conflicts) == 1, second
    assert gone_through(bank) == [4, *range(stand, 0, -1)] and rows(bank) == mixed(before, after, 2)
    free(bank, 2)
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


@pytest.mark.parametrize("how", ["pause", "ctrl-c", "a lock of others"])
def test_a_second_rollback_that_something_comes_between_is_paused(bank: Bank, how: str) -> None:
    """What is back stays back; how many chunks stand is told as it is, and the next rollback goes on."""
    bank.sql(TABLE)
    bank.plan(STEP.format(touches="t") + "    timeouts: {lock: 50ms, statement: 5s}\n", fix=FIX)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    occupy(bank, 7, 18)
    bank.journey.rollback(only_clean=True)
    free(bank, 7, 18)
    with psycopg.connect(bank.ledger) as other:

        def come_between(event: Event) -> None:
            if event.kind is not EventKind.UNDONE or event.data.get("chunk") != 4:
                return
            assert "0 of about 5 chunks still stand" in str(bank.journey.status().detail)
            if how == "pause":
                pipeline.pause(bank.journey.repository, str(bank.journey.status().run))
            elif how == "ctrl-c":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                other.execute("SELECT FROM t WHERE id = 7 FOR UPDATE")

        paused = bank.journey.rollback(come_between)
    assert paused.result is Result.PAUSED and "0 of 5 chunks, and rows left of 1 other" in paused.state, paused
    assert rows(bank) == mixed(before, after, 7) and bank.journey.status().state == "paused"
    assert "okto-change rollback" in str(bank.journey.status().next)
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


def test_a_conflict_that_comes_while_the_rest_is_taken_back(bank: Bank) -> None:
    """It stops there; what is back stays back, the words say what is left, and the next rollback does it."""
    plan(bank)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    occupy(bank, 7, 18)
    bank.journey.rollback(only_clean=True)
    free(bank, 7, 18)

    def meddle(event: Event) -> None:
        if event.kind is EventKind.UNDONE and event.data.get("chunk") == 4:
            occupy(bank, 7)

    stopped = bank.journey.rollback(meddle)
    assert stopped.result is Result.STUCK and "rows left of 1 other" in stopped.state, stopped
    assert rows(bank) == mixed(before, after, 7) and left(bank) == [(2, 1)]
    free(bank, 7)
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


def test_a_run_that_was_paused_halfway_is_taken_back_in_parts(bank: Bank) -> None:
    """Only its chunks; the rows that it never came to are nobody's. It is not put back in part, but can be applied anew."""
    plan(bank)
    before = rows(bank)

    def meddle(event: Event) -> None:
        if event.kind is EventKind.COMMITTED and event.data.get("chunk") == 3:
            os.kill(os.getpid(), signal.SIGINT)

    paused = bank.journey.apply(meddle)
    assert paused.result is Result.PAUSED
    occupy(bank, 7)
    part = bank.journey.rollback(only_clean=True)
    assert part.result is Result.CONFLICT and left(bank) == [(2, 1)], part
    with pytest.raises(Refused, match="broke off in a batch"):
        bank.journey.redo()
    free(bank, 7)
    done = bank.journey.rollback()
    assert done.result is Result.DONE and rows(bank) == before and "redo" not in str(done.hint), done
    with pytest.raises(Refused, match="broke off in a batch"):
        bank.journey.redo()
    with pytest.raises(Refused, match="was taken back") as caught:
        bank.journey.resume(str(paused.run))
    assert "okto-change apply" in str(caught.value.hint)
    assert bank.journey.apply().result is Result.DONE and rows(bank) != before
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


@pytest.mark.parametrize(
    ("meddling", "word"),
    [
        ("DELETE FROM t WHERE id = 7", "removed since"),
        ("UPDATE t SET id = 1007 WHERE id = 7", "removed since"),
        ("UPDATE t SET state = 'mine' WHERE id = 7", "changed since: state"),
        ("UPDATE t SET state = state WHERE id = 7", "written again since"),
        ("DELETE FROM t WHERE id = 7; INSERT INTO t VALUES (7, 'new-7', 'done')", "written again since"),
    ],
)
def test_a_row_that_is_not_ours_any_more_stays_in_the_way(bank: Bank, meddling: str, word: str) -> None:
    """Removed, moved to another key, changed, written again: no rollback touches it, however often it is run."""
    plan(bank)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    bank.sql(meddling)
    theirs = bank.sql("SELECT * FROM t WHERE id IN (7, 1007)")
    for _ in range(3):
        part = bank.journey.rollback(only_clean=True)
        assert part.result is Result.CONFLICT and word in part.conflicts[0], part
        assert [row for row in rows(bank) if row[0] != 7] == [row for row in before if row[0] != 7]
        assert bank.sql("SELECT * FROM t WHERE id IN (7, 1007)") == theirs
    assert bank.journey.rollback().result is Result.CONFLICT
    assert bank.journey.redo().result is Result.DONE
    assert bank.sql("SELECT * FROM t WHERE id IN (7, 1007)") == theirs


def test_a_redo_that_fails_leaves_what_was_left(bank: Bank) -> None:
    """What it had put back is taken back; the row that others hold stays as it is and comes back later."""
    check = 'checks:\n  inside: [{name: calm, target: ledger, statement: "SELECT count(*) FROM audit", expect: 0}]\n'
    plan(bank, checks=check)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    occupy(bank, 7)
    bank.journey.rollback(only_clean=True)
    bank.sql("INSERT INTO audit VALUES (1)")
    failed = bank.journey.redo()
    assert failed.result in (Result.UNDONE, Result.CONFLICT), failed
    assert rows(bank) == mixed(before, after, 7)
    free(bank, 7)
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before, left(bank)


def test_rows_of_other_tables_are_left_and_taken_back_later(bank: Bank) -> None:
    """A counter that every chunk moves: chunks are gone through last first, so each finds what the one before it left."""
    trigger = """
        CREATE TABLE tally (id int PRIMARY KEY, n bigint); INSERT INTO tally VALUES (1, 0);
        CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, t bigint);
        CREATE TABLE remarks (log bigint REFERENCES log);
        CREATE FUNCTION tick() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN UPDATE tally SET n = n + 1; INSERT INTO log (t) VALUES (NEW.id); RETURN NULL; END$$;
        CREATE TRIGGER tick AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tick()"""
    plan(bank, f"{TABLE}; {trigger}", touches="t, tally, log")
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    bank.sql("INSERT INTO remarks SELECT id FROM log WHERE t IN (3, 14)")
    assert bank.journey.rollback(only_clean=True).result is Result.CONFLICT
    assert bank.sql("SELECT n FROM tally") == [(0,)] and bank.sql("SELECT t FROM log ORDER BY t") == [(3,), (14,)]
    assert rows(bank) == before
    bank.sql("DELETE FROM remarks")
    done = bank.journey.rollback()
    assert done.result is Result.DONE and bank.sql("SELECT * FROM log") == [], done
    assert bank.journey.redo().result is Result.DONE and rows(bank) == after
    assert bank.sql("SELECT n, (SELECT count(*) FROM log) FROM tally") == [(23, 23)]
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before


def test_a_run_that_could_take_back_only_a_part_of_itself_is_taken_back_by_a_rollback(bank: Bank) -> None:
    """Its check failed, and somebody changed a row meanwhile: nobody is sent to `resume`, which could not go on."""
    check = 'checks:\n  inside: [{name: no, target: ledger, statement: "SELECT 1", expect: 2}]\n'
    plan(bank, checks=check)
    before = rows(bank)

    def meddle(event: Event) -> None:
        if event.kind is EventKind.COMMITTED and event.data.get("chunk") == 5:
            bank.sql("UPDATE t SET state = 'mine' WHERE id = 12")

    stuck = bank.journey.apply(meddle)
    assert stuck.result is Result.STUCK and "3 of 5 chunks" in stuck.state, stuck
    status = bank.journey.status()
    assert "a part of it is taken back" in str(status.detail) and "resume" not in str(status.next), status
    with pytest.raises(Refused, match="not resumed"):
        bank.journey.resume(str(stuck.run))
    with pytest.raises(Stuck, match="a part of run"):
        bank.journey.apply()
    part = bank.journey.rollback(only_clean=True)
    assert part.result is Result.CONFLICT and len(part.conflicts) == 1 and "redo" not in str(part.hint), part
    assert [row for row in rows(bank) if row[0] != 12] == [row for row in before if row[0] != 12]


def test_rows_left_of_many_chunks_are_counted_all_and_named_in_part(bank: Bank) -> None:
    """A hundred are named and the others counted, so that neither the words nor the memory grow with the table."""
    plan(bank, TABLE.replace("(1, 23)", "(1, 400)"), fix=FIX)
    bank.journey.write(STEP.format(touches="t").replace("size: 5", "size: 150"), {"fix.sql": FIX})
    assert bank.journey.apply().result is Result.DONE
    bank.sql("UPDATE t SET state = 'mine' WHERE id % 300 <> 0")
    part = bank.journey.rollback(only_clean=True)
    assert part.result is Result.CONFLICT and left(bank) == [(1, 150), (2, 149), (3, 100)]
    assert [e.data["left"] for e in bank.journey.events if e.kind is EventKind.UNDONE] == [100, 149, 150]
    assert bank.sql("SELECT left_rows FROM okto_change.applied WHERE undone_by IS NOT NULL") == [(399,)]
    assert len(part.conflicts) < 105 and part.conflicts[-1] == "and rows of 2 more chunks", part.conflicts[99:]
    assert bank.sql("SELECT count(*) FROM t WHERE state = 'mine'") == [(399,)]


FOLLOWING: list[tuple[str, Callable[[Bank], object]]] = [
    ("a redo killed, then a rollback killed", lambda bank: bank.journey.killed("redo", "committed", "after", nth=3)),
    ("a rollback killed", lambda bank: bank.journey.redo()),
]


@pytest.mark.parametrize("act", [act for _, act in FOLLOWING], ids=[name for name, _ in FOLLOWING])
def test_what_stands_after_two_that_broke_off_is_never_called_undone(bank: Bank, act: Callable[[Bank], object]) -> None:
    """Chunks stand and others do not: neither applied nor undone, and rollback takes back what stands."""
    plan(bank)
    before = rows(bank)
    assert bank.journey.apply().result is Result.DONE
    after = rows(bank)
    assert bank.journey.rollback().result is Result.DONE
    act(bank)
    stand = bank.sql("SELECT count(*) FROM okto_change.chunk WHERE undone_by IS NULL")[0][0] - 1
    bank.journey.killed("rollback", "undone", "after")
    assert rows(bank) == mixed(before, after, *range(1, stand * 5 + 1))
    status = bank.journey.status()
    assert "a part of it is taken back" in str(status.detail) and "rollback" in str(status.next), status
    with pytest.raises(Stuck, match="a part of run"):
        bank.journey.apply()
    assert bank.journey.rollback().result is Result.DONE and rows(bank) == before
