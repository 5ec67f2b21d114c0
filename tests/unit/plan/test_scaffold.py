"""New changes start from templates that are valid plans; whatever the title and the values."""

from __future__ import annotations

import re
from datetime import date

import pytest

from okto_change.errors import UsageError
from okto_change.plan import read, scaffold
from okto_change.plan.names import valid_change_id
from okto_change.plan.render import render

DAY = date(2026, 11, 22)


@pytest.mark.parametrize("template", list(scaffold.TEMPLATES))
def test_every_template_is_a_valid_plan(template: str) -> None:
    """It can be read and rendered as it comes."""
    change, files = scaffold.new_change_files("Mend it", date=DAY, author="ana", template=template, incident="INC-1")
    plan = render(read.load(change, {path: text.encode() for path, text in files.items()}), "production")
    assert (change, plan.title, plan.author, plan.incident) == ("2026-11-22-mend-it", "Mend it", "ana", "INC-1")
    assert not re.search(r"@[a-z_]+@", "".join(files.values()))


def test_parameters_fill_the_template() -> None:
    """Given values stand in the plan, the others keep their example."""
    _, files = scaffold.new_change_files(
        "x", date=DAY, author="ana", template="stuck-settlement", parameters={"merchant_id": "42"}
    )
    assert "merchant_id: {type: bigint, value: 42}" in files["plan.yaml"]
    assert "incident" not in files["plan.yaml"]
    _, files = scaffold.new_change_files(
        "x", date=DAY, author="ana", template="config-edit", parameters={"value": "0.5"}
    )
    assert "set: {acquirers.north.timeout_ms: 0.5}" in files["plan.yaml"]


@pytest.mark.parametrize(
    "title",
    [
        'O\'Brien: "x" # 1',
        "yes",
        "{a: b}",
        "- x",
        "é日本",
        "修复",
        "a" * 120,
        "null",
        "1",
        "*x",
        "a: b",
        "%x",
        "@x@",
        "@title@",
    ],
)
def test_any_title_survives(title: str) -> None:
    """The plan holds it as it was given, and the id is one."""
    change, files = scaffold.new_change_files(title, date=DAY, author="ana")
    assert valid_change_id(change)
    assert read.load(change, {path: text.encode() for path, text in files.items()}).title == title


@pytest.mark.parametrize("title", ["", "  ", "a\nb", "a\u202eb", "a" * 121, "\x1b[2J"])
def test_what_is_no_title_is_refused(title: str) -> None:
    """One visible line."""
    with pytest.raises(UsageError, match="a title has one line"):
        scaffold.new_change_files(title, date=DAY, author="ana")


def test_ids_are_made_of_the_title() -> None:
    """ASCII letters, digits and hyphens, at most 80."""
    assert scaffold.change_id("Release stuck settlements!", DAY) == "2026-11-22-release-stuck-settlements"
    assert scaffold.change_id("Ação: crédito à Zé's", DAY) == "2026-11-22-acao-credito-a-zes"
    assert scaffold.change_id("修复", DAY) == "2026-11-22-change"
    assert len(scaffold.change_id("a b" * 40, DAY)) <= 80


@pytest.mark.parametrize(
    ("template", "parameters", "hint"),
    [
        ("stuck", {}, "stuck-settlement"),
        ("data-fix", {"tabel": "x"}, "did you mean 'table'?"),
        ("data-fix", {"table": "x; DROP TABLE y"}, "data-fix takes"),
        ("data-fix", {"id": "1}\nsteps: []"}, "data-fix takes"),
        ("data-fix", {"target": "x, y: z"}, "data-fix takes"),
        ("config-edit", {"path": "a: {b"}, "config-edit takes"),
        ("config-edit", {"file": "../x.yaml"}, "config-edit takes"),
        ("stuck-settlement", {"merchant_id": "abc"}, "stuck-settlement takes"),
        ("stuck-settlement", {"outage": "yesterday"}, "stuck-settlement takes"),
    ],
)
def test_wrong_templates_and_values_are_refused(template: str, parameters: dict[str, str], hint: str) -> None:
    """The error says what the template takes."""
    with pytest.raises(UsageError) as caught:
        scaffold.new_change_files("x", date=DAY, author="ana", template=template, parameters=parameters)
    assert hint in " ".join([caught.value.message, caught.value.hint or "", *caught.value.faults])


def test_a_repository_starts_with_its_attributes() -> None:
    """Git converts nothing that is signed."""
    files = scaffold.init_files("pay\x1bments")
    assert set(files) == {"changes/README.md", ".gitattributes"}
    assert "/changes/** -text" in files[".gitattributes"]
    assert files["changes/README.md"].startswith("# Changes of pay?ments\n")
