"""Which rules match a lock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from okto_change.approval.matching import matching, needs
from okto_change.model import (
    ANYTHING,
    AutoUndo,
    EditStep,
    Lock,
    Risk,
    RowBound,
    ScriptUndo,
    SqlStep,
    Statement,
    StatementKind,
    Timeouts,
    Where,
)
from tests.unit.approval.helpers import make_lock, make_policy

HERE = Where(file="plan.yaml", line=1)


def sql(touches: tuple[str, ...] | None = None, *, rows: tuple[RowBound, ...] | None = None) -> SqlStep:
    """Return a SQL step that declares the tables it touches."""
    return SqlStep(
        name="fix",
        target="ledger",
        source="fix.sql",
        sql="",
        rows=rows,
        touches=touches,
        undo=AutoUndo(),
        batch=None,
        timeouts=Timeouts(),
        where=HERE,
    )


def scripted() -> SqlStep:
    """Return a SQL step whose undo is a script of the author's."""
    return replace(sql(), undo=ScriptUndo(source="fix.undo.sql", sql="DROP TABLE payments"))


def edit(file: str) -> EditStep:
    """Return a step that edits a file of the target ``routing``."""
    return EditStep(
        name="edit", target="routing", file=file, set=(), remove=(), validate=None, undo=AutoUndo(), where=HERE
    )


def statement(kind: StatementKind) -> Statement:
    """Return a statement of one kind."""
    return Statement(step="fix", index=0, start=0, end=0, text="", where=HERE, kind=kind)


def matches(when: str, lock: Lock) -> bool:
    """Whether a rule with this ``when`` matches."""
    policy = make_policy(rules=f"rules: [{{id: one, when: {when}, require: {{dba: 1}}}}]\n")
    return bool(matching(policy, policy.environment("prod"), lock, lock.risk))


@pytest.mark.parametrize(
    ("when", "fields", "expected"),
    [
        ("{}", {}, True),
        ("{env: [prod]}", {}, True),
        ("{env: [staging, sandbox]}", {}, False),
        ("{risk: [high]}", {"risk": Risk.HIGH}, True),
        ("{risk: [high]}", {"risk": Risk.MEDIUM}, False),
        ("{env: [prod], risk: [high]}", {"risk": Risk.LOW}, False),
        ("{kind: [edit]}", {"steps": (edit("a.yaml"),)}, True),
        ("{kind: [edit]}", {"steps": (sql(),)}, False),
        ("{kind: [ddl]}", {"statements": (statement(StatementKind.DDL),)}, True),
        ("{kind: [ddl]}", {"statements": (statement(StatementKind.UPDATE),)}, False),
        ('{objects: ["ledger.*"]}', {"objects": ("ledger.entries",)}, True),
        ('{objects: ["ledger.*"]}', {"objects": ("public.entries",)}, False),
        ('{objects: ["entries"]}', {"objects": ("ledger.entries",)}, True),
        ('{objects: ["LEDGER.*"]}', {"objects": ("ledger.entries",)}, True),
        ('{objects: ["ledger.*"]}', {"steps": (sql(("ledger.entries",)),)}, True),
        ('{paths: ["acquirers.yaml"]}', {"steps": (edit("acquirers.yaml"),)}, True),
        ('{paths: ["routing/**"]}', {"steps": (edit("deep/acquirers.yaml"),)}, True),
        ('{paths: ["/srv/routing/*"]}', {"steps": (edit("acquirers.yaml"),)}, True),
        ('{paths: ["/srv/routing/*"]}', {"steps": (edit("deep/acquirers.yaml"),)}, False),
        ('{paths: ["*.json"]}', {"steps": (edit("acquirers.yaml"),)}, False),
    ],
)
def test_a_rule_matches_what_it_names(when: str, fields: dict[str, Any], expected: bool) -> None:
    """Every condition must hold; one that is not there always does."""
    assert matches(when, make_lock(**fields)) is expected


