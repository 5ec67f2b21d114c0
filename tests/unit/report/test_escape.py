"""What may reach a terminal, and what must not."""

from __future__ import annotations

import pytest

from okto_change.report.escape import clean, clean_lines, escape, luhn, mask, mask_all


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


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("4111111111111111", "411111******1111"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("4111-1111-1111-1111", "411111******1111"),
        ("378282246310005", "378282*****0005"),
        ("3782 822463 10005", "378282*****0005"),
        ("6304000000000000000", "630400*********0000"),
        ("(7,4111111111111111,x)", "(7,411111******1111,x)"),
        ("pan=5555555555554444.", "pan=555555******4444."),
    ],
)
def test_a_card_number_is_masked_however_it_is_written(number: str, shown: str) -> None:
    """First six and last four digits stay, as PCI DSS allows."""
    assert mask(number) == shown


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111112",
        "1763770449000",
        "7711117369708991439",
        "411111111111",
        "550e8400-e29b-41d4-a716-446655440000",
        "41111111-1111-1111-1111-111111111111",
        "sha256:4111111111111111" + "a" * 48,
        "x4111111111111111",
        "0.4111111111111111",
        "2026-11-22 02:14:09.123456+00",
        "411111******1111",
    ],
)
def test_other_numbers_are_not_taken_for_cards(number: str) -> None:
    """Wrong check digit, clocks, system identifiers, identifiers, digests, decimals, and what is masked already."""
    assert mask(number) == number


def test_json_data_is_masked_wherever_a_card_may_hide() -> None:
    """In strings, numbers, lists and keys."""
    hidden = {"4111111111111111": [4111111111111111, "4111111111111111", True, None, 37]}
    assert mask_all(hidden) == {"411111******1111": ["411111******1111", "411111******1111", True, None, 37]}


def test_luhn_knows_its_check_digit() -> None:
    """The textbook number passes, its neighbour does not."""
    assert luhn("79927398713")
    assert not luhn("79927398710")


def test_cleaning_twice_changes_nothing() -> None:
    """A page may clean what was clean already."""
    once = clean("\x1b]0;x\x07 4111111111111111 settl\u0435ments")
    assert clean(once) == once
