"""The lock says everything that will run, in bytes that never vary, and is read back as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from okto_change import digest
from okto_change.errors import PlanError
from okto_change.model import EditStep, Risk, SqlStep
from okto_change.plan.compile import compile_lock, parse_lock
from tests.unit.plan.plans import CHANGE, FILES, TARGETS, analysed, changed, locked, rendered


def test_equal_sources_give_equal_bytes() -> None:
    """Neither the order of files nor generated ones make a difference; the digest is that of the bytes."""
    one = locked()
    backwards = dict(reversed({**FILES, "locks/sandbox.json": b"{}", "dryruns/production.json": b"{}"}.items()))
    assert locked(backwards).content == one.content
    assert one.digest == digest.sha256(one.content)
    assert digest.canonical(digest.parse(one.content)) == one.content


def test_a_lock_is_read_back_as_it_was() -> None:
    """Steps, statements, checks, floats and huge integers survive."""
    lock = locked()
    assert parse_lock(lock.content) == lock
    plan = rendered()
    assert (lock.steps, lock.checks) == (plan.steps, plan.checks)
    assert lock.statements == analysed(plan).statements
    edit = lock.steps[2]
    assert isinstance(edit, EditStep)
    assert [value for _, value in edit.set] == [8000, 0.5, 12345678901234567890]
    assert (lock.change, lock.environment, lock.repo) == (CHANGE, "production", "7d1f2f9a")
    assert (lock.reason, lock.incident, lock.targets) == (plan.reason, "INC-2031", TARGETS)


def test_a_lock_is_readable() -> None:
    """SQL stands in lines, parameters as the literals that they become, every source with its sha256."""
    document = json.loads(locked().content)
    assert document["steps"][0]["rendered"] == [
        "UPDATE settlements SET status = 'PAID' WHERE id = '42'::bigint;",
        "SELECT 'O''Brien; DROP TABLE x --'::text;",
        "",
    ]
    assert document["parameters"]["ids"] == "'{1,2,NULL}'::bigint[]"
    assert document["parameters"]["nothing"] == "NULL::date"
    assert [item["path"] for item in document["sources"]] == [
        "plan.yaml",
        "release.sql",
        "release.undo.sql",
        "stuck.sql",
    ]
    assert document["steps"][0]["undo"]["source"] == "release.undo.sql"


@pytest.mark.parametrize(
    "files",
    [
        changed(release_sql=FILES["release.sql"].decode() + "-- x\n"),
        {**FILES, "release.undo.sql": FILES["release.undo.sql"] + b"-- x\n"},
        {**FILES, "plan.yaml": FILES["plan.yaml"] + b"# a comment\n"},
        {**FILES, "notes.md": b"a file that nothing names\n"},
    ],
)
def test_any_change_of_a_source_changes_the_digest(files: dict[str, bytes]) -> None:
    """Also a comment, an undo script, or a file that no step names."""
    assert locked(files).digest != locked().digest


def test_each_environment_has_its_own_lock() -> None:
    """Even where all values are equal."""
    assert len({locked(environment=name).digest for name in ("production", "sandbox", "staging")}) == 3


def test_a_plan_raises_the_risk_but_never_lowers_it() -> None:
    """The reason is told."""
    plan = rendered()
    for computed, expected in ((Risk.LOW, Risk.MEDIUM), (Risk.HIGH, Risk.HIGH)):
        analysis = replace(analysed(plan), risk=computed)
        lock = compile_lock(plan, analysis, FILES, repo="r", target_entries=TARGETS)
        assert lock.risk is expected
        assert ("the plan says medium" in lock.risk_reasons) == (computed is Risk.LOW)


def test_unknown_targets_are_named_together() -> None:
    """With the place that names them and the targets that exist."""
    plan = rendered()
    with pytest.raises(PlanError) as caught:
        compile_lock(plan, analysed(plan), FILES, repo="r", target_entries={"ledgr": {}})
    assert len(caught.value.faults) == 10
    assert "production has no target 'ledger' (did you mean 'ledgr'?); it has: ledgr" in caught.value.faults[0]


def test_inline_data_of_copy_is_kept() -> None:
    """The data is a slice of the rendered text, like the statement."""
    text = "COPY t FROM STDIN;\nO'Brien\t1\n\\.\n"
    plan = rendered(changed(release_sql=text))
    analysis = analysed(plan)
    first = replace(analysis.statements[0], text="COPY t FROM STDIN", start=0, end=17, data="O'Brien\t1\n")
    others = tuple(item for item in analysis.statements if item.step != "release")
    lock = compile_lock(plan, replace(analysis, statements=(first, *others)), FILES, repo="r", target_entries=TARGETS)
    assert lock.statements[0] == first


def test_a_statement_that_is_not_in_the_text_is_refused() -> None:
    """Offsets and text must agree."""
    plan = rendered()
    analysis = analysed(plan)
    wrong = replace(analysis.statements[0], start=1)
    with pytest.raises(PlanError, match="is not where it is said to be"):
        compile_lock(plan, replace(analysis, statements=(wrong,)), FILES, repo="r", target_entries=TARGETS)


def spoil(path: tuple[str | int, ...], value: Any) -> Callable[[Any], None]:
    """Return a function that puts ``value`` at ``path`` of a document."""

    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        spoil(("format",), 2),
        spoil(("_type",), "x"),
        spoil(("extra",), 1),
        spoil(("title",), None),
        spoil(("steps", 0, "kind"), "shell"),
        spoil(("steps", 0, "rendered", 0), "DROP TABLE settlements;"),
        spoil(("steps", 0, "rendered"), "x"),
        spoil(("steps", 0, "undo", "rendered", 0), "SELECT 1"),
        spoil(("steps", 0, "statements", 0, "start"), -1),
        spoil(("steps", 0, "statements", 0, "end"), 10**6),
        spoil(("steps", 0, "rows", 0, "min"), True),
        spoil(("steps", 0, "where"), "plan.yaml:x"),
        spoil(("steps", 2, "set", 0, "value"), {"$number": "x"}),
        spoil(("checks", 0, "expect"), {}),
        spoil(("checks", 0, "expect"), {"compare": [["<"]]}),
        spoil(("checks", 0, "phase"), "never"),
        spoil(("targets", "ledger"), None),
        spoil(("sources", 0, "sha256"), "0" * 64),
        spoil(("risk",), "none"),
        lambda document: document.pop("reason"),
    ],
)
def test_a_spoiled_lock_is_refused(change: Callable[[Any], None]) -> None:
    """Wrong kinds, missing and unknown fields, and digests that do not fit their text."""
    document = json.loads(locked().content)
    change(document)
    with pytest.raises(PlanError, match="this is no lock"):
        parse_lock(digest.canonical(document))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]\n", b"null\n", b"\xff", b'{"a": 1, "a": 2}\n', b"[" * 100_000, b'{\n  "a": 1e999\n}\n']
)
def test_what_is_no_canonical_json_is_refused(content: bytes) -> None:
    """Whatever the bytes, it is a PlanError."""
    with pytest.raises(PlanError, match="this is no lock"):
        parse_lock(content)


def test_other_white_space_is_another_lock() -> None:
    """Equal JSON in other bytes is refused."""
    document = json.loads(locked().content)
    with pytest.raises(PlanError, match="not canonical"):
        parse_lock(json.dumps(document, sort_keys=True).encode())


def test_hand_edited_sql_keeps_its_type() -> None:
    """The first step is SQL, with its bounds."""
    step = parse_lock(locked().content).steps[0]
    assert isinstance(step, SqlStep)
    assert step.rows is not None
    assert str(step.rows[1]) == "1 to 40"
