"""What counts as a card number, and what is left of it."""

from __future__ import annotations

import random

import pytest

from okto_change.errors import Refused
from okto_change.masking import cards, luhn, mask, mask_all, mask_texts
from okto_change.model import Event, EventKind

BRANDS = ["4", "51", "2221", "34", "6011", "3530", "62", "606282", "50"]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("4111111111111111", "411111******1111"),
        ("4111 1111 1111 1111", "411111******1111"),
        ("4111-1111-1111-1111", "411111******1111"),
        ("4111 - 1111 - 1111 - 1111", "411111******1111"),
        ("4111 1111 11111111", "411111******1111"),
        ("4111 1111 1111 1111 123", "411111******1111 123"),
        ("378282246310005", "378282*****0005"),
        ("3782 822463 10005", "378282*****0005"),
        ("4222222222222", "422222***2222"),
        ("6304000000000000000", "630400*********0000"),
        ("(7,4111111111111111,x)", "(7,411111******1111,x)"),
        ("pan=5555555555554444.", "pan=555555******4444."),
        ('{"pan": "4111111111111111"}', '{"pan": "411111******1111"}'),
        ("{4111111111111111,5555555555554444}", "{411111******1111,555555******4444}"),
        ("[4111111111111111,5555555555554444)", "[411111******1111,555555******4444)"),
        ("x4111111111111111", "x411111******1111"),
        ("INC-4111111111111111", "INC-411111******1111"),
        ("4111111111111111.00", "411111******1111.00"),
        ("4.111111111111111e+15", "411111******1111"),
        (";4111111111111111=2512101?", ";411111******1111=2512101?"),
        ("41111111111111112512101123", "411111******11112512101123"),
        ("\uff14\uff11" + "\uff11" * 14, "411111******1111"),
        ("4111\u00a01111\u20111111\u00a01111", "411111******1111"),
        ("Key (pan)=(4111111111111111) already exists.", "Key (pan)=(411111******1111) already exists."),
    ],
)
def test_a_card_number_is_masked_however_it_is_written(number: str, shown: str) -> None:
    """First six and last four digits stay, as PCI DSS allows; a second time changes nothing."""
    assert mask(number) == shown
    assert mask(shown) == shown


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111112",
        "1763770449000",
        "7711117369708991439",
        "411111111111",
        "0000000000000000",
        "550e8400-e29b-41d4-a716-446655440000",
        "41111111-1111-1111-1111-111111111111",
        "41111111-1111-1111-1111-1111111111ab",
        "sha256:4111111111111111" + "a" * 48,
        "a" * 16 + "4111111111111111" + "b" * 32,
        "0.4111111111111111",
        "+5511912345678",
        "20261122-020913-7f3a9c04",
        "20261122-020913-41111111",
        "2026-11-22 02:14:09.123456+00",
        "2024 2025 2026 2027",
        "411111******1111",
    ],
)
def test_other_numbers_are_not_taken_for_cards(number: str) -> None:
    """Wrong check digit, clocks, system identifiers, digests, UUIDs, decimals, phones, run ids, and what is masked already."""
    assert mask(number) == number


def test_every_length_of_card_is_found_in_any_company() -> None:
    """Numbers of several brands, with and without groups, between words, quotes, brackets and other numbers."""
    chance = random.Random(7)
    for _ in range(300):
        number = card(chance, chance.choice(BRANDS))
        written = " ".join(number[i : i + 4] for i in range(0, len(number), 4)) if chance.random() < 0.3 else number
        before, after = (
            chance.choice(["", "x ", '"', "(1,", "{", "id=7 "]),
            chance.choice(["", " y", '"', ",2)", "}", " 12"]),
        )
        shown = mask(before + written + after)
        assert number not in shown.replace(" ", "")
        assert f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}" in shown


def card(chance: random.Random, prefix: str) -> str:
    """Return a number of a brand whose check digit fits."""
    length = {"3": 15 if prefix == "34" else 16}.get(prefix[0], 16)
    body = prefix + "".join(chance.choice("0123456789") for _ in range(length - len(prefix) - 1))
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


def test_json_data_is_masked_wherever_a_card_may_hide() -> None:
    """In strings, numbers, lists and keys; where numbers must stay numbers, in texts alone."""
    hidden = {"4111111111111111": [4111111111111111, "4111111111111111", 4111111111111111.0, True, None, 37, 0.5]}
    shown = "411111******1111"
    assert mask_all(hidden) == {shown: [shown, shown, f"{shown}.0", True, None, 37, 0.5]}
    assert mask_texts({"xid": 4111111111111111, "why": ("4111111111111111",)}) == {
        "xid": 4111111111111111,
        "why": (shown,),
    }


def test_luhn_knows_its_check_digit() -> None:
    """The textbook number passes, its neighbour does not."""
    assert luhn("79927398713")
    assert not luhn("79927398710")


def test_cards_are_listed_as_they_may_be_shown() -> None:
    """The rule that refuses them in plans quotes none whole."""
    assert cards("4111111111111111 and 37, 5555-5555-5555-4444") == ("411111******1111", "555555******4444")


def test_no_error_and_no_event_holds_a_card_number() -> None:
    """They are masked when they are made, so that no log, traceback or journal can have one."""
    pan = "4111 1111 1111 1111"
    error = Refused(f"found {pan}", where=pan, state=pan, hint=pan, faults=(pan,))
    assert pan not in f"{error}{error.args}{vars(error)}"
    event = Event(kind=EventKind.CHECK_FAILED, run="r", change="c", environment="e", step=pan, data={"found": [pan]})
    assert pan not in repr(event)
