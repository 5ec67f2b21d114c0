"""The pages that people read: nothing is lost at any width, nothing hostile gets through, colours only on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from okto_change.model import (
    AuditReport,
    ChangeStatus,
    Concern,
    Count,
    Decided,
    Diagnosis,
    DryRun,
    Entry,
    Event,
    EventKind,
    Irreversible,
    LockWritten,
    NewChange,
    Purge,
    PurgedImages,
    Quality,
    Result,
    Silence,
    StatusBoard,
    TableWrites,
    Trash,
    UndoProof,
)
from okto_change.report import markdown, text, units
from okto_change.report.look import Look, Page
from tests.unit.report import samples

DONE = Event(
    kind=EventKind.STATEMENT_DONE, run="r1", change=samples.CHANGE, environment="production", data={"rows": 37}
)
ENTRY = Entry(number=7, at=samples.AT, actor="ana", event=DONE, content=b"{}", previous="sha256:0", hash="sha256:1")
STATUS = ChangeStatus(
    change=samples.CHANGE,
    environment="production",
    title=samples.TITLE,
    state="applied",
    run="r1",
    at=samples.AT,
    detail="74 rows in 2 tables",
    next="okto-change rollback",
)
BOARD = StatusBoard(
    changes=(
        replace(STATUS, state="stuck", concern=Concern.STUCK),
        replace(
            STATUS, state="not cleared", concern=Concern.WAITING, run=None, at=None, missing=("dba: 1 more (dave)",)
        ),
        STATUS,
    ),
    silent=(Silence(environment="production", target="ledger", message="no route", hides="what ran", hint="call"),),
)

PAGES: list[tuple[Callable[[Any, Look], str], Any]] = [
    (text.dry_run, samples.GOOD),
    (text.dry_run, samples.FAILED),
    (text.dry_run, samples.STATIC),
    (text.request, samples.REQUEST),
    (text.request, replace(samples.REQUEST, dry_run=None)),
    (text.ballot, samples.BALLOT),
    (text.outcome, samples.DONE),
    (text.undo_preview, samples.AHEAD),
    (text.status, BOARD),
    (text.status, StatusBoard(changes=())),
    (text.log, (ENTRY,)),
    (text.audit, AuditReport(environment="production", entries=7, head="sha256:1", problems=())),
    (text.audit, AuditReport(environment="production", entries=7, head="sha256:1", problems=("entry 5 was changed",))),
    (text.doctor, (Diagnosis(name="server", ok=False, message="no answer", hint="start it"),)),
    (text.init, (".okto-change/policy/0001.yaml",)),
    (text.trust, samples.TRUST),
    (text.policy_check, samples.POLICY_CHECK),
    (text.policy_check, replace(samples.POLICY_CHECK, old=None, lacking=("ana must sign",))),
    (text.policy_signed, samples.POLICY_SIGNED),
    (text.new, NewChange(change=samples.CHANGE, paths=("plan.yaml",))),
    (
        text.lock,
        LockWritten(lock=samples.LOCK, path="locks/production.json", changed=True, differences=("release.sql",)),
    ),
]


@pytest.mark.parametrize(("page", "result"), PAGES)
@pytest.mark.parametrize("width", [60, 100])
def test_no_page_is_wider_than_its_terminal(page: Callable[[Any, Look], str], result: Any, width: int) -> None:
    """Long names and digests are folded, never cut; only a command may be longer, since people copy it."""
    shown = page(result, Look(width=width))
    assert max(len(line) for line in shown.splitlines() if "okto-change " not in line) <= width
    assert "…" not in shown


@pytest.mark.parametrize(
    "given", ["take it back with: {}", "{}", "run `{}`, commit, and have it approved by all of them"]
)
def test_a_command_stays_in_one_piece(given: str) -> None:
    """Whoever copies it from a narrow terminal must not get half of it."""
    command = f"okto-change rollback {samples.CHANGE} --env production --only-clean"
    page = Page()
    page.facts([("next", given.format(command))])
    page.bullets([given.format(command)])
    page.line(given.format(command))
    shown = page.render(Look(width=60))
    assert sum(command in line for line in shown.splitlines()) == 3


@pytest.mark.parametrize(("page", "result"), PAGES)
def test_escape_sequences_are_in_a_page_only_with_colour(page: Callable[[Any, Look], str], result: Any) -> None:
    """Without a terminal a page is plain text; with one it has colours and says the same."""
    assert "\x1b" not in page(result, Look(width=100))
    assert "\x1b[" in page(result, Look(width=100, colour=True))


def test_the_dry_run_page_tells_what_a_person_needs_at_night() -> None:
    """Verdict first; rows with their quality, old and new values, undo, locks, checks, time, digest."""
    shown = text.dry_run(samples.GOOD, Look(width=100))
    for words in (
        "ready · 74 rows in 2 tables · undo proven: 74 of 74 rows identical",
        "UPDATE settlements  37 rows (rehearsed) · 12 ms",
        "id=1040  PENDING → RELEASED  NULL → 2026-11-22 02:00:00+00",
        "acquirers.north.timeout_ms    3000  →  8000",
        "+    timeout_ms: 8000   # agreed with North in May",
        "settlements               0       37        0      37  yes",
        "RowExclusiveLock on settlements, settlements_pkey",
        "ok  invariant  ledger balances",
        "took 212 ms; everything was rolled back",
        "sequence settlement_events_id_seq moved on by 37",
        samples.DIGEST,
    ):
        assert words in shown


def test_a_failed_rehearsal_says_not_ready_with_every_reason() -> None:
    """An error, a failed check, an undeclared table and an undo that was not proven."""
    shown = text.dry_run(samples.FAILED, Look(width=100))
    head = shown.split("RISK")[0]
    assert "NOT READY:" in head
    assert all(
        words in head for words in ("E002 no WHERE", "'ledger balances'", "audit_log", "undo not proven: 4 rows")
    )


def test_a_static_preview_never_claims_exact_rows() -> None:
    """Its figures are estimates and say so."""
    shown = text.dry_run(samples.STATIC, Look(width=100))
    assert "about 37 rows (estimated)" in shown
    assert "NOT REHEARSED" in shown
    assert "proven:" not in shown


def test_an_irreversible_step_is_ready_but_says_so() -> None:
    """The author's reason stands at the top, where the approver looks."""
    steps = (replace(samples.STEPS[0], undo=Irreversible(reason="the old values are gone")), samples.STEPS[1])
    assert samples.GOOD.rehearsal is not None
    rehearsal = replace(
        samples.GOOD.rehearsal, undo=UndoProof(proven=False, rows=0, identical=0, reason="irreversible")
    )
    shown = text.dry_run(replace(samples.GOOD, steps=steps, rehearsal=rehearsal), Look(width=100))
    assert "cannot be undone: release: the old values are gone" in shown.split("RISK")[0]


