"""Writers hammer a table while a change of it is applied and taken back: no update is lost, no row is wrongly restored.

Each writer logs what it did to which key, in the statement that did it. The log's number is drawn when the row is held
already, so by key the log is in order, and tells alone what the table must be like once the change is taken back.
``OKTO_HAMMER_ROUNDS`` sets how many rounds are played; ``make hammer ROUNDS=200`` plays many.
"""

from __future__ import annotations

import os
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pytest

from okto_change import pipeline
from okto_change.execution import transactions
from okto_change.model import Outcome, Result
from tests.plugins.journey import Journey

ROUNDS = int(os.environ.get("OKTO_HAMMER_ROUNDS", "2"))
WRITERS = 3
KEYS = 400
SCHEMA = """
CREATE TABLE hot (id int PRIMARY KEY, fixed int NOT NULL DEFAULT 0, writes int NOT NULL DEFAULT 0, last text NOT NULL DEFAULT '');
CREATE TABLE log (number bigserial PRIMARY KEY, op text NOT NULL, id int NOT NULL, tag text NOT NULL);
"""
FILL = "INSERT INTO hot SELECT g FROM generate_series(1, %(keys)s) AS g WHERE g %% 5 > 0"
UPDATE = """WITH done AS (UPDATE hot SET writes = writes + 1, last = %(tag)s WHERE id = %(id)s RETURNING id)
            INSERT INTO log (op, id, tag) SELECT 'U', id, %(tag)s FROM done"""
INSERT = """WITH done AS (INSERT INTO hot (id, last) VALUES (%(id)s, %(tag)s) ON CONFLICT DO NOTHING RETURNING id)
            INSERT INTO log (op, id, tag) SELECT 'I', id, %(tag)s FROM done"""
DELETE = """WITH done AS (DELETE FROM hot WHERE id = %(id)s RETURNING id)
            INSERT INTO log (op, id, tag) SELECT 'D', id, %(tag)s FROM done"""
AHEAD = "UPDATE hot SET fixed = fixed + 1 WHERE id % 8 = 0;\n"
TRIGGERS = "DO $$BEGIN UPDATE hot SET fixed = fixed + 1 WHERE id % 8 = 0; DELETE FROM hot WHERE id % 10 = 3; END$$;\n"
STEP = "  - {name: fix, target: ledger, sql: fix.sql, touches: [hot]}\n"
BACK = frozenset({Result.DONE, Result.CONFLICT})
"""ends of an undo that leaves what somebody wrote since: all is back, or the rest is and the rows left are named"""
PASSING = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)


@dataclass
class Hammer:
    """Writers that go on until told to stop. ``done`` counts what they committed."""

    conninfo: str
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    errors: list[BaseException] = field(default_factory=list)

    def write(self, writer: int) -> None:
        """Write until stopped; what goes wrong is kept."""
        chance = random.Random(self.seed * WRITERS + writer)
        try:
            with psycopg.connect(self.conninfo, autocommit=True) as connection:
                while not self.stop.wait(chance.uniform(0, 0.04)):
                    self.once(connection, chance, f"{writer}:{sum(self.done.values())}:{chance.random()}")
        except BaseException as error:  # the test must know of everything
            self.errors.append(error)

    def once(self, connection: psycopg.Connection, chance: random.Random, tag: str) -> None:
        """Write once. Keys that a change deletes are not deleted by writers: who had deleted them could not be told."""
        key = chance.randint(1, KEYS)
        statements = [UPDATE, UPDATE, INSERT] if key % 10 == 3 else [UPDATE, UPDATE, INSERT, DELETE]
        statement = chance.choice(statements)
        try:
            self.done[statement[11:17]] += connection.execute(statement.encode(), {"id": key, "tag": tag}).rowcount
        except PASSING:
            return


@contextmanager
def hammering(conninfo: str, seed: int) -> Iterator[Hammer]:
    """Have writers at work while the body runs. Fails if one of them failed."""
    hammer = Hammer(conninfo, seed)
    threads = [threading.Thread(target=hammer.write, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield hammer
    finally:
        hammer.stop.set()
        for thread in threads:
            thread.join()
    assert hammer.errors == []


def expected(connection: psycopg.Connection) -> dict[int, tuple[int, str]]:
    """Return what the log alone says: key -> number of updates since the row is there, the last tag."""
    rows = {key: (0, "") for key in range(1, KEYS + 1) if key % 5}
    for op, key, tag in connection.execute("SELECT op, id, tag FROM log ORDER BY number"):
        if op == "D":
            del rows[key]
        else:
            assert (key in rows) == (op == "U") or key % 10 == 3, f"{op} of {key}"  # the change took that one away
            rows[key] = (0 if op == "I" else rows[key][0] + 1, tag)
    return rows


def look(conninfo: str, end: Outcome, seen: str) -> None:
    """Hold the table against the log: every write is there, no row too many, and what is still fixed is told of by key."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT id, fixed, writes, last FROM hot").fetchall()
        wanted = expected(connection)
        written = {key for (key,) in connection.execute("SELECT id FROM log")}
    assert {key: (writes, last) for key, _, writes, last in rows} == wanted, seen
    fixed = {key for key, how_often, _, _ in rows if how_often}
    told = {int(key) for line in end.conflicts for key in re.findall(r"\(id=(\d+)\)", line)}
    assert {how_often for _, how_often, _, _ in rows} <= {0, 1}, seen
    assert fixed <= told <= written, (seen, fixed, told)


@pytest.fixture
def prepared(journey: Journey, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a database with the tables; a run that meets a writer tries again soon."""
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.02)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(SCHEMA)
    return database


@pytest.mark.parametrize(
    ("text", "way"), [(AHEAD, "reading rows ahead"), (TRIGGERS, "triggers")], ids=["ahead", "triggers"]
)
def test_writers_lose_nothing(journey: Journey, prepared: str, text: str, way: str) -> None:
    """Apply and take back under fire; afterwards, and after a second try in peace, the log explains every row."""
    ends: Counter[str] = Counter()
    for number in range(ROUNDS):
        change = f"2026-11-22-round-{number}"
        with psycopg.connect(prepared, autocommit=True) as connection:
            connection.execute("TRUNCATE hot, log")
            connection.execute(FILL, {"keys": KEYS})
        journey.write(STEP, {"fix.sql": text}, change=change)
        with hammering(prepared, number) as hammer:
            end = applied = journey.apply(change=change)
            if applied.result is Result.DONE:
                end = back(journey, change)
        if applied.result is Result.DONE and end.result not in BACK:
            ends["second try"] += 1
            end = back(journey, change)
            assert end.result in BACK, end
        look(prepared, end, f"round {number}: {applied.summary}; {end.summary}; {hammer.done}")
        ends[applied.result.value] += 1
        ends["left"] += len(end.conflicts)
        ends["writes"] += hammer.done.total()
    print(way, dict(ends))
    assert ends["writes"] > 0
    assert any(way in str(event.data.get("capture")) for event in journey.events)
    assert ends[Result.DONE.value], ends


def back(journey: Journey, change: str) -> Outcome:
    """Take back what nobody wrote since."""
    return pipeline.rollback(journey.repository, change, "sandbox", only_clean=True, watch=journey.events.append)
