"""What may stand in a text file of a change repository: UTF-8, NFC, line feeds, nothing invisible.

Nothing is normalised; refusing the unusual keeps what a reviewer sees and what runs the same: no byte order mark,
carriage return, NUL, control, bidirectional or zero-width character, line separator or private-use character.
"""

from __future__ import annotations

import re
import unicodedata

Problem = tuple[int, str]
"""a line number, from 1, and what is wrong there"""

MOST = 20
"""problems reported of one file; after that the rest is the same story"""

_ENDS = "the line ends with a carriage return"
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_REFUSED = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")


def decode(content: bytes) -> tuple[str, list[Problem]]:
    """Return the text of ``content`` and its problems by line; the text is '' when it is not UTF-8 at all."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        kind = "binary content" if b"\x00" in content[:8192] else "invalid UTF-8"
        found = f"byte 0x{content[error.start]:02x} at offset {error.start}"
        return "", [(line, f"expected UTF-8 text, found {kind} ({found})")]
    return text, problems(text)


def problems(text: str) -> list[Problem]:
    """Return the first ``MOST`` problems of ``text``."""
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return []
    found: list[Problem] = []
    if "\r\n" in text:
        found.append(
            (text.count("\n", 0, text.index("\r\n")) + 1, f"{_ENDS}{_as_others(text)}; save the file with line feeds")
        )
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        found += [(number, problem) for problem in _line(line)]
        if len(found) >= MOST:
            break
    return found[:MOST]


def visible(character: str) -> bool:
    """Whether ``character`` may stand in a file: it shows itself, or is white space or a combining mark."""
    if character in "\t\n":
        return True
    return character not in _FILLERS and unicodedata.category(character) not in _REFUSED


def describe(character: str) -> str:
    """Name a character without printing it: ``U+202E RIGHT-TO-LEFT OVERRIDE``."""
    return f"U+{ord(character):04X} {unicodedata.name(character, 'control character')}"


def _as_others(text: str) -> str:
    more = text.count("\r\n") - 1
    return f", and so do{'es' if more == 1 else ''} {more} more" if more else ""


def _line(line: str) -> list[str]:
    hidden = list(dict.fromkeys(character for character in line if not visible(character)))
    found = [f"the character {describe(character)} is not allowed here" for character in hidden]
    if not unicodedata.is_normalized("NFC", line):
        found.append("the text is not in Unicode normal form C (NFC)")
    return found
