"""What was put aside: listed until it is brought back or dropped for good, with the statements that do that."""

from __future__ import annotations

from okto_change import pipeline
from okto_change.model import Result, Trash
from okto_change.report import text
from okto_change.report.look import Look
from tests.plugins.journey import Bank

STEP = "  - {name: drop, target: ledger, sql: pay.sql}\n"
DROPS = 'DROP TABLE audit;\nALTER TABLE accounts DROP COLUMN note;\nDROP SCHEMA old CASCADE;\nDROP TABLE "Odd.one";\n'


def listed(bank: Bank) -> Trash:
    """Return what lies aside."""
    return pipeline.trash(bank.journey.repository, "sandbox")


def test_what_lies_aside_is_listed_until_it_is_back_or_dropped(bank: Bank) -> None:
    """Three kinds; after the rollback nothing; the statements that it names, run as a change, leave nothing either."""
    bank.sql('CREATE SCHEMA old; CREATE TABLE old.t (id integer); CREATE TABLE "Odd.one" (id integer)')
    assert listed(bank).items == ()
    bank.plan(STEP, pay=DROPS)
    assert bank.journey.apply().result is Result.DONE
    found = listed(bank)
    assert {one.object for one in found.items} == {
        "table public.audit",
        "column public.accounts.note",
        "schema old",
        'table public."Odd.one"',
    }
    assert {one.target for one in found.items} >= {"ledger"} and all(one.run and one.change for one in found.items)
    page = text.trash(found, Look())
    assert "PUT ASIDE" in page and "okto_trash" in page and "an approved change drops it" in page
    assert bank.journey.rollback().result is Result.DONE
    assert listed(bank).items == () and "nothing lies aside" in text.trash(listed(bank), Look())
    assert bank.journey.apply().result is Result.DONE
    ours = [one for one in listed(bank).items if one.target == "ledger"]
    assert len(ours) == 4
    for one in ours:
        bank.sql(one.statement)
    assert listed(bank).items == ()
    assert bank.sql("SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('okto_trash')") == [(0,)]
