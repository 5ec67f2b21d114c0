"""A page: headings, paragraphs, tables and listings, laid out for a width, with or without colour. Hides rich.

Every text that enters is cleaned here (`escape.clean`): a page carries no terminal escape, whatever it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from okto_change.report.escape import clean, clean_lines

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

GOOD, BAD, CARE, DIM, STRONG = "green", "bold red", "yellow", "dim", "bold"

Cell = str | tuple[str, str]
"""A text, or a text and its style."""

_COMMAND = re.compile(r"`okto-change [^`]+`|(?:(?<=: )|^)okto-change [a-z].*$", re.MULTILINE)
_FIRST, _LAST = 0xE000, 0xF8FF
_STANDS_FOR = re.compile(f"([{chr(_FIRST)}-{chr(_LAST)}])\\1*")
_LONGEST = 40


@dataclass(frozen=True)
class Look:
    """How a page is shown: columns of the terminal, and whether it has colours."""

    width: int = 100
    colour: bool = False


class Page:
    """Collects what a page shows, top to bottom; ``render`` turns it into text."""

    def __init__(self) -> None:
        self._parts: list[RenderableType] = []
        self._commands: list[str] = []

    def line(self, *cells: Cell, indent: int = 0) -> None:
        """Add a paragraph; cells follow one another without a gap, long ones wrap inside the indent."""
        from rich.padding import Padding
        from rich.text import Text

        self._parts.append(Padding(Text.assemble(*map(self._styled, cells)), (0, 0, 0, indent)))

    def gap(self) -> None:
        """Add an empty line."""
        self._parts.append("")

    def heading(self, title: str, *rest: Cell) -> None:
        """Begin a section."""
        self.gap()
        self.line((title, STRONG), *rest)

    def bullets(self, items: Iterable[str], *, style: str = "", indent: int = 2) -> None:
        """Add a line per item, wrapped under its own text."""
        for item in items:
            self.columns([[("·", DIM), (item, style)]], indent=indent, gap=1)

    def facts(self, pairs: Iterable[tuple[str, str | None]], *, indent: int = 2) -> None:
        """Add a label and its text a line, without those that have none; line breaks in a text are kept."""
        from rich.text import Text

        rows = [
            (Text(label, DIM), Text(self._in_one_piece("\n".join(clean_lines(text))), overflow="fold"))
            for label, text in pairs
            if text
        ]
        self._table(rows, None, (), indent, 2)

    def columns(self, rows: Sequence[Sequence[Cell]], *, indent: int = 2, gap: int = 2) -> None:
        """Add rows of aligned cells without a header; the last column takes the rest of the width."""
        self._table([[self._text(cell) for cell in row] for row in rows], None, (), indent, gap)

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: Iterable[int] = (), indent: int = 2
    ) -> None:
        """Add a table; ``right`` names the columns (from 0) with figures, which are set to the right."""
        self._table([[self._text(cell) for cell in row] for row in rows], header, tuple(right), indent, 2)

    def listing(self, text: str, *, first: int = 1, indent: int = 4, most: int | None = None) -> None:
        """Add source text with line numbers from ``first``; beyond ``most`` lines only their number is told."""
        lines = clean_lines(text)
        shown = lines[:most]
        self.columns([[(str(first + i), DIM), line] for i, line in enumerate(shown)], indent=indent)
        if len(shown) < len(lines):
            self.line((f"… {len(lines) - len(shown)} more lines", CARE), indent=indent)

    def diff(self, text: str, *, indent: int = 4) -> None:
        """Add a unified diff, added and removed lines in colour."""
        for line in clean_lines(text):
            style = {"+": GOOD, "-": "red", "@": DIM}.get(line[:1], "")
            self.line((line, style), indent=indent)

    def render(self, look: Look) -> str:
        """Return the page as text with a final line break; without colour no escape sequence is in it."""
        from rich.console import Console, Group

        console = Console(
            file=StringIO(),
            width=look.width,
            color_system="standard" if look.colour else None,
            force_terminal=look.colour,
            markup=False,
            emoji=False,
            highlight=False,
            legacy_windows=False,
            _environ={},
        )
        with console.capture() as captured:
            console.print(Group(*self._parts))
        page = "".join(line.rstrip() + "\n" for line in captured.get().strip("\n").split("\n"))
        return _STANDS_FOR.sub(lambda found: self._commands[ord(found[1]) - _FIRST], page)

    def _in_one_piece(self, text: str) -> str:
        """Keep commands from being wrapped, so that they can be copied: other characters stand for each until the end."""
        return _COMMAND.sub(self._stand_in, text)

    def _stand_in(self, found: re.Match[str]) -> str:
        if len(self._commands) > _LAST - _FIRST:
            return found[0]
        self._commands.append(found[0])
        return chr(_FIRST + len(self._commands) - 1) * min(len(found[0]), _LONGEST)

    def _text(self, cell: Cell) -> Text:
        from rich.text import Text

        return Text(*self._styled(cell), overflow="fold")

    def _styled(self, cell: Cell) -> tuple[str, str]:
        text, style = (cell, "") if isinstance(cell, str) else cell
        return self._in_one_piece(clean(text)), style

    def _table(
        self,
        rows: Sequence[Sequence[Text]],
        header: Sequence[str] | None,
        right: tuple[int, ...],
        indent: int,
        gap: int,
    ) -> None:
        if not rows:
            return
        from rich.padding import Padding
        from rich.table import Table

        shown = header is not None
        table = Table(box=None, show_header=shown, header_style=DIM, pad_edge=False, padding=(0, gap, 0, 0))
        for number in range(len(rows[0])):
            title = self._text(header[number]) if header else ""
            table.add_column(title, justify="right" if number in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._parts.append(Padding(table, (0, 0, 0, indent)))
