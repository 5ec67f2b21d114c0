"""Plans that cannot run: each is refused with every fault, its place and a way out, before anything is connected to."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.plugins.market import PLAN, SQL, document, explained, write_change
from tests.plugins.world import Answer, Shop

WARM = True

ENV = ("--env", "production")
TERABYTE = 2**40


def check(shop: Shop, change: str, *words: str, code: int = 1) -> str:
    """Check a change that must be refused with an error; return what was said."""
    return explained(shop.okto("ana", "check", change, *ENV, expect=code), code, *words)


PLANS: dict[str, tuple[str, list[str]]] = {
    "half-written": ('format: 1\ntitle: x\nreason: [a, b\nsteps:\n  - name: "half', ["plan.yaml:4: not valid YAML"]),
    "cut-off": ("format: 1\ntitle: Half a pl", ["3 faults", "'reason'", "'author'", "'steps'"]),
    "empty": ("", ["plan.yaml:1: expected a mapping, found an empty file"]),
    "key-twice": (
        PLAN.replace("reason:", "title: Again\nreason:"),
        ["plan.yaml:3: the key 'title' stands here again, first in line 2"],
    ),
    "unknown-key": (
        PLAN.replace("touches:", "touchs:"),
        ["plan.yaml:12: unknown key 'touchs'", "did you mean 'touches'?"],
    ),
    "anchor": (PLAN.replace("    undo: auto", "    undo: &a auto"), ["plan.yaml:13: the anchor '&a' is not allowed"]),
    "tab": (PLAN.replace("    rows", "\trows"), ["plan.yaml:11: a tab; indent with spaces"]),
    "format": (PLAN.replace("format: 1", "format: 2"), ["expected format 1, found '2'"]),
    "missing-file": (
        PLAN.replace("sql: limit.sql", "sql: limits.sql"),
        ["no file 'limits.sql'", "did you mean 'limit.sql'?"],
    ),
    "unknown-target": (
        PLAN.replace("target: ledger\n    sql: limit", "target: leger\n    sql: limit"),
        ["plan.yaml:8: target 'leger' is not in production, which has ledger, routing"],
    ),
    "nobody": (
        PLAN.replace("author: ana", "author: carol"),
        ["plan.yaml:4", "author 'carol' is nobody in the policy", "ana, bruno"],
    ),
    "value": (PLAN.replace("value: 7}", "value: seven}"), ["plan.yaml:6", "bigint", "'seven'"]),
}
FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "binary": (bytes(range(256)), ["limit.sql", "expected UTF-8 text, found binary content"]),
    "open-quote": ("UPDATE merchants SET name = 'x WHERE id = 1;", ["limit.sql:1", "string is never closed"]),
    "open-dollar": (
        "SELECT 1;\nUPDATE merchants SET name = $a$ x;",
        ["limit.sql:2", "dollar quote $a$ is never closed"],
    ),
    "open-comment": ("UPDATE merchants /* SET name = 'x';", ["limit.sql:1", "comment /* is never closed"]),
    "psql": ("SELECT 1;\n\\i other.sql\n", ["limit.sql:2: psql command \\i other.sql cannot be run here"]),
    "blank": ("\n \n", ["limit.sql:1: expected SQL, found an empty file"]),
    "unknown-parameter": ("UPDATE merchants SET name = '{{ nam }}';", ["limit.sql:1", "nam"]),
    "quoted-parameter": ("UPDATE merchants SET name = '{{ merchant_id }}';", ["limit.sql:1", "inside quotes"]),
    "bidi": ("-- \u202e\nSELECT 1;", ["limit.sql:1", "U+202E RIGHT-TO-LEFT OVERRIDE"]),
}


@pytest.fixture(scope="module")
def checked(market: Shop) -> dict[str, Answer]:
    """Check all of the broken changes above, several at a time; return what was said about each."""
    for name, (plan, _) in PLANS.items():
        write_change(market, f"plan-{name}", plan=plan)
    for name, (sql, _) in FILES.items():
        write_change(market, f"file-{name}", files={"limit.sql": sql})
    changes = [*(f"plan-{name}" for name in PLANS), *(f"file-{name}" for name in FILES)]
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda change: market.okto("ana", "check", change, *ENV, expect=None), changes)
        return dict(zip(changes, answers, strict=True))


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_cannot_be_read_names_file_and_line(checked: dict[str, Answer], name: str) -> None:
    """With the nearest known word where one is near."""
    explained(checked[f"plan-{name}"], 1, *PLANS[name][1])


@pytest.mark.parametrize("name", FILES)
def test_sql_that_cannot_be_read_names_file_and_line(checked: dict[str, Answer], name: str) -> None:
    """Nothing of a binary file reaches the terminal, and one cause is told as one fault."""
    said = explained(checked[f"file-{name}"], 1, *FILES[name][1])
    assert all(character.isprintable() or character == "\n" for character in said)
    assert "1 fault" in said or "faults" not in said


def test_all_faults_are_told_at_once_in_order(market: Shop) -> None:
    """Nobody mends a plan line by line at night."""
    plan = PLAN.replace("reason:", "reasons:").replace("type: bigint", "type: bigit").replace("rows: 1", "rows: many")
    write_change(market, "many-faults", plan=plan.replace("undo: auto", "undo: gone.sql"))
    said = check(market, "many-faults", "5 faults", "correct the lines named")
    lines = [line.split(":")[1] for line in said.splitlines() if line.startswith("  changes/many-faults/plan.yaml")]
    assert lines == ["1", "3", "6", "11", "13"]


@pytest.mark.parametrize("name", ["plan.yaml", "limit.sql"])
def test_a_terabyte_is_refused_without_reading_it(market: Shop, name: str) -> None:
    """No machine could hold it; the file is a hole, so it takes no room on disk."""
    folder = write_change(market, "very-large")
    with (folder / name).open("ab") as file:
        file.truncate(TERABYTE)
    check(market, "very-large", f"changes/very-large/{name}", "8 MiB", "put bulk data into a table")
    write_change(market, "very-large", files={name: "x"})


def link(file: Path) -> None:
    """Make ``file`` a symbolic link to something that everybody may read."""
    file.unlink()
    file.symlink_to("/etc/passwd")


def make_folder(file: Path) -> None:
    """Put a folder where a plan's SQL should be."""
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(("spoil", "words"), [(link, "a symbolic link"), (make_folder, "no file 'limit.sql'")])
def test_only_plain_files_belong_into_a_change(market: Shop, spoil: Callable[[Path], None], words: str) -> None:
    """A link could show something else to everyone who follows it."""
    file = write_change(market, f"odd-{spoil.__name__.replace('_', '-')}") / "limit.sql"
    spoil(file)
    said = check(market, file.parent.name, words)
    assert "root:" not in said


