"""The first files of a change and of a change repository, as text, from the templates that come with the package."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from importlib.resources.abc import Traversable

from okto_change import plaintext
from okto_change.errors import PlanError, UsageError
from okto_change.plan import read
from okto_change.strictyaml import suggestion

MOST_TITLE = 120


@dataclass(frozen=True, slots=True)
class Template:
    """A kind of change to start from: its parameters with the values used when none are given."""

    defaults: Mapping[str, str]


TEMPLATES: Mapping[str, Template] = {
    "data-fix": Template({"id": "1", "table": "settlements", "target": "ledger"}),
    "stuck-settlement": Template(
        {"merchant_id": "1", "outage": "[2026-01-01T09:00Z,2026-01-01T09:15Z]", "most": "100", "target": "ledger"},
    ),
    "schema-change": Template({"table": "settlements", "target": "ledger"}),
    "config-edit": Template(
        {"file": "acquirers.yaml", "path": "acquirers.north.timeout_ms", "value": "8000", "target": "routing"},
    ),
}
_TABLE = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9 .()/_-]*[A-Za-z0-9.)]")
_GUESSED = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_JSON = re.compile(r"true|false|null|-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?")

_README = """\
# Changes

A folder each: `plan.yaml` says what is done and how it is undone, the SQL lies beside it, `locks/` holds what is
approved for each environment. Start one with

    okto-change new "What it does"
"""
_ATTRIBUTES = """\
# What was signed must stay as it is, byte for byte: no conversion of line ends.
/.okto-change/** -text
/changes/** -text
"""


def new_change_files(
    title: str,
    *,
    date: date,
    author: str,
    template: str = "data-fix",
    parameters: Mapping[str, str] | None = None,
    incident: str | None = None,
) -> tuple[str, dict[str, str]]:
    """Return the id of a new change and its files, by path relative to its folder.

    Raises UsageError for an unknown template, an unknown parameter, or a value that the plan cannot take.
    """
    values = _values(template, parameters or {})
    change = change_id(title, date)
    marks = {name: scalar(value) for name, value in values.items()}
    if _JSON.fullmatch(values.get("value", "")):
        marks["value"] = values["value"]
    marks |= {"title": scalar(title.strip()), "author": scalar(author)}
    marks["incident"] = "" if incident is None else f"incident: {scalar(incident)}\n"
    files = {path: _fill(text, marks) for path, text in sorted(_texts(template).items())}
    try:
        read.load(change, {path: text.encode("utf-8") for path, text in files.items()})
    except PlanError as error:
        message = f"the template '{template}' cannot be filled with these values"
        raise UsageError(message, faults=error.faults, hint=_usage(template)) from error
    return change, files


def init_files(name: str) -> dict[str, str]:
    """Return the files of an empty change repository but its policy, by path relative to its root."""
    heading = f"# Changes of {_printable(name)}"
    return {"changes/README.md": _README.replace("# Changes", heading), ".gitattributes": _ATTRIBUTES}


def change_id(title: str, day: date) -> str:
    """Return ``2026-11-22-release-stuck-settlements``. Raises UsageError for a title that cannot be one."""
    text = title.strip()
    if not text or len(text) > MOST_TITLE or any(not plaintext.visible(mark) or mark in "\n\t" for mark in text):
        hint = 'okto-change new "Release stuck settlements"'
        raise UsageError(f"a title has one line of 1 to {MOST_TITLE} visible characters", hint=hint)
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text.replace("'", "")).strip("-")
    return f"{day:%Y-%m-%d}-{slug or 'change'}"[:80].rstrip("-")


def scalar(text: str) -> str:
    """Return ``text`` as a YAML scalar: plain where every reader agrees that it is text or an integer, else quoted."""
    if _NUMBER.fullmatch(text) or (_PLAIN.fullmatch(text) and text.lower() not in _GUESSED):
        return text
    return json.dumps(text, ensure_ascii=False)


def _values(template: str, parameters: Mapping[str, str]) -> dict[str, str]:
    if template not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise UsageError(f"no template '{template}'{suggestion(template, TEMPLATES)}", hint=f"templates: {known}")
    defaults = TEMPLATES[template].defaults
    unknown = [name for name in parameters if name not in defaults]
    if unknown:
        faults = tuple(f"no parameter '{name}'{suggestion(name, defaults)}" for name in unknown)
        raise UsageError(f"the template '{template}' has no such parameter", faults=faults, hint=_usage(template))
    values = {**defaults, **parameters}
    for name, form in (("table", _TABLE), ("path", _PATH)):
        if name in values and not form.fullmatch(values[name]):
            raise UsageError(f"{values[name]!a} cannot be a {name} here", hint=_usage(template))
    return values


def _usage(template: str) -> str:
    given = " ".join(f"-p {name}={value}" for name, value in TEMPLATES[template].defaults.items())
    return f"{template} takes: {given}"


def _fill(text: str, marks: Mapping[str, str]) -> str:
    return re.sub(r"@([a-z_]+)@", lambda mark: marks[mark[1]], text)


def _texts(template: str) -> dict[str, str]:
    folder: Traversable = resources.files("okto_change.plan") / "templates" / template
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file()}


def _printable(text: str) -> str:
    return "".join(mark if mark.isprintable() else "?" for mark in text)