def hostile(value: str) -> DryRun:
    """A dry run with ``value`` wherever text comes from outside."""
    assert samples.GOOD.rehearsal is not None
    row = replace(samples.settled(1), key={value: value}, columns={value: (value, value)}, table=value)
    rehearsal = replace(
        samples.GOOD.rehearsal,
        rows=(row, samples.inserted(1)),
        left_behind=(value,),
        failure=value,
        writes=(TableWrites(table=value, inserted=1, updated=0, deleted=0, imaged=1, declared=False),),
        undo=UndoProof(proven=False, rows=1, identical=0, reason=value),
        checks=tuple(replace(check, name=value, found=value) for check in samples.GOOD.rehearsal.checks),
    )
    return replace(
        samples.GOOD,
        title=value,
        risk_reasons=(value,),
        rehearsal=rehearsal,
        change=value,
        environment=value,
        statements=tuple(replace(statement, text=value, writes=(value,)) for statement in samples.STATEMENTS),
        edits=(replace(samples.EDIT, diff=value, changes=((value, value, value),)),),
        findings=(replace(samples.WARNING, message=value, effect=value, remedy=value, title=value, code=value),),
    )


@pytest.mark.parametrize("value", ["\x1b[2Jx", "[bold red]x[/]", "x\ry", "a\u202eb", "4111111111111111", ":warning:"])
def test_nothing_hostile_reaches_the_terminal_from_any_field(value: str) -> None:
    """Escapes, markup, overwriting, right-to-left text and card numbers, wherever they stand."""
    page = text.dry_run(hostile(value), Look(width=200)) + markdown.dry_run(hostile(value))
    assert not set("\x1b\r\u202e") & set(page)
    assert "4111111111111111" not in page
    if value in {"[bold red]x[/]", ":warning:"}:
        assert value in page


