"""A change folder is read completely, or refused with every fault and its line."""

from __future__ import annotations

import pytest

from okto_change.errors import PlanError
from okto_change.model import (
    AutoUndo,
    Batch,
    EditStep,
    ExpectCompare,
    ExpectEmpty,
    ExpectRows,
    Irreversible,
    Phase,
    Risk,
    RowBound,
    ScriptUndo,
    SqlStep,
    Timeouts,
    Where,
)
from okto_change.plan import folder, read
from tests.unit.plan.plans import CHANGE, FILES, PLAN, changed


def faults_of(plan: str = PLAN, **texts: str) -> tuple[str, ...]:
    """Return the faults of a plan that cannot be read, their file's folder left out."""
    with pytest.raises(PlanError) as caught:
        read.load(CHANGE, changed(plan_yaml=plan, **texts))
    assert caught.value.state == "nothing was changed"
    return tuple(fault.removeprefix(f"changes/{CHANGE}/") for fault in caught.value.faults)


def with_line(old: str, new: str) -> str:
    """Return the plan with one text replaced, which must be there."""
    assert old in PLAN
    return PLAN.replace(old, new)


def test_a_full_plan_is_read() -> None:
    """Head, parameters and overrides are what the file says."""
    plan = read.load(CHANGE, FILES)
    assert (plan.change, plan.title, plan.incident, plan.author) == (
        CHANGE,
        "Release stuck settlements",
        "INC-2031",
        "ana",
    )
    assert plan.reason == "The acquirer timed out.\nNothing else happened.\n"
    assert (plan.risk, plan.environment) == (Risk.MEDIUM, None)
    values = {parameter.name: parameter.value for parameter in plan.parameters}
    assert values == {
        "merchant_id": "42",
        "name": "O'Brien; DROP TABLE x --",
        "ids": ("1", "2", None),
        "extra": '{"k": [1, 2.5, true, null, "x"]}',
        "nothing": None,
    }
    assert [item.value for item in plan.per_environment["sandbox"]] == ["7"]


def test_the_steps_of_a_full_plan_are_read() -> None:
    """SQL from a file, SQL inline, and an edit, with every key they may have."""
    release, inline, edit = read.load(CHANGE, FILES).steps
    assert isinstance(release, SqlStep)
    assert isinstance(inline, SqlStep)
    assert release.rows == (RowBound(minimum=37, maximum=37), RowBound(minimum=1, maximum=40))
    assert release.touches == ("settlements", "public.events", "Odd")
    assert release.batch == Batch(table="settlements", key="id", size=5000, max_lag=5000, pause=100)
    assert release.timeouts == Timeouts(lock=1000, statement=60_000)
    assert isinstance(release.undo, ScriptUndo)
    assert release.undo.source == "release.undo.sql"
    assert release.where == Where(file=f"changes/{CHANGE}/plan.yaml", line=17)
    assert inline.sql == "DELETE FROM notes\n WHERE merchant = {{ merchant_id }}\n"
    assert (inline.rows, inline.touches, inline.timeouts) == ((RowBound(minimum=1, maximum=None),), None, Timeouts())
    assert inline.undo == Irreversible(reason="notes have no value")
    assert isinstance(edit, EditStep)
    assert edit.set == (
        (("acquirers", "north", "timeout_ms"), 8000),
        (("hosts", "a.b", "weight"), 0.5),
        (("big",), 12345678901234567890),
    )
    assert edit.remove == (("acquirers", "north", "legacy_retry"),)
    assert (edit.file, edit.validate) == ("acquirers/north.yaml", "routing-lint {file}")


def test_the_checks_of_a_full_plan_are_read() -> None:
    """Every form of an expected result, in the order of the phases."""
    checks = read.load(CHANGE, FILES).checks
    assert [check.phase for check in checks] == [
        Phase.BEFORE,
        Phase.BEFORE,
        Phase.INSIDE,
        Phase.INSIDE,
        Phase.INSIDE,
        Phase.INVARIANT,
        Phase.AFTER,
    ]
    assert [check.expect for check in checks] == [
        ExpectRows(rows=(("37",),)),
        ExpectRows(rows=(("PENDING", "3"), (None, "t"))),
        ExpectEmpty(),
        ExpectCompare(tests=((">=", "1"), ("<=", "2.5"))),
        ExpectCompare(tests=((">=", "1"), ("<", "5"))),
        None,
        ExpectRows(rows=(("empty",),)),
    ]


def test_the_smallest_plan_is_enough() -> None:
    """What is left out has its usual value."""
    plan = "format: 1\ntitle: a\nreason: b\nauthor: c\nsteps: [{name: d, target: e, statement: SELECT 1}]\n"
    (step,) = read.load("abc", {"plan.yaml": plan.encode()}).steps
    assert isinstance(step, SqlStep)
    assert (step.rows, step.touches, step.batch, step.timeouts) == (None, None, None, Timeouts())
    assert (step.undo, step.source) == (AutoUndo(), "plan.yaml")


