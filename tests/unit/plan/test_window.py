"""``{{ batch }}`` becomes a constant condition on the key, in the texts that belong to a batch and nowhere else."""

from __future__ import annotations

import pytest

from okto_change.errors import PlanError
from okto_change.model import Batch, SqlStep
from okto_change.plan import read
from okto_change.plan.compile import parse_lock
from okto_change.plan.names import column
from okto_change.plan.render import render
from okto_change.plan.template import render as fill
from okto_change.plan.window import Window
from tests.unit.plan.plans import locked

CONDITION = (
    "(\"id\" BETWEEN current_setting('okto_change.batch_first')::bigint"
    " AND current_setting('okto_change.batch_last')::bigint)"
)
PLAN = """\
format: 1
title: Backfill
reason: because
author: ana
steps:
  - name: fill
    target: ledger
    statement: UPDATE t SET a = 1 WHERE {{ batch }}
    batch: {table: t, key: ID, size: 100, type: uuid}
checks:
  invariant:
    - {name: same sum, target: ledger, statement: "SELECT sum(a) FROM t WHERE {{ batch }}", each: chunk}
"""


def test_batch_renders_to_the_condition_and_takes_an_alias() -> None:
    """The bounds are settings of the chunk's transaction, so the text is the same for every chunk."""
    window = Window(Batch(table="t", key="id", size=1))
    assert fill("WHERE {{ batch }} AND x", {}, window) == (f"WHERE {CONDITION} AND x", [])
    aliased = CONDITION.replace('"id"', '"s"."id"')
    assert fill("WHERE {{ batch.S }}", {}, window) == (f"WHERE {aliased}", [])


@pytest.mark.parametrize(
    "text",
    [
        "{{ batch._batch }}",
        "{{ batch.s.t }}",
        "{{ batch() }}",
        "{% for x in batch %}{{ x }}{% endfor %}",
        "'{{ batch }}'",
    ],
)
def test_nothing_else_can_be_got_out_of_batch(text: str) -> None:
    """A template reaches the condition, not the object behind it."""
    rendered, problems = fill(text, {}, Window(Batch(table="t", key="id", size=1)))
    assert problems or "BETWEEN" not in rendered


def test_batch_is_unknown_where_no_chunk_runs() -> None:
    """A condition on settings that nobody makes would fail when it is too late."""
    _, problems = fill("SELECT {{ batch }}", {})
    assert "only known in the SQL of a step with `batch:`" in problems[0][1]


def test_step_and_chunk_invariant_are_rendered_with_the_key_of_their_batch() -> None:
    """An invariant that is compared around each chunk looks at the chunk's rows."""
    plan = render(read.load("abc", {"plan.yaml": PLAN.encode()}), "production")
    step, check = plan.steps[0], plan.checks[0]
    assert isinstance(step, SqlStep)
    assert step.batch == Batch(table="t", key="id", size=100, type="uuid")
    assert step.sql.endswith("::uuid)")
    assert check.each_chunk
    assert "BETWEEN" in check.sql


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("size: 100", "size: 10001", "rows of a chunk in 1 to 10000"),
        ("type: uuid", "type: float8", "the type of the key"),
        ("key: ID", "key: a.b", "the name of a column"),
        ("  invariant:", "  inside:", "the key 'each' does not belong here"),
        (
            "    batch: {table: t, key: ID, size: 100, type: uuid}\n",
            "",
            "needs one step with `batch:` on ledger, found none",
        ),
    ],
)
def test_what_is_no_batch_is_a_fault_with_its_line(old: str, new: str, words: str) -> None:
    """Every fault names the file, the line, and what was expected there."""
    with pytest.raises(PlanError) as caught:
        render(read.load("abc", {"plan.yaml": PLAN.replace(old, new).encode()}), "production")
    assert words in " ".join((str(caught.value), *caught.value.faults))


@pytest.mark.parametrize(("text", "name"), [("Id", "id"), ('"Id"', "Id"), ("a.b", None), ("1", None), ("x" * 64, None)])
def test_a_column_is_folded_as_postgresql_folds_it(text: str, name: str | None) -> None:
    """The plan names the column as SQL would."""
    assert column(text) == name


def test_the_lock_keeps_what_a_batch_is() -> None:
    """Approvers sign key, size, pauses and the type, and read back what they signed."""
    step = parse_lock(locked().content).steps[0]
    assert isinstance(step, SqlStep)
    assert step.batch == Batch(table="settlements", key="id", size=5000, max_lag=5000, pause=100)