def test_the_page_before_a_signature_shows_the_locks_bytes_whole() -> None:
    """A dry run on file, which its author wrote, cannot replace the statements, and no statement is cut."""
    long = "\n".join(f"-- line {number}" for number in range(100))
    lock = replace(samples.LOCK, statements=(replace(samples.STATEMENTS[0], text=long),))
    shown = text.request(replace(samples.REQUEST, lock=lock), Look(width=100))
    assert "-- line 99" in shown
    assert "INSERT INTO settlement_events" not in shown
    assert "0 of 1  approvers  can still be given by bruno, carla" in shown


def test_a_dry_run_of_another_plan_is_no_evidence() -> None:
    """Its page is not shown; the request says that there is no dry run of this plan."""
    other = replace(samples.GOOD, digest="sha256:" + "0" * 64)
    shown = text.request(replace(samples.REQUEST, dry_run=other), Look(width=120))
    assert "NO DRY RUN" in shown
    assert "undo proven" not in shown
    assert "acquirers.north.legacy_retry  →  removed" in shown


def test_markdown_keeps_what_comes_from_outside_in_code() -> None:
    """No mention, link, image or table cell can be made from a plan's text."""
    page = markdown.dry_run(replace(samples.GOOD, title="`x` @team ![](http://x) | y <script>"))
    assert "`` `x` @team ![](http://x) | y <script> ``" in page
    assert "| `settlements` | `0` | `37` | `0` | `yes` |" in page
    assert "undo proven: 74 of 74 rows identical" in page


def test_what_was_decided_names_what_is_still_missing() -> None:
    """Or says that nothing is, unless it was a rejection."""
    made = Decided(file="f.signed", digest=samples.DIGEST, missing=("1 of approvers",))
    assert "1 of approvers" in text.decided(made, "approve", Look())
    assert "nothing is missing" in text.decided(replace(made, missing=()), "approve", Look())
    assert "nothing is missing" not in text.decided(replace(made, missing=()), "reject", Look())


def test_the_board_says_first_what_is_urgent_and_who_gives_no_answer() -> None:
    """At two in the morning the first lines count; what ended comes last, the latest ten of it."""
    ended = tuple(replace(STATUS, change=f"change-{number}") for number in range(14))
    shown = text.status(replace(BOARD, changes=(*BOARD.changes[:2], *ended)), Look(width=100)).splitlines()
    assert shown[0] == "ledger of production gives no answer: no route"
    assert "1 stuck, 1 not cleared yet, 14 ended" in shown
    headings = [line for line in shown if line.isupper()]
    assert headings == ["STUCK: A PERSON MUST DECIDE", "NOT CLEARED YET", "ENDED"]
    assert "  · dba: 1 more (dave)" in shown
    assert sum(line.startswith("change-") for line in shown) == 10
    assert shown[-1] == "and 4 changes that ended earlier: okto-change status --json"


