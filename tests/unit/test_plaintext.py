"""Source files hold what their readers see."""

from __future__ import annotations

import pytest

from okto_change import plaintext


@pytest.mark.parametrize("text", ["", "SELECT 1;\n", "tab\there\n", "é日本😀 ñ\n", "ẛ̣"])
def test_ordinary_text_has_no_problems(text: str) -> None:
    """Line feeds, tabs, letters of any script and emoji are plain text."""
    assert plaintext.decode(text.encode()) == (text, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\n\ufeffb", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("a\nb\x00", "U+0000"),
        ("a\n\x1b[2J", "U+001B"),
        ("a\n\u202eb", "U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("a\n\u2066b", "U+2066"),
        ("a\nb\u200b", "U+200B ZERO WIDTH SPACE"),
        ("a\nb\u2028c", "U+2028 LINE SEPARATOR"),
        ("a\nb\u3164", "U+3164 HANGUL FILLER"),
        ("a\nb\x85", "U+0085"),
        ("a\ne\u0301", "normal form C"),
        ("a\nb\r\nc", "carriage return"),
    ],
)
def test_what_hides_or_deceives_is_named_with_its_line(text: str, found: str) -> None:
    """Control, bidirectional and invisible characters, foreign line ends and decomposed letters are refused."""
    ((line, problem),) = plaintext.problems(text)
    assert line == 2
    assert found in problem


def test_line_ends_of_windows_are_told_once() -> None:
    """The file has one fault, however many lines have it."""
    assert plaintext.problems("a\nb\r\nc\r\nd\r\n") == [
        (2, "the line ends with a carriage return, and so do 2 more; save the file with line feeds")
    ]
    (_, once), (_, inside) = plaintext.problems("a\r\nb\rc\n")
    assert once == "the line ends with a carriage return; save the file with line feeds"
    assert "U+000D" in inside


def test_binary_content_is_called_so() -> None:
    """A file that is no text at all gives one problem, and no text."""
    text, ((line, problem),) = plaintext.decode(b"ok\n\x00\xff\xfe")
    assert (text, line) == ("", 2)
    assert "binary content" in problem
    assert "invalid UTF-8" in plaintext.decode(b"caf\xe9")[1][0][1]


def test_a_file_full_of_problems_is_reported_briefly() -> None:
    """Twenty problems say as much as a million."""
    assert len(plaintext.problems("\x01\n" * 1000)) == plaintext.MOST