def test_all_faults_of_all_files_are_found_at_once() -> None:
    """Seven faults in two files, each with its line."""
    plan = (
        PLAN.replace("author:", "autor:")
        .replace("value: 42", "value: 4x2")
        .replace("rows: {min: 1}", "rows: many")
        .replace("expect: 37", "expcet: 37")
        .replace("sql: release.sql", "sql: relase.sql")
        .replace("pause: 100ms", "pause: 100")
    )
    assert faults_of(plan, stuck_sql="SELECT\x07 1\n") == (
        "stuck.sql:1: the character U+0007 control character is not allowed here",
        "plan.yaml:1: expected the key 'author' in the plan, found none",
        "plan.yaml:7: unknown key 'autor' in the plan (did you mean 'author'?)",
        "plan.yaml:10: expected a bigint without leading zeros, found '4x2'",
        "plan.yaml:19: no file 'relase.sql' in changes/2026-11-22-release/ (did you mean 'release.sql'?)",
        "plan.yaml:23: expected the pause between chunks as a duration like 500ms, 2s or 5m, found '100'",
        "plan.yaml:30: expected a number of rows, or {min, max}, found 'many'",
        "plan.yaml:40: unknown key 'expcet' in check 'stuck' (did you mean 'expect'?)",
        "plan.yaml:40: expected the key 'expect' in check 'stuck', found none",
    )


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("format: 1", "format: 2", "plan.yaml:1: expected format 1, found '2'"),
        ("author: ana", "author: Ana Silva", "plan.yaml:7: expected a person"),
        ("risk: medium", "risk: hgih", "(did you mean 'high'?)"),
        ("incident: INC-2031", "incident: 'a b'", "plan.yaml:6: expected an incident"),
        ("title: Release stuck settlements", 'title: "a\\nb"', "plan.yaml:2: expected a title in one line"),
        ("title: Release stuck settlements", 'title: "a\\u202eb"', "U+202E"),
        ("type: bigint, value: 42", "type: bigin, value: 42", "(did you mean 'bigint'?)"),
        ("type: bigint, value: 42", "type: bigint, value: 9223372036854775808", "in -9223372036854775808 to"),
        ("type: bigint, value: 42", "type: bigint, value: ", "found nothing; write null for NULL"),
        ("type: bigint, value: 42", "type: bigint", "plan.yaml:10: expected the key 'value'"),
        ("type: bigint, value: 42", "type: bigint, value: [1]", "expected one value for bigint, found a sequence"),
        ("value: [1, 2, null]", "value: 1", "expected a list for bigint[], found '1'"),
        ("value: [1, 2, null]", "value: [1, x]", "each item is a bigint without leading zeros; 'x' is not"),
        ("value: [1, 2, null]", "value: [[1], [2, 3]]", "lists of equal length"),
        ("k: [1, 2.5", "k: [010, 2.5", "means different things to different YAML readers"),
        ("  merchant_id: {type", "  Merchant: {type", "'Merchant' cannot name a parameter"),
        ("  nothing: {type", "  loop: {type", "'loop' cannot name a parameter"),
        ("  nothing: {type", "  not: {type", "'not' cannot name a parameter"),
        ("sandbox: {merchant_id: 7}", "sandbox: {merchant: 7}", "no parameter 'merchant' is declared"),
        ("sandbox: {merchant_id: 7}", "sandbox: {merchant_id: x}", "plan.yaml:15: expected a bigint"),
        ("sandbox: {merchant_id: 7}", "Sandbox: {merchant_id: 7}", "'Sandbox' is no name of an environment"),
        ("name: inline", "name: Release", "a step called 'Release' stands in line 17 already"),
        ("name: empty", "name: stuck", "a check called 'stuck' stands in line 40 already"),
        ("target: routing", "target: Routing!", "expected the name of a target"),
        ("statement: |\n", "sql: stuck.sql\n    statement: |\n", "expected one of 'sql' and 'statement'"),
        (
            "    edit: acquirers",
            "    rows: 1\n    edit: acquirers",
            "'rows' does not belong here: step 'acquirer timeout'",
        ),
        ("    rows: {min: 1}", "    set: {a: 1}", "'set' does not belong here: step 'inline' is SQL"),
        (
            "    statement: |\n      DELETE FROM notes\n       WHERE merchant = {{ merchant_id }}\n",
            "    sgl: x\n",
            "found none",
        ),
        ("rows: {min: 1}", "rows: {min: 5, max: 4}", "expected min to be at most max"),
        ("rows: {min: 1}", "rows: 010", "expected a number of rows"),
        ("rows: {min: 1}", "rows: {}", "expected a number of rows"),
        ("touches: [settlements,", "touches: ['a; b',", "expected the name of a table"),
        ("undo: release.undo.sql", "undo: atuo", "no file 'atuo'"),
        ("undo: release.undo.sql", "undo: {irreversible: ''}", "a reason why it cannot be undone"),
        ("undo: release.undo.sql", "undo: plan.yaml", "no file 'plan.yaml'"),
        ("remove: [acq", "undo: release.undo.sql\n    remove: [acq", "for the undo of an edit"),
        ("lock: 1s", "lock: 1", "a lock timeout as a duration"),
        ("lock: 1s", "lock: 0s", "a lock timeout of 1 to"),
        ("size: 5000", "size: 0", "rows of a chunk in 1 to"),
        ("edit: acquirers/north.yaml", "edit: ../north.yaml", "a path under the target's root"),
        ("edit: acquirers/north.yaml", "edit: /etc/north.yaml", "a path under the target's root"),
        (
            "edit: acquirers/north.yaml",
            "edit: north.toml",
            "is not available in this version; it edits .yaml, .yml, .json",
        ),
        ("acquirers.north.timeout_ms: 8000", "acquirers..x: 8000", "expected a path like"),
        ("acquirers.north.timeout_ms: 8000", "acquirers.north: 8000", "are inside one another"),
        ("timeout_ms: 8000", "timeout_ms: yes", "quote it if it is text"),
        ("timeout_ms: 8000", "timeout_ms: 12:30", "quote it if it is text"),
        ("timeout_ms: 8000", "timeout_ms: 0.1000000000000000055", "a 64-bit float holds exactly"),
        ("routing-lint {file}", "routing-lint", "a command with {file}"),
        ("routing-lint {file}", "routing-lint '{file}", "a command with {file}"),
        ("expect: 37", "expect: '< many'", "expected a comparison"),
        ("expect: 37", "expect: {mni: 1}", "(did you mean 'min'?)"),
        ("expect: 37", "expect: [[1, 2], [3]]", "rows of one width"),
        ("expect: 37", "expect: [[[1]]]", "expected a value, found a sequence"),
        ("name: balanced,", "name: balanced, expect: 0,", "an invariant must give the same before and after"),
        ("sql: stuck.sql, expect: 37", "http: 'https://x/', expect: 200, for: 5m", "a check by http is not available"),
        ("sql: stuck.sql, expect: 37", "prometheus: 'up', expect: 1", "a check by prometheus is not available"),
        ("  invariant:", "  invariants:", "(did you mean 'invariant'?)"),
        ("DELETE FROM notes", "DELETE\u200b FROM notes", "U+200B"),
    ],
)
def test_a_fault_says_where_and_what(old: str, new: str, fault: str) -> None:
    """Each slip gives a line with what was expected."""
    faults = faults_of(with_line(old, new))
    assert any(fault in line for line in faults), faults