def test_a_folder_whose_name_is_no_id_is_told_how_to_be_named(market: Shop) -> None:
    """And where it is."""
    write_change(market, "Not_An_Id")
    check(market, "Not_An_Id", "'Not_An_Id' is no id of a change", "rename the folder", "changes/Not_An_Id")


@pytest.mark.parametrize(
    ("sql", "plan", "codes"),
    [
        (f"BEGIN;\n{SQL}COMMIT;\n", PLAN, {"OC401"}),
        (f"{SQL}SELECT setval('audit_log_id_seq', 1);\n", PLAN, {"OC301"}),
        (
            SQL,
            PLAN.replace("    rows: 1\n", "").replace("    touches: [merchants, audit_log]\n", ""),
            {"OC603", "OC604"},
        ),
        (
            "ALTER TABLE settlement DROP COLUMN note, ADD COLUMN memo text;\n",
            PLAN.replace("rows: 1", "rows: 0"),
            {"OC602"},
        ),
    ],
    ids=["transaction control", "setval", "no bounds", "ddl"],
)
def test_a_finding_stops_check_and_lock_with_a_remedy(market: Shop, sql: str, plan: str, codes: set[str]) -> None:
    """The page for people, and the same as data."""
    write_change(market, "with-findings", files={"limit.sql": sql}, plan=plan)
    found = document(market.okto("ana", "check", "with-findings", *ENV, "--json", expect=1))
    errors = [finding for finding in found["findings"] if finding["severity"] == "error"]
    assert codes <= {finding["code"] for finding in errors}, errors
    assert all(finding["where"]["line"] and finding["effect"] and finding["remedy"] for finding in errors)
    answer = market.okto("ana", "lock", "with-findings", *ENV, expect=1)
    explained(answer, 1, "this change cannot be locked", *codes)
    assert not (market.change("ana", "with-findings") / "locks").exists()


