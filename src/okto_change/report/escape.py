"""Text from outside -> text that is safe to show: control and invisible characters visible, card numbers masked.

Whatever a plan, a row or a server says may carry terminal escapes, bidi controls or letters that look like others.
Nothing is dropped: what cannot be shown as it is becomes ``\\u{1b}``, so a reader sees that it was there.
"""

from __future__ import annotations

import re
import unicodedata

from okto_change.masking import mask

INVISIBLE = frozenset([0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0])
"""Letters and marks that print as nothing although Unicode does not call them controls."""

VARIATION = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))

LOOKALIKE_SCRIPTS = frozenset(
    ["ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "FULLWIDTH", "GREEK", "LISU", "MATHEMATICAL", "OLD"]
)
"""Scripts (first word of a character's Unicode name) with letters that pass for Latin ones."""

MARKS_AT_MOST = 2
"""Combining marks in a row that are shown as they are; more of them paint over the lines above."""

_WORD = re.compile(r"\w+")


def clean(text: str) -> str:
    """Return ``text`` as one line: card numbers masked, every control, line break and invisible character shown."""
    return escape(mask(text))


def clean_lines(text: str) -> list[str]:
    """Return the lines of ``text``, each as ``clean`` shows it; a tab becomes spaces. Only ``\\n`` ends a line."""
    lines = mask(text).split("\n")
    if lines[-1] == "":
        lines.pop()
    return [escape(line.expandtabs(4)) for line in lines]


def escape(text: str) -> str:
    """Return ``text`` with everything that a terminal obeys, hides or confuses written as ``\\u{..}``."""
    if text.isascii() and text.isprintable():
        return text
    shown: list[str] = []
    marks = 0
    for character in _show_lookalikes(text):
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        shown.append(_code(character) if marks > MARKS_AT_MOST or _hidden(character) else character)
    return "".join(shown)


def _hidden(character: str) -> bool:
    if character == " ":
        return False
    code = ord(character)
    if code in INVISIBLE or any(code in span for span in VARIATION):
        return True
    return unicodedata.category(character)[0] in {"C", "Z"}


def _show_lookalikes(text: str) -> str:
    return text if text.isascii() else _WORD.sub(lambda word: _show_mixed(word.group()), text)


def _show_mixed(word: str) -> str:
    scripts = [unicodedata.name(character, "").split(" ")[0] for character in word]
    if "LATIN" not in scripts or LOOKALIKE_SCRIPTS.isdisjoint(scripts):
        return word
    pairs = zip(word, scripts, strict=True)
    return "".join(_code(character) if script in LOOKALIKE_SCRIPTS else character for character, script in pairs)


def _code(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"
