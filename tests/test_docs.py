"""What README and docs say is so: their commands exist, their links lead somewhere, what they show is real output."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from importlib import import_module

import click
import pytest

from okto_change.analysis.rules import RULES
from okto_change.approval import policy
from okto_change.cli.main import COMMANDS, SECTIONS
from okto_change.demo import example
from okto_change.demo.stage import few_rows
from okto_change.plan import read
from okto_change.report import units
from tests.plugins.docs import PAGES, ROOT, Shown
from tests.plugins.world import Shop
from tests.unit.approval.helpers import ed25519_key

COMMAND = re.compile(r"okto-change (?:(?:-\w|--[\w-]+) \S+ )*([a-z][a-z-]*)")
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks(language: str, page: str) -> list[str]:
    """Return the fenced blocks of a language in a page under docs."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [body for found, body in FENCE.findall(text) if found == language]


def command(name: str) -> click.Command:
    """Return a command of the program."""
    module = import_module(f"okto_change.cli.{COMMANDS[name].module}")
    found: click.Command = getattr(module, name.replace("-", "_"))
    return found


def help_pages(name: str, found: click.Command) -> str:
    """Return a command's help, and that of its subcommands."""
    context = found.make_context(f"okto-change {name}", [], terminal_width=90, resilient_parsing=True)
    text = f"### {name}\n\n```text\n{found.get_help(context).rstrip()}\n```\n\n"
    if isinstance(found, click.Group):
        text += "".join(help_pages(f"{name} {each}", found.commands[each]) for each in found.commands)
    return text


def test_the_reference_shows_every_command_as_its_help_does(shown: Shown) -> None:
    """One section for each part of the journey."""
    truth = "".join(
        f"## {section}\n\n" + "".join(help_pages(name, command(name)) for name in names)
        for section, names in SECTIONS.items()
    )
    shown.check("docs/reference/commands.md", "commands", truth)


def test_the_reference_lists_every_rule(shown: Shown) -> None:
    """Code, severity, condition, effect and remedy as the program knows them."""
    truth = "".join(
        f"### {rule.code} {rule.title}\n\n{rule.severity.value.capitalize()}. {rule.condition}\n\n"
        f"- Effect: {rule.effect}\n- Remedy: {rule.remedy}\n\n"
        for rule in RULES
    )
    shown.check("docs/reference/rules.md", "rules", truth)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_names_exists(page: object) -> None:
    """A page that tells of ``okto-change word`` tells of a command."""
    text = (ROOT / str(page)).read_text(encoding="utf-8")
    named = {name for line in re.findall(r"`[^`\n]*`|^ {4}.*$", text, re.MULTILINE) for name in COMMAND.findall(line)}
    assert named <= COMMANDS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: object) -> None:
    """Every relative link of a page names a file that is there."""
    path = ROOT / str(page)
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_plan_of_the_reference_is_valid() -> None:
    """The example plan parses, and is a change that a sandbox could lock."""
    (text,) = blocks("yaml", "reference/plan.md")
    named = re.findall(r"\b[\w.-]+\.sql\b", text)
    files = {name: b"SELECT 1;\n" for name in named} | {"plan.yaml": text.encode()}
    assert read.load("2026-11-22-example", files).steps


def test_the_policy_of_the_reference_is_valid() -> None:
    """The example policy parses as it stands, with real keys in it."""
    (text,) = blocks("yaml", "reference/policy.md")
    key = (ROOT / example.POLICY).read_text(encoding="utf-8").split("key: ")[1].split("\n")[0]
    other = (ROOT / example.POLICY).read_text(encoding="utf-8").split("key: ")[2].split("\n")[0]
    machine = f"ssh-ed25519 {ed25519_key().line.split()[1]}"
    filled = text.replace("ssh-ed25519 AAAA...ana", key).replace("ssh-ed25519 AAAA...bruno", other)
    filled = filled.replace("ssh-ed25519 AAAA...pipeline", machine)
    assert policy.read(filled.encode(), "0001.yaml").environments


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    """As Keep a Changelog asks."""
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_readme_shows_a_real_dry_run(shop: Shop, shown: Shown) -> None:
    """The page is that of the example change on the payments database; its moment and durations are fixed."""
    example.copy_change(example.RELEASE, shop.world.clone("ana"))
    shop.okto("ana", "lock", example.RELEASE, "--env", "production")
    began = datetime.now(UTC)
    page = shop.okto("ana", "dry-run", example.RELEASE, "--env", "production").out
    parts = parts_of(steady(page, began))
    assert unsteady(parts, began) == [], "written so, README would differ with every run"
    shown.check("README.md", "dry-run", f"```text\n{parts}\n```\n")


