"""A lock cut into the units that commit together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from okto_change.execution.units import EditUnit, SqlUnit, bounds, build
from okto_change.model import (
    AutoUndo,
    Check,
    EditStep,
    ExpectEmpty,
    Irreversible,
    Lock,
    Phase,
    Risk,
    RowBound,
    ScriptUndo,
    SqlStep,
    Statement,
    StatementKind,
    Step,
    Timeouts,
    Undo,
    Where,
)

WHERE = Where(file="changes/x/plan.yaml", line=1)
SCRIPT = ScriptUndo(source="undo.sql", sql="SELECT 1")


def sql(
    name: str, target: str = "ledger", undo: Undo | None = None, touches: tuple[str, ...] | None = ("t",)
) -> SqlStep:
    """Return a SQL step."""
    return SqlStep(
        name=name,
        target=target,
        source=f"{name}.sql",
        sql="",
        rows=None,
        touches=touches,
        undo=undo or AutoUndo(),
        batch=None,
        timeouts=Timeouts(),
        where=WHERE,
    )


def edit(name: str) -> EditStep:
    """Return a config edit."""
    return EditStep(
        name=name, target="routing", file="a.yaml", set=(), remove=(), validate=None, undo=AutoUndo(), where=WHERE
    )


def check(name: str, phase: Phase, target: str = "ledger") -> Check:
    """Return a check."""
    expect = None if phase is Phase.INVARIANT else ExpectEmpty()
    return Check(name=name, phase=phase, target=target, source="c.sql", sql="", expect=expect, where=WHERE)


def statement(step: str, index: int, kind: StatementKind = StatementKind.UPDATE) -> Statement:
    """Return a statement of a step."""
    return Statement(step=step, index=index, start=0, end=0, text="", where=WHERE, kind=kind)


def lock(*steps: Step, checks: tuple[Check, ...] = ()) -> Lock:
    """Return a lock of these steps, one statement each."""
    return Lock(
        content=b"",
        digest="sha256:0",
        repo="r",
        change="x",
        environment="e",
        title="t",
        author="ana",
        steps=steps,
        statements=tuple(statement(step.name, 0) for step in steps),
        checks=checks,
        risk=Risk.LOW,
        risk_reasons=(),
        objects=(),
    )


def test_consecutive_steps_on_one_target_share_a_transaction() -> None:
    """Two targets and an edit in between make units; written order stays."""
    units = build(lock(sql("a"), sql("b"), edit("c"), sql("d"), sql("e", "other")))
    assert [unit.name for unit in units] == ["a, b", "c", "d", "e"]
    assert [unit.number for unit in units] == [1, 2, 3, 4]
    assert [type(unit) for unit in units] == [SqlUnit, EditUnit, SqlUnit, SqlUnit]


def test_a_unit_has_one_way_back() -> None:
    """Images and undo scripts are not mixed in one transaction; scripts run last step first."""
    units = build(lock(sql("a"), sql("b", undo=SCRIPT), sql("c", undo=ScriptUndo(source="c.sql", sql="2"))))
    assert [unit.name for unit in units] == ["a", "b, c"]
    assert isinstance(units[1], SqlUnit)
    assert [script.source for script in units[1].scripts] == ["c.sql", "undo.sql"]


def test_checks_belong_to_the_first_the_last_or_every_unit_of_their_target() -> None:
    """``before`` opens a target, ``inside`` closes it, an invariant holds for every commit."""
    checks = (
        check("b", Phase.BEFORE),
        check("i", Phase.INSIDE),
        check("v", Phase.INVARIANT),
        check("o", Phase.INSIDE, "other"),
    )
    first, _, last = build(lock(sql("a"), edit("c"), sql("d"), checks=checks))
    assert isinstance(first, SqlUnit)
    assert isinstance(last, SqlUnit)
    names = [[c.name for c in group] for group in (first.before, first.inside, first.invariants)]
    assert names == [["b"], [], ["v"]]
    assert [[c.name for c in group] for group in (last.before, last.inside, last.invariants)] == [[], ["i"], ["v"]]


@pytest.mark.parametrize(("second", "expected"), [(("u",), {"t", "u"}), (None, None), ((), {"t"})])
def test_touches_are_known_only_if_every_step_declares_them(
    second: tuple[str, ...] | None, expected: set[str] | None
) -> None:
    """One silent step makes the blast radius of the transaction unknown."""
    (unit,) = build(lock(sql("a"), sql("b", touches=second)))
    assert isinstance(unit, SqlUnit)
    assert unit.touches == expected


def test_an_irreversible_step_makes_its_unit_irreversible() -> None:
    """Half a transaction cannot be taken back."""
    (unit,) = build(lock(sql("a"), sql("b", undo=Irreversible(reason="sent to the bank"))))
    assert unit.irreversible == "sent to the bank"


def test_bounds_go_to_the_statements_that_write_rows() -> None:
    """SELECT and SET have no bound; a wrong number of bounds binds nobody (analysis refuses it before)."""
    step = sql("a")
    one, two = RowBound(minimum=1, maximum=1), RowBound(minimum=2, maximum=2)
    statements = (statement("a", 0, StatementKind.SET), statement("a", 1), statement("a", 2, StatementKind.DELETE))
    bounded = replace(step, rows=(one, two))
    assert bounds(bounded, statements) == (None, one, two)
    assert bounds(bounded, statements[:2]) == (None, None)