@pytest.mark.parametrize(
    ("when", "fields"),
    [
        ('{objects: ["ledger.*"]}', {"objects": ("entries",)}),
        ('{objects: ["ledger.*"]}', {"objects": ('ledger."odd.name"',)}),
        ('{objects: ["ledger.*"]}', {"objects": ('"ledger".entries',)}),
        ('{objects: ["ledger.*"]}', {"statements": (statement(StatementKind.OTHER),)}),
        ("{kind: [ddl]}", {"statements": (statement(StatementKind.OTHER),)}),
        ("{kind: [ddl]}", {"steps": (scripted(),), "statements": (statement(StatementKind.UPDATE),)}),
        ('{paths: ["acquirers.yaml"]}', {"steps": (edit("./acquirers.yaml"),)}),
        ('{paths: ["/srv/routing/acquirers.yaml"]}', {"steps": (edit("x/../acquirers.yaml"),)}),
    ],
)
def test_nobody_slips_past_a_rule_by_spelling(when: str, fields: dict[str, Any]) -> None:
    """A name without its schema, quotes, detours in a path, statements that nobody understood or that stand in an undo script."""
    assert matches(when, make_lock(**fields))


def bounded(*rows: int | None, kinds: tuple[StatementKind, ...] = (StatementKind.UPDATE,)) -> Lock:
    """Return a lock with one step whose statements of these kinds have these bounds; None is unbounded above."""
    bounds = tuple(RowBound(minimum=0, maximum=most) for most in rows)
    return make_lock(steps=(sql(rows=bounds or None),), statements=tuple(statement(kind) for kind in kinds))


UPDATE, SELECT, DDL = StatementKind.UPDATE, StatementKind.SELECT, StatementKind.DDL


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        (bounded(99), False),
        (bounded(100), True),
        (bounded(50, 49, kinds=(UPDATE, UPDATE)), False),
        (bounded(50, 50, kinds=(UPDATE, UPDATE)), True),
        (bounded(None), True),
        (bounded(), True),
        (bounded(1, kinds=(UPDATE, UPDATE)), True),
        (bounded(1, kinds=(UPDATE, DDL)), True),
        (bounded(1, kinds=(UPDATE, SELECT)), True),
        (bounded(1, kinds=(UPDATE, StatementKind.SET)), False),
        (make_lock(steps=(edit("acquirers.yaml"),)), False),
    ],
)
def test_a_rule_for_many_rows_matches_unless_the_plan_is_bound_to_fewer(lock: Lock, expected: bool) -> None:
    """Unknown is many: no bound, a bound for another number of statements, DDL, a SELECT that may call anything."""
    assert matches("{rows: 100}", lock) is expected


def test_needs_add_up_by_the_maximum_of_each_group() -> None:
    """Two rules for one group ask for the larger number, not the sum, and none is forgotten."""
    policy = make_policy(
        rules="rules: [{id: a, require: {dba: 1, owners: 1}}, {id: b, require: {dba: 2}}, {id: c, require: {}}]\n"
    )
    assert needs(policy.rules) == {"dba": 2, "owners": 1}


def test_a_step_that_declares_no_tables_may_touch_any() -> None:
    """What triggers, cascades and functions write is held by `touches` alone; without it every rule by objects matches."""
    update = statement(StatementKind.UPDATE)
    for step, matched in (
        (sql(), True),
        (sql(("settlements",)), False),
        (sql(("settlements", "ledger_entries")), True),
    ):
        lock = make_lock(steps=(step,), statements=(update,), objects=("settlements",))
        assert matches('{objects: ["ledger_*"]}', lock) is matched
    harmless = make_lock(steps=(sql(),), statements=(statement(StatementKind.SET),))
    assert not matches('{objects: ["ledger_*"]}', harmless)


def test_an_undo_script_that_nobody_understood_may_touch_any() -> None:
    """Whoever takes the change back runs it."""
    step = (sql(("settlements",)),)
    for objects, matched in ((("settlements",), False), (("settlements", ANYTHING), True)):
        assert matches('{objects: ["ledger_*"]}', make_lock(steps=step, objects=objects)) is matched