def test_without_where_the_whole_table_is_a_warning_and_high_risk(market: Shop) -> None:
    """It may be meant: the author says so with ``rows``."""
    write_change(market, "all-of-them", files={"limit.sql": "UPDATE merchants SET settings = '{}';\n"})
    found = document(market.okto("ana", "check", "all-of-them", *ENV, "--json"))
    assert "OC101" in {finding["code"] for finding in found["findings"]}
    assert found["risk"] == "high"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("UPDATE merchants", "UPDATE merchnts", ["OC201 unknown table", "no table merchnts", "limit.sql:1"]),
        ("SET settings", "SET setings", ["OC202 unknown column", "did you mean settings?", "limit.sql:1"]),
    ],
    ids=["table", "column"],
)
def test_a_name_that_the_target_does_not_know_stops_the_dry_run(
    market: Shop, old: str, new: str, words: list[str]
) -> None:
    """The catalogue is looked up before anything is rehearsed."""
    write_change(market, "unknown-name", files={"limit.sql": SQL.replace(old, new)})
    market.okto("ana", "lock", "unknown-name", *ENV)
    explained(market.okto("ana", "dry-run", "unknown-name", *ENV, expect=1), 1, *words)


def test_sql_that_the_plan_names_nowhere_is_pointed_out(market: Shop) -> None:
    """A forgotten `undo: undo.sql` would leave the undo automatic, and the script unread."""
    write_change(market, "forgotten", files={"undo.sql": "SELECT 1;\n", "notes.txt": "why\n"})
    said = market.okto("ana", "check", "forgotten", *ENV)
    assert "NOT IN THE PLAN" in said.out and "changes/forgotten/undo.sql" in said.out and "limit.sql\n" not in said.out
    assert "name each in a step" in said.out
    found = document(market.okto("ana", "check", "forgotten", *ENV, "--json"))
    assert found["unnamed"] == ["changes/forgotten/undo.sql"] and not found["stopped"]
    write_change(market, "named", plan=PLAN.replace("undo: auto", "undo: undo.sql"), files={"undo.sql": "SELECT 1;\n"})
    assert "NOT IN THE PLAN" not in market.okto("ana", "check", "named", *ENV).out


def test_ambiguous_and_unknown_changes_list_what_there_is(market: Shop) -> None:
    """Exit code 2: the command line is wrong, not the change."""
    for change in ("twin-one", "twin-two"):
        write_change(market, change)
    check(market, "twin", "may be any of 2 changes", "twin-one, twin-two", code=2)
    check(market, "twim", "there is no change called 'twim'", "twin-one", code=2)
    said = explained(market.okto("ana", "check", "twin-one", "--env", "prod", expect=2), 2, "environment 'prod'")
    assert "production, sandbox" in said


def test_a_change_without_lock_or_dry_run_is_told_which_command_is_missing(market: Shop) -> None:
    """Step by step."""
    place = ("unfinished", *ENV)
    write_change(market, "unfinished")
    explained(market.okto("ana", "submit", *place, expect=1), 1, "uncommitted edits")
    market.world.publish("ana", "Unfinished")
    for command in ("dry-run", "submit", "approvals", "apply"):
        answer = market.okto("ana", command, *place, expect=1)
        explained(answer, 1, "no lock for this environment", "run `okto-change lock unfinished --env production`")
    market.okto("ana", "lock", *place)
    market.world.publish("ana", "Locked")
    explained(market.okto("ana", "submit", *place, expect=1), 1, "requires a dry run", "okto-change dry-run unfinished")


def test_a_dry_run_that_objects_says_so_before_the_signature(market: Shop) -> None:
    """Exit code 1; whoever signs all the same has read why not."""
    plan, place = PLAN.replace("undo: auto", "undo: undo.sql"), ("undo-lies", *ENV)
    write_change(market, "undo-lies", plan=plan, files={"undo.sql": "SELECT 1;\n"})
    market.okto("ana", "lock", *place)
    rehearsed = document(market.okto("ana", "dry-run", *place, "--json", expect=1))
    assert rehearsed["objections"][0].startswith("undo not proven: ")
    market.world.publish("ana", "Dry run")
    signed = market.okto("ana", "submit", *place)
    assert "WHAT YOU SIGN" in signed.err and "undo not proven" in signed.err.split("WHAT YOU SIGN")[1]
