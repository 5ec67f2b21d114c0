"""The page about JSON: what each command answers, and what stands inside, as the program has it."""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest

import okto_change
from okto_change.cli.main import main
from okto_change.report import data
from tests.plugins.docs import Shown
from tests.unit.cli import stand_in
from tests.unit.cli.test_commands import EVERY

PAGE = "docs/reference/json.md"
PICKED = ("new", "check", "lock", "error")
"""functions that take a few things out of what they are given: their keys are in the first list"""


def answers(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[list[str], list[str]]]:
    """Return each kind with its keys and the commands that answer with it."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for arguments in EVERY:
        main([*arguments, "--json"])
        answer = json.loads(capsys.readouterr().out)
        kind = answer.pop("kind")
        keys, commands = found.setdefault(kind, (list(answer), []))
        assert sorted(keys) == sorted(answer)
        group = arguments[0] in ("audit", "policy", "trust")
        name = " ".join(arguments[: 2 if group else 1]) + (" --dry-run" if "--dry-run" in arguments else "")
        commands += [] if name in commands else [name]
    return found


def test_the_page_says_what_each_command_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shown: Shown
) -> None:
    """Its kind, and its keys."""
    monkeypatch.setitem(sys.modules, "okto_change.pipeline", stand_in)
    monkeypatch.setattr(okto_change, "pipeline", stand_in, raising=False)
    lines = [
        f"| {', '.join(f'`{name}`' for name in commands)} | `{kind}` | {', '.join(f'`{key}`' for key in keys)} |\n"
        for kind, (keys, commands) in answers(capsys).items()
    ]
    shown.check(PAGE, "kinds", "| command | `kind` | keys |\n| --- | --- | --- |\n" + "".join(lines))


def test_the_page_says_what_stands_inside(shown: Shown) -> None:
    """Every domain type that a result holds, with its fields."""
    found: dict[str, Any] = {}
    for name, function in inspect.getmembers(data, inspect.isfunction):
        if not name.startswith("_") and name not in PICKED and function.__module__ == data.__name__:
            for hint in get_type_hints(function).values():
                collect(hint, found)
    parts = [section(found[name]) for name in sorted(found)]
    shown.check(PAGE, "types", "".join(parts))


def collect(hint: Any, found: dict[str, Any]) -> None:
    """Add the domain types that ``hint`` names, and those that they hold."""
    for inner in get_args(hint):
        collect(inner, found)
    if is_dataclass(hint) and isinstance(hint, type) and hint.__name__ not in found:
        found[hint.__name__] = hint
        for inner in get_type_hints(hint).values():
            collect(inner, found)


def section(kind: type[Any]) -> str:
    """Return a domain type as a list of its keys."""
    hints = get_type_hints(kind)
    rows = "".join(f"| `{f.name}` | {words(hints[f.name])} |\n" for f in fields(kind))
    summary = (inspect.getdoc(kind) or "").replace("``", "`")
    return f"### {kind.__name__}\n\n{summary}\n\n| key | value |\n| --- | --- |\n{rows}\n"


def words(hint: Any) -> str:
    """Say in words what values a hint lets through."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(words(inner) for inner in get_args(hint))
    if get_origin(hint) is tuple:
        inner = [each for each in get_args(hint) if each is not Ellipsis]
        return f"list of {words(inner[0])}" if len(inner) == 1 else f"[{', '.join(map(words, inner))}]"
    if get_origin(hint) is not None:
        return "object" if issubclass(get_origin(hint), Mapping) else " or ".join(literals(hint))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return ", ".join(f"`{each.value}`" for each in hint)
    plain = {str: "text", int: "integer", float: "number", bool: "true or false", bytes: "text", datetime: "moment"}
    return "null" if hint is type(None) else plain.get(hint) or f"[{hint.__name__}](#{hint.__name__.lower()})"


def literals(hint: Any) -> Iterator[str]:
    """Yield what a literal, or a list in another form, lets through."""
    for each in get_args(hint):
        yield f"`{each}`" if isinstance(each, str) else words(each)
