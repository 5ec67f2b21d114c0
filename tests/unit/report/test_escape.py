"""What may reach a terminal, and what must not."""

from __future__ import annotations

import pytest

from okto_change.report.escape import clean, clean_lines, escape


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[1;31mDROP", "\\u{1b}[2J\\u{1b}[1;31mDROP"),
        ("a\rb\nc\td\x00\x7f\x9b", "a\\u{d}b\\u{a}c\\u{9}d\\u{0}\\u{7f}\\u{9b}"),
        ("safe\u202etxt.exe\u2066", "safe\\u{202e}txt.exe\\u{2066}"),
        ("set\u200btle\ufeff\u00ad", "set\\u{200b}tle\\u{feff}\\u{ad}"),
        ("a\u00a0b\u2028c\u3164d\ufe0f", "a\\u{a0}b\\u{2028}c\\u{3164}d\\u{fe0f}"),
        ("settl\u0435ments", "settl\\u{435}ments"),
        ("ledger_\uff45ntries", "ledger_\\u{ff45}ntries"),
        ("\ud800", "\\u{d800}"),
        ("a" + "\u0301" * 4, "a\u0301\u0301\\u{301}\\u{301}"),
    ],
)
def test_what_a_terminal_obeys_hides_or_confuses_is_shown_as_a_code(hostile: str, shown: str) -> None:
    """Escapes, controls, bidi and invisible characters, look-alike letters, piles of marks."""
    assert escape(hostile) == shown


@pytest.mark.parametrize(
    "plain", ["", "só às três", "O'Brien; DROP TABLE x --", "日本語テキスト", "Москва", "x → y", "naïve café"]
)
def test_ordinary_text_of_any_language_stays_as_it_is(plain: str) -> None:
    """Only mixed scripts are suspicious, not foreign ones."""
    assert escape(plain) == plain


def test_lines_are_cut_at_newlines_alone() -> None:
    """A carriage return or a Unicode line separator cannot make a line of its own."""
    assert clean_lines("a\r\nb\u2028c\n\td\n") == ["a\\u{d}", "b\\u{2028}c", "    d"]


def test_cleaning_twice_changes_nothing() -> None:
    """A page may clean what was clean already."""
    once = clean("\x1b]0;x\x07 4111111111111111 settl\u0435ments")
    assert clean(once) == once
