"""What a result may show of a target with sensitive columns."""

from __future__ import annotations

import pytest

from okto_change.database.veil import NOTHING, Veil, draw, split

CUSTOMERS, TEXT, BIGINT, COUNT = 16384, 25, 20, (0, 0, 20)
VEIL = draw(
    ["customers.email", "public.customers.salary", "gone.name"],
    [(CUSTOMERS, 2, "email", True, [1]), (CUSTOMERS, 5, "salary", False, [2])],
)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("cards.pan", ("", "cards", "pan")),
        ("public.Cards.PAN", ("public", "cards", "pan")),
        ('public."Cards"."P A N"', ("public", "Cards", "P A N")),
        ("vault.*", ("", "vault", "*")),
    ],
)
def test_names_are_read_as_people_write_them(name: str, parts: tuple[str, str, str]) -> None:
    """Folded unless quoted; a star stands for every column."""
    assert split(name) == parts


def test_a_name_of_one_part_names_no_column() -> None:
    """The policy refuses it too."""
    with pytest.raises(ValueError, match=r"schema\.table\.column"):
        split("pan")


@pytest.mark.parametrize(
    ("query", "origin", "hidden"),
    [
        ("SELECT email FROM customers", (CUSTOMERS, 2, TEXT), True),
        ("SELECT email AS x FROM customers", (CUSTOMERS, 2, TEXT), True),
        ("SELECT c FROM customers AS c", (CUSTOMERS, 0, 16386), True),
        ("SELECT id FROM customers", (CUSTOMERS, 1, BIGINT), False),
        ("SELECT status FROM payments", (16400, 2, TEXT), False),
        ("SELECT upper(status) FROM payments", (0, 0, TEXT), True),
        ("SELECT count(*) FROM customers WHERE email IS NULL", COUNT, False),
        ("SELECT max(SALARY) FROM customers", COUNT, True),
        ('SELECT max("salary") FROM customers', COUNT, True),
    ],
)
def test_a_result_is_judged_by_where_it_comes_from(query: str, origin: tuple[int, int, int], hidden: bool) -> None:
    """Plain columns by themselves, texts that were computed always, figures if the query names a sensitive figure."""
    assert bool(VEIL.hidden(query, [origin])) is hidden


def test_names_that_the_database_lacks_are_known_and_still_hide_keys() -> None:
    """Doctor tells them; a key of that name in an error is hidden all the same."""
    assert VEIL.missing == ("gone.name",)
    assert VEIL.mentioned("Key (lower(name))")
    assert not VEIL.mentioned("Key (id)")


def test_without_sensitive_columns_everything_is_shown() -> None:
    """Card numbers are masked elsewhere."""
    assert NOTHING.hidden("SELECT upper(a) FROM t", [(0, 0, TEXT)]) == frozenset()
    assert not Veil().asked