def test_an_outcome_names_conflicts_state_and_the_next_step() -> None:
    """Every failure says what state things are in."""
    stuck = replace(
        samples.DONE, result=Result.CONFLICT, conflicts=("settlements id=1040: status is PAID now",), writes=()
    )
    shown = text.outcome(stuck, Look(width=100))
    assert "CONFLICT" in shown
    assert "settlements id=1040: status is PAID now" in shown
    assert "state  74 rows changed in 2 tables" in shown


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (Count(rows=1, quality=Quality.EXACT), "1 row (exact)"),
        (Count(rows=50_000_000, quality=Quality.ESTIMATED), "about 50,000,000 rows (estimated)"),
        (Count(rows=None, quality=Quality.ESTIMATED), "rows unknown"),
        (Count(rows=3, quality=Quality.UNKNOWN), "rows unknown"),
    ],
)
def test_a_number_of_rows_says_how_far_it_can_be_trusted(count: Count, words: str) -> None:
    """Exact, rehearsed, estimated or unknown."""
    assert units.rows(count) == words


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (1234, "1.2 s"), (125_000, "2 min 5 s"), (120_000, "2 min")],
)
def test_a_duration_is_said_as_people_say_it(milliseconds: int, words: str) -> None:
    """The unit that fits."""
    assert units.duration(milliseconds) == words


def test_the_plain_ballot_hides_nothing_and_obeys_nothing() -> None:
    """Terminal escapes, bidi controls and letters that look like others are shown as what they are."""
    from okto_change.report import plain

    odd = replace(samples.BALLOT.decisions[0], file="\x1b[2Jana-\u0430pprove.signed", reason="fine\u202eesrever")
    page = plain.ballot(replace(samples.BALLOT, decisions=(odd,), notes=("a\nb",)))
    assert "\x1b" not in page and "\u202e" not in page
    assert "\\u{1b}[2Jana-\\u{430}pprove.signed" in page
    assert "\\u{202e}" in page and "\\u{a}" in page


def test_a_preview_of_an_undo_shows_rows_files_conflicts_and_the_way_out() -> None:
    """What comes back by key, old → new, and that nothing was changed yet."""
    shown = text.undo_preview(samples.CONFLICT_AHEAD, Look(width=100))
    for words in (
        "takes back run 20261122T021409-3f2a: acquirer timeout, release",
        "ROWS of",
        "-timeout_ms: 8000",
        "CONFLICTS",
        "id=1040",
        "sequence s set back to 7",
        "nothing was changed",
        "--only-clean",
    ):
        assert words in shown, words
    again = text.undo_preview(replace(samples.AHEAD, redo=True), Look(width=100))
    assert "puts back run" in again and f"okto-change redo {samples.CHANGE}" in again
    asked = text.undo_ballot(replace(samples.AHEAD, redo=True), Look(width=100))
    assert "nothing was changed" in asked and "okto-change redo" not in asked


def test_a_purge_of_a_run_in_chunks_has_one_line_for_each_kind_of_its_images() -> None:
    """Thousands of chunks have a digest each: the page counts them, the object has them all."""
    one = PurgedImages(
        target="ledger", change="c", run="r", unit="1/1", object="public.t", part="old", rows=1500, digest="sha256:1"
    )
    chunks = tuple(replace(one, unit=f"1/{number}", digest=f"sha256:{number}") for number in range(1, 41))
    found = Purge(environment="e", keep=86_400, at=samples.AT, dry_run=True, images=chunks, kept=())
    page = text.purge(found, Look(width=100))
    assert "ledger  public.t  old  60,000  40 digests, see --json" in page and page.count("public.t") == 1
    assert "public.t  old  1,500  sha256:1" in text.purge(replace(found, images=(one,)), Look(width=100))


def test_what_lies_aside_is_not_said_to_be_nothing_where_a_target_was_not_reached() -> None:
    """Only of what was reached."""
    page = text.trash(Trash(environment="e", items=(), silent=("cannot connect",)), Look(width=100))
    assert "nothing lies aside in what was reached" in page and "NOT REACHED" in page


def test_an_outcome_shows_what_else_there_is_to_know() -> None:
    """A view that was refreshed, a check of before that finds something else."""
    shown = text.outcome(replace(samples.DONE, notes=("materialized view public.totals refreshed",)), Look(width=100))
    assert "TO KNOW" in shown and "public.totals refreshed" in shown
