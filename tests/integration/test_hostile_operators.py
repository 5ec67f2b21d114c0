"""Operators that somebody else put into ``public``: none is ever called by what okto-change asks of a database itself.

PostgreSQL looks for an operator of exactly the types given in the whole search path before it converts any. Whoever may
create in ``public``, which until PostgreSQL 14 is everybody, could otherwise have a function run as the role of okto-change.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo

from okto_change.model import Result
from tests.integration.case_driver import play
from tests.integration.test_journey_batches import as_before, released, write
from tests.plugins.journey import Bank

KINDS = (
    "oid",
    "int2",
    "int4",
    "int8",
    "text",
    "varchar",
    "name",
    "regclass",
    "regnamespace",
    "regprocedure",
    "float4",
    "jsonb",
)
OPERATORS = ("=", "<>", "<", ">", ">=", "||", "~", "!~", "~~", "->", "->>", "#>>")
CASES = yaml.safe_load((Path(__file__).parents[1] / "cases" / "cases.yaml").read_text(encoding="utf-8"))["cases"]
PLAYED = (
    "upd_unique_rotate",
    "del_cascade_3_levels",
    "truncate_partitioned_and_inherited",
    "ins_no_pk_duplicates_existing",
)


def plant(conninfo: str) -> int:
    """Make every operator of these kinds that the server lacks; each raises an error. Return how many there are."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        known = set(
            connection.execute(
                "SELECT oprname, oprleft::regtype::text, oprright::regtype::text FROM pg_operator"
            ).fetchall()
        )
        names = {kind: connection.execute("SELECT %s::regtype::text", [kind]).fetchone() for kind in KINDS}
        wanted = [
            (sign, left, right)
            for sign, left, right in product(OPERATORS, KINDS, KINDS)
            if (sign, (names[left] or ("",))[0], (names[right] or ("",))[0]) not in known
        ]
        connection.execute(sql.SQL("; ").join(_made(number, *each) for number, each in enumerate(wanted)))
    return len(wanted)


def _made(number: int, sign: str, left: str, right: str) -> sql.Composed:
    return sql.SQL(
        "CREATE FUNCTION public.{name}({left}, {right}) RETURNS boolean LANGUAGE plpgsql AS "
        "$$BEGIN RAISE 'hostile operator called: {what}'; END$$;"
        "CREATE OPERATOR public.{sign} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = public.{name})"
    ).format(
        name=sql.Identifier(f"hostile_{number}"),
        sign=sql.SQL(sign),
        left=sql.Identifier(left),
        right=sql.Identifier(right),
        what=sql.SQL(f"{left} {sign.replace('%', '%%')} {right}"),
    )


@pytest.mark.parametrize("case", [case for case in CASES if case["id"] in PLAYED], ids=lambda case: str(case["id"]))
def test_capturing_and_putting_back_call_no_operator_of_others(database: str, case: dict[str, object]) -> None:
    assert plant(database) > 300
    assert play(database, dict(case)).verdict == "reversible"


def test_a_change_goes_there_and_back_among_operators_of_others(bank: Bank) -> None:
    bank.plan()
    before = bank.sql("SELECT a::text FROM accounts AS a ORDER BY 1")
    plant(bank.ledger)
    rehearsed = bank.journey.dry_run().rehearsal
    assert rehearsed is not None and rehearsed.undo.proven
    assert bank.journey.apply().result is Result.DONE
    assert bank.journey.rollback().result is Result.DONE
    assert bank.sql("SELECT a::text FROM accounts AS a ORDER BY 1") == before
    assert bank.journey.apply().result is Result.DONE


def test_a_batch_goes_there_and_back_among_operators_of_others(bank: Bank) -> None:
    write(bank)
    plant(bank.ledger)
    assert bank.journey.apply().result is Result.DONE and released(bank) == 40
    assert bank.journey.rollback().result is Result.DONE and as_before(bank)


def test_a_role_without_a_search_path_captures_and_puts_back(database: str) -> None:
    case = {
        "schema": "CREATE TABLE public.t (id int PRIMARY KEY, v int CHECK (v > 0)); INSERT INTO public.t VALUES (1, 1)",
        "change": ["UPDATE public.t SET v = 2"],
    }
    assert play(make_conninfo(database, options="-c search_path="), case).verdict == "reversible"
