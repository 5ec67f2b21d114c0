"""Card numbers in any text, cut to their first six and last four digits. Pure; the lowest layer, so nothing goes around it.

Every error and every event masks itself with this when it is made (`errors.OktoError`, `model.Event`), every page and
object again when it is shown. PCI DSS 3.4 lets the first six and last four digits be seen.

What counts as a card number: 13 to 19 digits whose check digit fits (Luhn), written in one piece or with spaces or dashes
as on a card. Digits in other groups, or stuck to letters, count only when a brand has cards of that beginning and length.
Digits of other scripts are digits. Digests, UUIDs, clocks in milliseconds and system identifiers of PostgreSQL are not cards.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

SHORTEST, LONGEST = 13, 19
FIRST, LAST = 6, 4
"""digits that may be seen"""

HIDDEN = "(not shown)"
"""stands for a value of a sensitive column"""

_RUN = re.compile(r"[0-9](?:[ -]{0,3}[0-9]){12,}")
_GROUP = re.compile("[0-9]+")
_FLOAT = re.compile(r"(?<![0-9A-Za-z.])([1-9])\.([0-9]{8,18})[eE]\+(1[2-8])(?![0-9A-Za-z])")
_DIGEST = re.compile(
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(?<![0-9A-Za-z])(?=[0-9]*[a-fA-F])[0-9a-fA-F]{32,}(?![0-9A-Za-z])"
)
_AS_ON_A_CARD = re.compile(
    r"[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}|[0-9]{13,19}"
)
_BRAND = re.compile(
    r"""4(?:\d{12}|\d{15}|\d{18})                                                  # Visa, Elo
      | 5[1-5]\d{14} | 2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}            # Mastercard
      | 3[47]\d{13} | 1\d{14}                                                       # American Express, UATP
      | 3(?:0[0-5]|095|[689]\d)\d{10,16}                                            # Diners Club, Hipercard
      | 35(?:2[89]|[3-8]\d)\d{12,15} | 220[0-4]\d{12,15} | 9792\d{12}               # JCB, Mir, Troy
      | (?:50|5[6-8]|6\d)\d{11,17} | 8[12]\d{14,17}                                 # Maestro, Discover, UnionPay, RuPay
    """,
    re.VERBOSE,
)


def mask(text: str) -> str:
    """Return ``text`` with every card number in it cut; masking twice changes nothing."""
    found = _found(text)
    if not found:
        return text
    parts, position = [], 0
    for start, end, digits in found:
        parts += [text[position:start], _cut(digits)]
        position = end
    return "".join(parts) + text[position:]


def cards(text: str) -> tuple[str, ...]:
    """Return the card numbers in ``text``, each cut already."""
    return tuple(_cut(digits) for _, _, digits in _found(text))


def is_brand(digits: str) -> bool:
    """Whether a card brand has numbers of this beginning and length."""
    return _BRAND.fullmatch(digits) is not None


def mask_all(value: Any) -> Any:
    """Return JSON data with every card number in it masked, in strings and numbers, keys too."""
    match value:
        case str():
            return mask(value)
        case bool():
            return value
        case int() | float() if mask(repr(value)) != repr(value):
            return mask(repr(value))
        case Mapping():
            return {mask(str(key)): mask_all(item) for key, item in value.items()}
        case list() | tuple():
            return [mask_all(item) for item in value]
        case _:
            return value


def mask_texts(value: Any) -> Any:
    """Return JSON data with every card number in its strings masked; numbers, which carry no row contents here, stay."""
    match value:
        case str():
            return mask(value)
        case Mapping():
            return {mask_texts(key): mask_texts(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(mask_texts(item) for item in value)
        case _:
            return value


def luhn(digits: str) -> bool:
    """Whether the check digit of ``digits`` fits, as on every payment card."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


# --------------------------------------------------------------------------- inside


def _found(text: str) -> list[tuple[int, int, str]]:
    """Return start, end and digits of every card number, in order, none overlapping."""
    plain = text if text.isascii() else "".join(map(_plain, text))
    found = [
        (match.start(), match.end(), digits)
        for match in _FLOAT.finditer(plain)
        if is_brand(digits := _written_out(match))
    ]
    if _RUN.search(plain):
        plain = _DIGEST.sub(lambda digest: "z" * len(digest[0]), plain)
        found += [card for match in _RUN.finditer(plain) for card in _in_run(plain, *match.span())]
    return sorted(card for card in found if luhn(card[2]))


def _written_out(number: re.Match[str]) -> str:
    length = int(number[3]) + 1
    return (number[1] + number[2])[:length].ljust(length, "0")


def _plain(character: str) -> str:
    """Return a digit, blank or dash of any script as the plain one; others as they are."""
    if character.isascii():
        return character
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    return {"Zs": " ", "Pd": "-"}.get(unicodedata.category(character), character)


def _in_run(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    """Yield the card numbers among groups of digits that stand between ``start`` and ``end``, the longest first."""
    groups = [match.span() for match in _GROUP.finditer(text, start, end)]
    first = 0
    while first < len(groups):
        for last in range(min(len(groups), first + LONGEST), first, -1):
            span = groups[first][0], groups[last - 1][1]
            digits = "".join(_GROUP.findall(text, *span))
            if SHORTEST <= len(digits) <= LONGEST and _is_card(text, span, digits):
                yield *span, digits
                first = last - 1
                break
        else:
            yield from _in_front(*groups[first], text)
        first += 1


def _in_front(start: int, end: int, text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the card number that a longer row of digits begins with, as on a magnetic stripe."""
    for length in (16, 15) if end - start > LONGEST else ():
        digits = text[start : start + length]
        if is_brand(digits) and luhn(digits) and not text[start - 1 : start].isalnum():
            yield start, start + length, digits
            return


def _is_card(text: str, span: tuple[int, int], digits: str) -> bool:
    before, after = text[max(span[0] - 2, 0) : span[0]], text[span[1] : span[1] + 2]
    if not luhn(digits) or (before[-1:] == "." and before[:1].isdigit()) or before[-1:] == "+":
        return False
    stuck = any(
        part and (part[0].isalnum() or (part[0] in "-." and part[1:].isalnum())) for part in (before[::-1], after)
    )
    if stuck or not _AS_ON_A_CARD.fullmatch(text[slice(*span)]):
        return is_brand(digits)
    # Numbers that begin with 1 are mostly clocks in milliseconds; the one card brand there (UATP) has 15 digits.
    # System identifiers of PostgreSQL clusters have 19 digits and begin with 7; no card of that length does.
    clock, cluster = digits[0] == "1" and len(digits) != 15, digits[0] == "7" and len(digits) == 19
    return digits[0] != "0" and not clock and not cluster


def _cut(digits: str) -> str:
    return digits[:FIRST] + "*" * (len(digits) - FIRST - LAST) + digits[-LAST:]