def test_the_change_of_the_tutorial_can_be_made(shop: Shop) -> None:
    """Its plan goes through lock, dry run, apply and rollback in the sandbox."""
    (plan,) = blocks("yaml", "tutorial.md")
    made = json.loads(shop.okto("ana", "new", "Rename merchant seven", "--json").out)
    folder = shop.change("ana", next(each.name for each in shop.change("ana", "").iterdir() if each.is_dir()))
    assert folder.name in json.dumps(made)
    for file in folder.iterdir():
        file.unlink()
    (folder / "plan.yaml").write_text(plan)
    for name in ("lock", "dry-run"):
        said = shop.okto("ana", name, "rename", "--env", "sandbox").out
    assert "undo proven: 2 of 2 rows identical" in said
    shop.world.publish("ana", "Rename merchant seven")
    for name in ("apply", "rollback"):
        shop.okto("ana", name, "rename", "--env", "sandbox")


def parts_of(page: str) -> str:
    """Return the parts of a dry run's page that a first screen has room for, with dots for what is left out."""
    wanted = ("DRY RUN", "ready", "STEP 2", "    ", "WRITES", "ROWS of public.settlements ", "CHECKS", "UNDO")
    sections = few_rows(page).rstrip().split("\n\n")
    kept = [section if section.startswith(wanted) else "..." for section in sections]
    return "\n\n".join(section for at, section in enumerate(kept) if section != "..." or kept[at - 1] != "...")


MOMENT = "2026-11-22 09:41:07"
TAKEN = "12 ms"


def durations() -> str:
    """Return a pattern for whatever the program says of a duration, by saying some: it writes milliseconds, seconds, minutes."""
    forms = {re.sub(r"\d+(\\\.\d+)?", r"\\d+(?:\\.\\d+)?", re.escape(units.duration(one))) for one in SPANS}
    return "|".join(sorted(forms, key=len, reverse=True))


SPANS = (12, 1_200, 2_000, 120_000, 125_000)
"""milliseconds, one for each form of ``units.duration``"""


def steady(page: str, began: datetime) -> str:
    """Return a page with what differs from run to run replaced, its layout kept: its moment, and what it measured.

    Only moments since ``began`` with their date, and durations where the page tells one it measured: what the data or the
    plan says of times stays, at whatever time of day and on however slow a machine this runs.
    """
    seconds = int((datetime.now(UTC) - began).total_seconds()) + 2
    day, clock = MOMENT.split()
    for moment in (began + timedelta(seconds=number) for number in range(-1, seconds)):
        page = re.sub(rf"{moment:%Y-%m-%d}(\s+){moment:%H:%M:%S}", rf"{day}\g<1>{clock}", page)
    return re.sub(rf"(?<=· )(?:{durations()})|(?<=took )(?:{durations()})", TAKEN, page)


def unsteady(page: str, began: datetime) -> list[str]:
    """Return what a steady page must not show: a moment of this run, a duration that is not the fixed one."""
    days = [f"{began + timedelta(days=number):%Y-%m-%d}" for number in (0, 1)]
    found = [day for day in days if day in page and day != MOMENT.split()[0]]
    return found + [each for each in re.findall(rf"\b(?:{durations()})\b", page) if each != TAKEN]


def test_no_moment_and_no_duration_of_a_run_stays_on_a_steady_page() -> None:
    """A slow machine takes seconds and minutes, where a quick one takes milliseconds; times of the data are left alone."""
    began = datetime(2026, 11, 23, 9, 10, 5, tzinfo=UTC)
    for span in SPANS:
        said = units.duration(span)
        page = f"UPDATE t  3 rows (rehearsed) · {said}\nThe statements took {said}; and\nREHEARSED took {said}; all\n"
        assert steady(page, began) == page.replace(said, TAKEN) and unsteady(steady(page, began), began) == []
        assert unsteady(page, began) == ([] if said == TAKEN else [said] * 3)
    page = "2026-11-22 09:10:06+00 → 2026-11-23\n    09:10:06+00, lock 2 s"
    assert steady(page, began) == "2026-11-22 09:10:06+00 → 2026-11-22\n    09:41:07+00, lock 2 s"
    assert unsteady("2026-11-23 08:00:00 UTC · rehearsed", began) == ["2026-11-23"]
