"""Any story that a journal may tell: none claims what its own facts deny, and none is changed unseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from okto_change.errors import JournalBroken
from okto_change.journal import chain
from okto_change.journal.chain import Row
from okto_change.lifecycle import Run, State, advance
from okto_change.model import Result
from tests.unit.journal.test_chain import flip, rehashed, rows
from tests.unit.test_lifecycle import RUN, K, Told, story

EVENTS = st.tuples(
    st.sampled_from(list(K)),
    st.fixed_dictionaries(
        {},
        optional={
            "unit": st.integers(1, 2),
            "fate": st.sampled_from(["committed", "aborted"]),
            "result": st.sampled_from([result.value for result in Result]),
            "origin": st.sampled_from(["a", "x"]),
            "resumed": st.lists(st.integers(1, 2), max_size=2),
        },
    ),
)

ATTACKS: dict[str, Callable[[list[Row], int, int], list[Row]]] = {
    "change": lambda made, i, j: [*made[:i], flip(made[i], j), *made[i + 1 :]],
    "change and rehash": lambda made, i, j: [*made[:i], rehashed(flip(made[i], j)), *made[i + 1 :]],
    "remove": lambda made, i, j: [*made[:i], *made[i + 1 :]],
    "remove and renumber": lambda made, i, j: [
        *made[:i],
        *(replace(row, number=row.number - 1) for row in made[i + 1 :]),
    ],
    "swap": lambda made, i, j: [made[{i: j, j: i}.get(k, k)] for k in range(len(made))],
    "swap in place": lambda made, i, j: [replace(made[{i: j, j: i}.get(k, k)], number=k + 1) for k in range(len(made))],
    "repeat": lambda made, i, j: [*made[:i], made[i], *made[i:]],
    "insert a copy": lambda made, i, j: [*made[: i + 1], *(replace(row, number=row.number + 1) for row in made[i:])],
}


@settings(max_examples=60, deadline=None)
@given(st.lists(EVENTS, max_size=14))
def test_no_story_however_told_claims_that_nothing_changed_while_units_stand(told: list[Told]) -> None:
    """Random events are refused or give a run whose final words its own facts bear out."""
    run: Run | None = None
    for entry in story("a", [RUN, *told]):
        try:
            run = advance(run, entry.event, actor=entry.actor, at=entry.at)
        except JournalBroken:
            continue
        assert not (run.state in {State.REFUSED, State.ROLLED_BACK, State.IDLE, State.UNDONE} and run.standing)
        assert not (run.pending and run.state not in {State.COMMITTING, State.UNDO_COMMITTING, State.STUCK})
        assert len(set(run.committed)) == len(run.committed)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ATTACKS)), st.integers(3, 8), st.integers(0, 7), st.integers(0, 7))
def test_no_tampering_in_the_middle_stays_unseen(attack: str, count: int, i: int, j: int) -> None:
    """Whatever is done to an entry that has one after it, verify says something."""
    assume(i < count - 1 and j < count and i != j)
    made = rows(count)
    assert chain.verify(ATTACKS[attack](made, i, j)) != []
