"""When runs may start: by the week in a named zone, around freezes, over midnight and changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from okto_change.approval import policy as policies
from okto_change.approval.rulebook import Environment
from okto_change.approval.schema import read
from okto_change.approval.windows import closed, next_opening
from okto_change.errors import NotAuthorised, PlanError
from tests.unit.approval.helpers import ENVIRONMENTS, NOW, judge, make_file, make_lock, make_policy, policy_text

OFFICE = '    windows: [{days: [mon, tue, wed, thu], from: "09:00", until: "16:00", zone: America/Sao_Paulo}]\n'
NIGHT = '    windows: [{days: [fri], from: "22:00", until: "04:00", zone: Europe/Berlin}]\n'
FREEZE = "    freezes: [{from: 2026-11-22T00:00:00Z, until: 2026-11-24T12:30:00Z, reason: Black Friday}]\n"


def text(lines: str) -> str:
    """Return the environments with more lines for ``prod``."""
    return ENVIRONMENTS.replace("  prod:\n", f"  prod:\n{lines}")


def prod(lines: str) -> Environment:
    """Return the environment ``prod`` with these lines."""
    return make_policy(environments=text(lines)).environment("prod")


def at(moment: str) -> datetime:
    """Return a moment in UTC."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("lines", "moment", "opening"),
    [
        (OFFICE, "2026-11-23T11:59", "2026-11-23T12:00"),
        (OFFICE, "2026-11-23T12:00", None),
        (OFFICE, "2026-11-23T18:59", None),
        (OFFICE, "2026-11-23T19:00", "2026-11-24T12:00"),
        (OFFICE, "2026-11-26T19:00", "2026-11-30T12:00"),
        (NIGHT, "2026-11-27T20:59", "2026-11-27T21:00"),
        (NIGHT, "2026-11-27T23:30", None),
        (NIGHT, "2026-11-28T02:59", None),
        (NIGHT, "2026-11-28T03:00", "2026-12-04T21:00"),
        (NIGHT, "2026-07-03T19:59", "2026-07-03T20:00"),
        (FREEZE, "2026-11-21T23:59", None),
        (FREEZE, "2026-11-22T00:00", "2026-11-24T12:30"),
        (FREEZE + OFFICE, "2026-11-23T13:00", "2026-11-24T12:30"),
        (FREEZE + NIGHT, "2026-11-23T13:00", "2026-11-27T21:00"),
        ("", "2026-11-23T13:00", None),
    ],
)
def test_it_is_told_when_the_environment_opens(lines: str, moment: str, opening: str | None) -> None:
    """None where it is open now."""
    environment = prod(lines)
    found = next_opening(environment, at(moment))
    assert found == at(opening or moment)
    assert (closed(environment, at(moment)) is None) is (opening is None)


def test_the_reason_names_the_window_the_zone_and_the_next_opening() -> None:
    """In the zone that the policy names, not the machine's."""
    assert closed(prod(OFFICE), at("2026-11-23T19:00")) == (
        "prod is changed only within its windows (Mon, Tue, Wed, Thu 09:00-16:00 America/Sao_Paulo), and it is "
        "Mon 2026-11-23 16:00 America/Sao_Paulo; the next opening is Tue 2026-11-24 09:00 America/Sao_Paulo"
    )
    assert closed(prod(FREEZE), at("2026-11-23T19:00")) == (
        "prod is frozen until 2026-11-24 12:30Z: Black Friday; the next opening is Tue 2026-11-24 12:30 UTC"
    )


def test_a_window_that_a_freeze_covers_for_good_never_opens() -> None:
    """It is said, not searched for ever."""
    forever = FREEZE.replace("2026-11-24", "9998-11-24")
    assert "it never opens again" in (closed(prod(forever + OFFICE), NOW) or "") or next_opening(prod(forever), NOW)


def test_a_window_in_the_hour_that_the_clocks_skip_opens_another_day() -> None:
    """On 2026-03-29 there is no 02:30 in Berlin."""
    skipped = '    windows: [{days: [sun], from: "02:15", until: "02:45", zone: Europe/Berlin}]\n'
    assert next_opening(prod(skipped), at("2026-03-28T12:00")) == at("2026-04-05T00:15")


def test_clearance_is_refused_outside_and_the_ballot_only_says_so() -> None:
    """Approvals are given at any time; the run waits."""
    policy = make_policy(environments=text(FREEZE))
    files = judge(
        [make_file("ana", "submit"), make_file("bruno", "approve", "dba"), make_file("eva", "approve", "owners")]
    )
    taken = policies.ballot(policy, make_lock(), files, NOW)
    assert taken.cleared
    assert "Black Friday" in taken.notes[0]
    with pytest.raises(NotAuthorised) as refused:
        policies.clear(policy, make_lock(), files, executor="bruno", now=NOW)
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["step 10 (window)"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (OFFICE.replace("America/Sao_Paulo", "Mars/Olympus"), "knows no time zone 'Mars/Olympus'"),
        (OFFICE.replace("America/Sao_Paulo", "../../etc/passwd"), "a time zone such as"),
        (OFFICE.replace(", zone: America/Sao_Paulo", ""), "expected a line 'zone:'"),
        (OFFICE.replace("16:00", "25:00"), "a time of the day such as 09:00"),
        (OFFICE.replace("16:00", "09:00"), "another time than 'from:'"),
        (OFFICE.replace("[mon,", "[monday,"), "expected a known day"),
        (FREEZE.replace("2026-11-24", "2026-11-21"), "a moment after 'from:'"),
        (FREEZE.replace(", reason: Black Friday", ""), "expected a line 'reason:'"),
    ],
)
def test_faults_in_windows_are_named(lines: str, words: str) -> None:
    """A window that cannot be read closes the whole policy, with its line."""
    with pytest.raises(PlanError) as caught:
        read(policy_text(environments=text(lines)).encode(), "policy.yaml")
    assert any(words in fault for fault in caught.value.faults)