def test_an_escape_cannot_smuggle_what_a_file_may_not_hold() -> None:
    """``\\r`` and ``\\0`` written as YAML escapes inside a statement are refused like the characters themselves."""
    for escape in ("\\r", "\\0", "\\u202e", "\\x1b"):
        plan = with_line("statement: SELECT 1, expect: empty", f'statement: "SELECT 1 --{escape}x", expect: empty')
        assert "an SQL statement as plain text" in faults_of(plan)[0]


def test_half_written_yaml_gives_its_own_fault_only() -> None:
    """Where the plan cannot be parsed there is no list of missing keys."""
    assert len(faults_of(PLAN[:400])) == 1


def test_a_folder_is_judged_as_a_whole() -> None:
    """Odd names, names that differ in case, binary and empty files are faults; generated files are not looked at."""
    files = {
        **FILES,
        "Release.sql": b"x",
        "a b.sql": b"x",
        ".hidden": b"x",
        "stuck.sql": b"\x00\xff",
        "release.sql": b" \n",
    }
    with pytest.raises(PlanError) as caught:
        read.load(CHANGE, files)
    text = "\n".join(caught.value.faults)
    for part in ("upper and lower case only", "found 'a b.sql'", "found '.hidden'", "binary content", "an empty file"):
        assert part in text
    assert "locks/" not in text


def test_a_change_without_a_plan_or_with_an_odd_id_is_refused() -> None:
    """The messages name what is missing."""
    with pytest.raises(PlanError, match=r"has no plan\.yaml"):
        read.load(CHANGE, {"a.sql": b"x"})
    for change in ("ab", "-abc", "../etc", "Release", "a" * 81, "a\nb"):
        with pytest.raises(PlanError, match="no id of a change"):
            read.load(change, FILES)


def test_a_huge_folder_is_refused_fast() -> None:
    """50 MB are counted, not read."""
    files = {**FILES, "data.sql": b"x" * 50_000_000}
    with pytest.raises(PlanError) as caught:
        read.load(CHANGE, files)
    assert any("expected at most 1 MiB, found 47.7 MiB" in fault for fault in caught.value.faults)
    assert any("8 MiB in all files" in fault for fault in caught.value.faults)
    with pytest.raises(PlanError, match="1 fault"):
        read.load(CHANGE, {**FILES, **{f"f{number}.sql": b"x" for number in range(500)}})


def test_sql_that_a_plan_names_nowhere_is_found() -> None:
    plan = read.load(CHANGE, FILES)
    more = {**FILES, "undo.sql": b"SELECT 1;", "old/Verify.SQL": b"SELECT 1;", "notes.txt": b"x", "locks/x.sql": b"x"}
    assert folder.unnamed(plan, FILES) == ()
    assert folder.unnamed(plan, more) == ("old/Verify.SQL", "undo.sql")
