"""Images fit a table only while it has the shape that was kept with them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from okto_change.database.composing import operator
from okto_change.execution.images import shape
from okto_change.execution.images.shape import ColumnShape, Shape

ID = ColumnShape(number=1, name="id", type="integer", typid=23, generated="", identity="a")
TEXT = ColumnShape(number=3, name="a", type="text", typid=25, generated="", identity="")
KEPT = Shape(relid=7, schema="public", name="t", kind="r", columns=(ID, TEXT))


def test_a_shape_survives_being_kept() -> None:
    """What is kept beside the images is the same shape, without its keys."""
    assert shape.parse(7, json.loads(KEPT.content())) == KEPT
    assert shape.difference(KEPT, KEPT) is None


@pytest.mark.parametrize(
    ("live", "said"),
    [
        (None, "the table is gone"),
        (replace(KEPT, name="t_old"), "the table is called public.t_old now"),
        (replace(KEPT, columns=(ID,)), "column a is gone since"),
        (replace(KEPT, columns=(ID, TEXT, replace(TEXT, number=4, name="b"))), "column b was added since"),
        (replace(KEPT, columns=(ID, replace(TEXT, type="integer", typid=23))), "column a text is a integer now"),
        (replace(KEPT, columns=(ID, replace(TEXT, name="z"))), "column a text is z text now"),
    ],
)
def test_what_changed_is_said(live: Shape | None, said: str) -> None:
    """The table is named, and the first column that differs."""
    assert shape.difference(KEPT, live) == f"public.t: {said}"


def test_an_identity_that_came_or_went_does_not_matter() -> None:
    """Rows are inserted overriding it."""
    assert shape.difference(KEPT, replace(KEPT, columns=(replace(ID, identity=""), TEXT))) is None


@pytest.mark.parametrize("name", ["", "a", "= ; DROP", "--", "/*", "=)"])
def test_only_operators_are_operators(name: str) -> None:
    """They cannot be quoted, so nothing else gets into a statement as one."""
    with pytest.raises(ValueError, match="not an operator"):
        operator("pg_catalog", name)
    assert operator("pg_catalog", "<>").as_string(None) == 'OPERATOR("pg_catalog".<>)'
