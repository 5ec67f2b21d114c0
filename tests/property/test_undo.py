"""Random changes to random schemas: taken back, every row is as it was, or somebody was told before it mattered.

``OKTO_PROPERTY_EXAMPLES`` sets how many examples each test plays; a handful by default, ``make property`` plays thousands.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plugins.server import Cluster
from tests.property.engine import Playground, Told, open_playground
from tests.property.schemas import Schema, schemas
from tests.property.scripts import Item, others, scripts

EXAMPLES = int(os.environ.get("OKTO_PROPERTY_EXAMPLES", "12"))
WRONG = frozenset({"silent", "broken promise", "late redo"})
Run = Callable[[st.DataObject], Told | None]


@pytest.fixture
def playgrounds(server: Cluster) -> Iterator[tuple[Playground, Playground]]:
    """Return two empty playgrounds: where things happen, and where only the work of others does."""
    names = [server.create(), server.create()]
    first, second = (open_playground(server.conninfo(name)) for name in names)
    yield first, second
    for each in (first, second):
        each.plain.close()
        each.session.close()
    for name in names:
        server.drop(name)


def play(run: Run, examples: int = EXAMPLES) -> Counter[str]:
    """Play that many examples; return how they ended. Fails on the first that is wrong, as small as it gets.

    A run draws all that it needs before it asks the server, which need not answer alike twice: what is tried has a time limit.
    """
    ends: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=EXAMPLES < 100,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def every(data: st.DataObject) -> None:
        told = run(data)
        ends[told.verdict if told else "nothing to do"] += 1

    every()
    return ends


def script(schema: Schema, items: Sequence[Item], work: Sequence[str] = ()) -> str:
    """Return an example as SQL, for whoever has to look at it."""
    parts = [*schema.ddl, *schema.seeds, *schema.later, "-- the change", *(text for item in items for text in item)]
    return ";\n".join([*parts, *(["-- others", *work] if work else [])])


@pytest.mark.timeout(0)
def test_taking_a_change_back_is_as_if_it_had_not_been(playgrounds: tuple[Playground, Playground]) -> None:
    """Apply, roll back, redo, roll back again: a full dump is equal; what a rehearsal proved is kept."""
    playground, _ = playgrounds
    major = playground.plain.info.server_version // 10_000

    def run(data: st.DataObject) -> Told | None:
        schema = data.draw(schemas(major))
        drawn = data.draw(scripts(schema))
        names = data.draw(st.sampled_from(([], [table.name for table in schema.tables])))
        rehearsed = data.draw(st.booleans())
        items = [] if playground.make(schema) else playground.possible(drawn)
        if not items:
            return None
        told = playground.identity(items, names, rehearsed=rehearsed)
        assert told.verdict not in WRONG, f"{told}\n{script(schema, items)}"
        return told

    ends = play(run)
    print(f"PostgreSQL {major}: {dict(ends)}")
    assert ends["reversible"] >= EXAMPLES // 4, ends


@pytest.mark.timeout(0)
def test_what_others_did_meanwhile_survives(playgrounds: tuple[Playground, Playground]) -> None:
    """A conflict that changes nothing, or exactly what the work of others alone would have given."""
    here, reference = playgrounds
    major = here.plain.info.server_version // 10_000

    def run(data: st.DataObject) -> Told | None:
        schema = data.draw(schemas(major, calm=True))
        drawn, work = data.draw(scripts(schema, most=3)), data.draw(others(schema))
        items = [] if here.make(schema) or reference.make(schema) else here.possible(drawn)
        if not items:
            return None
        names = [table.name for table in schema.tables]
        told = here.meanwhile(reference, items, names, work, strict=not schema.cascades)
        assert told.verdict not in WRONG, f"{told}\n{script(schema, items, work)}"
        return told

    ends = play(run)
    print(f"PostgreSQL {major}: {dict(ends)}")
    assert ends["kept"] + ends["conflict"] >= EXAMPLES // 4, ends


@pytest.mark.timeout(0)
def test_a_redo_destroys_nothing_that_others_did_since(playgrounds: tuple[Playground, Playground]) -> None:
    """A conflict that changes nothing, or exactly what the change did, and no reference is broken that it had not broken."""
    here, _ = playgrounds
    major = here.plain.info.server_version // 10_000

    def run(data: st.DataObject) -> Told | None:
        schema = data.draw(schemas(major))
        drawn, work = data.draw(scripts(schema, most=4)), data.draw(others(schema))
        items = [] if here.make(schema) else here.possible(drawn)
        if not items:
            return None
        told = here.redone(items, [table.name for table in schema.tables], work)
        assert told.verdict not in WRONG, f"{told}\n{script(schema, items, work)}"
        return told

    ends = play(run)
    print(f"PostgreSQL {major}: {dict(ends)}")
    assert ends["kept"] + ends["conflict"] >= EXAMPLES // 4, ends
