"""Config edits: which content of a file an edit may start from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from okto_change.errors import EditError
from okto_change.execution import edits
from okto_change.execution.units import EditUnit
from okto_change.model import AutoUndo, EditStep, Where


def unit(number: int, target: str) -> EditUnit:
    """Return an edit of ``a.yaml`` on a target."""
    where = Where(file="changes/x/plan.yaml", line=number)
    step = EditStep(
        name=f"s{number}", target=target, file="a.yaml", set=(), remove=(), validate=None, undo=AutoUndo(), where=where
    )
    return EditUnit(number=number, target=target, step=step)


@pytest.mark.parametrize(
    ("first", "is_refused"), [("routing", False), ("fees", True)], ids=["the same file", "one of that name elsewhere"]
)
def test_only_an_earlier_edit_of_the_same_file_explains_other_content(first: str, *, is_refused: bool) -> None:
    """The file that was reviewed is one of a target: its name may be that of another target's file."""
    units = unit(1, first), unit(2, "routing")
    job: Any = SimpleNamespace(units=units, expected={("routing", "a.yaml"): "sha256:reviewed"})
    if is_refused:
        with pytest.raises(EditError, match="not the one that was reviewed"):
            edits._demand_reviewed(job, units[1], "sha256:other")
    else:
        edits._demand_reviewed(job, units[1], "sha256:other")
