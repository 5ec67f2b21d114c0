"""Any story of a batch: commands, kills at any moment, and others who change rows meanwhile. Whose a row is decides what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
import pytest

from okto_change.errors import OktoError
from okto_change.model import Outcome, Result
from tests.integration.test_batch_rests import TABLES, plan
from tests.plugins.journey import Bank

COUNT = 23
KINDS = ["chunk started", "undo committing", "undone", "committing", "committed", "run finished"]
KILLED = ["apply", "rollback", "rollback --only-clean", "redo"]
Rows = dict[int, str]


@dataclass
class Story:
    """What is known of every row: as it was, as the change leaves it, and what others made of theirs; None: not there."""

    bank: Bank
    chance: random.Random
    before: Rows
    theirs: dict[int, str | None] = field(default_factory=dict)
    blocked: set[int] = field(default_factory=set)
    told: list[object] = field(default_factory=list)
    batches: int = 0
    now: Rows = field(default_factory=dict)

    def rows(self) -> Rows:
        """Return the rows of the plan as they are."""
        found = "SELECT id, code || ' ' || state FROM t WHERE id BETWEEN 1 AND 999 AND state <> 'theirs'"
        return dict(self.bank.sql(found))

    def ours(self, n: int) -> bool:
        """Whether nobody else wrote a row since the change was applied."""
        return n not in self.theirs

    def look(self, what: object) -> Rows:
        """Demand that rows of others are as they left them, and every other one as before the change or as after it."""
        self.told.append(what)
        now, batches = self.rows(), self.bank.sql("SELECT count(*) FROM okto_change.batch")[0][0]
        if batches != self.batches:  # applied anew: what was there is what it found
            self.batches, self.before = batches, self.now
            self.theirs = {n: None for n in range(1, COUNT + 1) if n not in self.now}
        for n in range(1, COUNT + 1):
            allowed = (self.before[n], f"new-{n} done") if self.ours(n) else (self.theirs[n],)
            assert now.get(n) in allowed, (n, now.get(n), self.told)
        self.now = now
        return now

    def meddle(self) -> None:
        """Change, remove or only write a row again, as others do."""
        n = self.chance.randint(1, COUNT)
        how = [
            "UPDATE t SET state = 'mine' WHERE id = {}",
            "DELETE FROM t WHERE id = {}",
            "UPDATE t SET state = state WHERE id = {}",
        ]
        text = self.chance.choice(how).format(n)
        self.bank.sql(text)
        self.theirs[n] = self.rows().get(n)
        self.look(text)

    def block(self) -> None:
        """Take a value that a row had before, or free all of them."""
        if self.chance.random() < 0.4:
            self.bank.sql("DELETE FROM t WHERE state = 'theirs'")
            self.blocked.clear()
        else:
            n = self.chance.randint(9, COUNT)
            try:
                self.bank.sql(f"INSERT INTO t VALUES ({1000 + n}, 'old-{n}', 'theirs')")
                self.blocked.add(n)
            except psycopg.errors.UniqueViolation:
                pass
        self.look(("in the way", sorted(self.blocked)))

    def kill(self) -> None:
        """Kill a command anywhere, or let it end before that."""
        command, kind, moment = (self.chance.choice(each) for each in (KILLED, KINDS, ["before", "after"]))
        try:
            self.bank.journey.killed(command, kind, moment, nth=self.chance.randint(1, 5))
        except AssertionError:
            command += ", which came to its end"
        self.look((command, kind, moment))

    def run(self, name: str, command: Callable[[], Outcome]) -> None:
        """Run a command, and hold what it says against the rows."""
        before = self.now
        try:
            done = command()
        except OktoError as error:
            assert self.look((name, error.message)) == before, self.told
            return
        now = self.look((name, done.result, done.state))
        free = [n for n in range(1, COUNT + 1) if self.ours(n)]
        if done.result in (Result.ROLLED_BACK, Result.REFUSED) or (done.result is Result.CONFLICT and name != "clean"):
            assert now == before, self.told
        elif name in ("rollback", "clean") and done.result in (Result.DONE, Result.CONFLICT):
            left = self.blocked if name == "clean" else ()
            assert all(now[n] == self.before[n] or n in left for n in free), self.told

    def step(self) -> None:
        """Do anything."""
        journey = self.bank.journey
        commands: dict[str, Callable[[], Outcome]] = {
            "apply": journey.apply,
            "redo": journey.redo,
            "rollback": journey.rollback,
            "clean": lambda: journey.rollback(only_clean=True),
            "resume": lambda: journey.resume(self.chance.choice(self.bank.sql("SELECT run FROM okto_change.batch"))[0]),
        }
        deeds: list[str | Callable[[], None]] = [
            self.meddle,
            self.block,
            self.kill,
            self.kill,
            *(["clean", *commands] if self.batches else ["apply"]),
        ]
        deed = self.chance.choice(deeds)
        if isinstance(deed, str):
            self.run(deed, commands[deed])
        else:
            deed()


@pytest.mark.parametrize("seed", range(4))
def test_no_story_loses_a_row_of_others_or_leaves_one_of_ours(bank: Bank, seed: int) -> None:
    """At the end all that nobody else wrote is as it was before; the journal tells one unbroken story."""
    chance = random.Random(seed)
    plan(bank, chance.choice(list(TABLES.values())))
    story = Story(bank, chance, before={n: f"old-{n} open" for n in range(1, COUNT + 1)})
    story.now = story.rows()
    story.run("apply", bank.journey.apply)
    for _ in range(10):
        story.step()
    bank.sql("DELETE FROM t WHERE state = 'theirs'")
    story.blocked.clear()
    story.run("clean", lambda: bank.journey.rollback(only_clean=True))
    now = story.rows()
    assert all(now[n] == story.before[n] for n in range(1, COUNT + 1) if story.ours(n)), story.told
    assert bank.journey.journal()
