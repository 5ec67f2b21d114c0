"""Row text is taken apart as PostgreSQL put it together."""

from __future__ import annotations

import pytest

from okto_change.execution.images import record


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("()", (None,)),
        ("(,)", (None, None)),
        ("(1,b,)", ("1", "b", None)),
        ('("",x)', ("", "x")),
        ('("a ""b"" \\\\ (c), d",-0)', ('a "b" \\ (c), d', "-0")),
        ('(1,"(2,""a """"b"""""")")', ("1", '(2,"a ""b""")')),
        ('("line\nbreak",{1,2})', ("line\nbreak", "{1", "2}")),
        ('("{1,2}",t)', ("{1,2}", "t")),
    ],
)
def test_fields_come_out_as_they_went_in(text: str, fields: tuple[str | None, ...]) -> None:
    """Null is nothing, empty text is two quotes; quotes and backslashes are doubled inside quotes."""
    assert record.split(text) == fields


@pytest.mark.parametrize("text", ["", "1,2", "(1", '("a)'])
def test_what_is_no_row_is_refused(text: str) -> None:
    """A broken image is not taken for data."""
    with pytest.raises(ValueError, match="not the text of a row"):
        record.split(text)


def test_columns_get_their_names_and_differences_are_found() -> None:
    """A row without columns has no names."""
    before, after = record.named("(1,a,)", ["id", "x", "y"]), record.named('(1,"",z)', ["id", "x", "y"])
    assert record.changed(before, after) == {"x": ("a", ""), "y": (None, "z")}
    assert record.named("()", []) == {}
    with pytest.raises(ValueError, match="zip"):
        record.named("(1,2)", ["only"])
