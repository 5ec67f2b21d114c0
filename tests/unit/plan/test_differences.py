"""What differs between two locks is told in lines that lead to the place."""

from __future__ import annotations

from okto_change.plan.compile import explain_difference
from tests.unit.plan.plans import FILES, locked


def differences(**replacements: tuple[str, str]) -> str:
    """Return the differences after replacing text in files; ``release_sql`` names ``release.sql``."""
    files = dict(FILES)
    for name, (old, new) in replacements.items():
        path = name.replace("_", ".")
        assert old.encode() in files[path]
        files[path] = files[path].replace(old.encode(), new.encode())
    return "\n".join(explain_difference(locked(), locked(files)))


def test_equal_locks_do_not_differ() -> None:
    """As locks and as bytes."""
    assert explain_difference(locked(), locked().content) == ()


def test_an_edited_statement_is_shown_by_its_bytes() -> None:
    """Source, range of bytes in the text that was approved, line, old and new."""
    text = differences(release_sql=("PAID", "SETTLED"))
    assert "release.sql (step 'release', as rendered): bytes 33-36 of 106 (line 1) differ: 'PAI' -> 'SETTLE'" in text
    assert "source 'release.sql' changed: 88 bytes, sha256" in text
    assert text.count("\n") == 1


def test_separate_edits_are_shown_apart() -> None:
    """Each run of changed lines has its range, in the step and in its undo script."""
    text = differences(release_sql=("SELECT {{ name }}", "SELECT 1"), release_undo_sql=("PENDING", "OPEN"))
    assert "release.sql (step 'release', as rendered): bytes 71-104 of 106 (line 2) differ" in text
    assert "release.undo.sql (step 'release': undo, as rendered): bytes 33-40 of 76 (line 1) differ" in text
    assert "'PENDING' -> 'OPEN'" in text


def test_a_parameter_names_itself_and_where_it_went() -> None:
    """The literal before and after, and the statements that it stands in."""
    text = differences(plan_yaml=("value: 42", "value: 43"))
    assert "parameter merchant_id: \"'42'::bigint\" -> \"'43'::bigint\"" in text
    assert "differ: '2' -> '3'" in text


def test_bounds_checks_targets_and_steps_are_compared() -> None:
    """By name, not by position."""
    text = differences(
        plan_yaml=("rows: [37, {min: 1, max: 40}]", "rows: 38"),
    )
    assert "step 'release': rows: " in text
    text = differences(plan_yaml=("expect: 37", "expect: 38"))
    assert 'check \'stuck\': expect: rows 1 1: "37" -> "38"' in text
    text = differences(plan_yaml=("timeout_ms: 8000", "timeout_ms: 9000"))
    assert "step 'acquirer timeout': set 1: value: 8000 -> 9000" in text
    text = differences(plan_yaml=("name: inline", "name: deletion"))
    assert "step 'inline' was removed" in text
    assert "step 'deletion' was added" in text


def test_text_of_other_scripts_is_shown_escaped_and_whole() -> None:
    """A range never cuts a character, and the excerpt is ASCII."""
    old = {**FILES, "release.sql": "SELECT 'caf\u00e9';\n".encode()}
    new = {**FILES, "release.sql": "SELECT 'caf\u00e8';\n".encode()}
    text = "\n".join(explain_difference(locked(old), locked(new)))
    assert "bytes 11-13 of 16 (line 1) differ: '\\xe9' -> '\\xe8'" in text


def test_what_is_no_lock_is_compared_by_bytes() -> None:
    """Tampered bytes that are not canonical give one line."""
    lock = locked()
    (line,) = explain_difference(lock, lock.content + b" ")
    size, lines = len(lock.content), lock.content.count(b"\n") + 1
    what = "the lock, which is not canonical JSON"
    assert line == f"{what}: bytes {size}-{size} of {size} (line {lines}) differ: '' -> ' '"


def test_a_long_story_is_cut() -> None:
    """Fifty lines, and how many more there are."""
    files = {**FILES, **{f"f{number}.sql": b"SELECT 1\n" for number in range(80)}}
    lines = explain_difference(locked(), locked(files))
    assert len(lines) == 51
    assert lines[-1] == "and 30 more differences"
