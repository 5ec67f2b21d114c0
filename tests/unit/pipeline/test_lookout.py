"""Looking for a no beside a chunk: fetched while it works, judged before its COMMIT, never older than a look may be."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from okto_change.approval.safegit import GitFailed
from okto_change.errors import Halted, NotAuthorised
from okto_change.model import Lock, Risk
from okto_change.pipeline import lookout
from okto_change.pipeline.lookout import Lookout
from okto_change.pipeline.repository import Repository


class Clock:
    """The seconds that the look goes by."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        """Return them."""
        return self.now


class Mirror:
    """Branches of which every fetch finds another commit."""

    approvals_refs = ("refs/heads/okto-approvals",)

    def __init__(self) -> None:
        self.fetches = 0
        self.error: Exception | None = None
        self.may_end = threading.Event()
        self.may_end.set()
        self.threads: list[threading.Thread] = []

    def refresh(self, *, patience: int) -> None:
        """Fetch, as soon as it may end."""
        assert patience == lookout.PATIENCE
        self.threads.append(threading.current_thread())
        self.may_end.wait()
        if self.error is not None:
            raise self.error
        self.fetches += 1

    def tip(self, ref: str) -> str:
        """Return the commit of a branch."""
        return f"{ref} {self.fetches}"


class Looking(Lookout):
    """A look that counts what it judges instead of asking the policy."""

    judged = 0
    no = False

    def judge(self) -> None:
        """Count; halt where there is a no."""
        self.judged += 1
        if self.no:
            raise Halted("a no")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of looks."""
    clock = Clock()
    monkeypatch.setattr(lookout, "time", clock)
    return clock


@pytest.fixture
def mirror() -> Mirror:
    """Return a mirror."""
    return Mirror()


@pytest.fixture
def told() -> list[str]:
    """Return what is told."""
    return []


@pytest.fixture
def look(clock: Clock, mirror: Mirror, told: list[str]) -> Looking:
    """Return a look that is due."""
    repo = cast("Repository", SimpleNamespace(mirror=mirror, tell=told.append))
    made = Looking(repo, cast("Lock", SimpleNamespace(change="c", environment="e")), (), Risk.LOW)
    clock.now += lookout.LEAST
    return made


def test_nothing_is_fetched_before_it_is_time(look: Looking, clock: Clock, mirror: Mirror) -> None:
    """Neither beside a chunk nor between two."""
    clock.now -= 0.1
    with look.beside():
        look()
    assert mirror.threads == []


def test_a_chunk_works_while_it_is_fetched_and_is_answered_before_its_commit(look: Looking, mirror: Mirror) -> None:
    """The body begins with the fetch under way, and the call inside waits for its end."""
    mirror.may_end.clear()
    with look.beside():
        assert mirror.fetches == look.judged == 0
        mirror.may_end.set()
        look()
        assert mirror.fetches == look.judged == 1
    assert mirror.threads[0] is not threading.current_thread()


def test_a_no_halts_before_the_commit(look: Looking) -> None:
    """What was fetched beside is judged as what was fetched at once."""
    look.no = True
    with pytest.raises(Halted, match="a no"), look.beside():
        look()


def test_a_chunk_that_fails_leaves_no_fetch_behind(look: Looking, mirror: Mirror) -> None:
    """What it found is judged at the next call, without another fetch."""
    with pytest.raises(ZeroDivisionError), look.beside():
        raise ZeroDivisionError
    assert (mirror.fetches, look.judged) == (1, 0)
    with look.beside():
        look()
    assert (mirror.fetches, look.judged) == (1, 1)


def test_what_is_old_when_the_statements_have_run_is_fetched_again(look: Looking, clock: Clock, mirror: Mirror) -> None:
    """A chunk of minutes commits by a word no older than one of seconds would."""
    with look.beside():
        assert look._under_way is not None
        look._under_way.result()
        clock.now += lookout.LEAST
        look()
    assert (mirror.fetches, look.judged) == (2, 2)


def test_a_look_that_becomes_due_in_the_middle_of_a_chunk_begins_with_it(
    look: Looking, clock: Clock, mirror: Mirror
) -> None:
    """Its COMMIT would wait for the whole fetch otherwise; how long a chunk takes is known from the one before."""
    with look.beside():
        look()
        clock.now += 0.2
    clock.now += lookout.LEAST - 0.3
    with look.beside():
        assert look._under_way is not None
        clock.now += 0.2
        look()
    assert mirror.threads[1] is not threading.current_thread()
    assert (mirror.fetches, look.judged) == (2, 2)


def test_without_the_remote_it_goes_on_and_says_so_once(
    look: Looking, clock: Clock, mirror: Mirror, told: list[str]
) -> None:
    """It asks again only half a minute later."""
    mirror.error = GitFailed("no answer")
    for _ in range(2):
        with look.beside():
            look()
        clock.now += lookout.LEAST
    assert len(mirror.threads) == 1
    clock.now += lookout.MOST
    with look.beside():
        look()
    assert told == ["no answer; the run goes on by the decisions known so far"]
    assert len(mirror.threads) == 2


def test_a_branch_that_went_backwards_halts(look: Looking, mirror: Mirror) -> None:
    """Whoever can rewrite decisions must not be able to hide a no."""
    mirror.error = NotAuthorised("went backwards")
    with pytest.raises(Halted, match="went backwards"), look.beside():
        look()
