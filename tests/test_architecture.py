"""The source keeps its shape: small functions and modules, everything public explained, a light start.

Who may import whom is kept by the import-linter contracts in pyproject.toml (``make lint``).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "okto_change"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = {
    "sqlglot",
    "psycopg",
    "git",
    "rich",
    "jinja2",
    "cryptography",
    "ruamel",
    "yaml",
    "dataclasses",
    "okto_change.model",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Yield each module's path and syntax tree."""
    for path in MODULES:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def functions() -> Iterator[tuple[str, int]]:
    """Yield each function's place and its number of lines."""
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def public_definitions(tree: ast.Module) -> Iterator[ast.ClassDef | Function]:
    """Yield the public functions and classes of a module and the public methods of those classes."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            yield node
            pending += node.body if isinstance(node, ast.ClassDef) else []


def is_explained_elsewhere(node: ast.AST) -> bool:
    """Whether a definition is an overload or a property's setter, which the first one explains."""
    return any(
        "overload" in ast.dump(each) or ".setter" in ast.unparse(each) for each in getattr(node, "decorator_list", [])
    )


def test_functions_are_small() -> None:
    """Median at most 8 lines, nine in ten at most 30, none over 50."""
    sizes = dict(functions())
    lengths = list(sizes.values())
    assert {name: size for name, size in sizes.items() if size > 50} == {}
    assert median(lengths) <= 8
    assert quantiles(lengths, n=10)[-1] <= 30


def test_modules_are_small() -> None:
    """None over 400 lines, the median not over 150."""
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").split("\n")) for path in MODULES}
    assert {name: size for name, size in sizes.items() if size > 400} == {}
    assert median(sizes.values()) <= 150


def test_everything_public_has_a_docstring() -> None:
    """Modules, classes, functions and methods say what they are for."""
    missing = [path for path, tree in trees() if not ast.get_docstring(tree)]
    missing += [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees()
        for node in public_definitions(tree)
        if not ast.get_docstring(node) and not is_explained_elsewhere(node)
    ]
    assert missing == []


def test_no_error_is_swallowed_and_nothing_is_left_undone() -> None:
    """No bare ``except``, no silenced Exception, no notes to oneself, no unexplained silencing of the type checker."""
    unwanted = re.compile(r"except\s*:|except (Base)?Exception:\s*pass|\b(TODO|FIXME|XXX)\b|# type: ignore(?!\[)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in MODULES
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if unwanted.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("from okto_change.cli.main import main; main(['--help'])", HEAVY),
        ("from okto_change.cli.main import main; main(['--version'])", HEAVY),
        ("import okto_change.analysis.rules", {"sqlglot"}),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str, heavy: set[str]) -> None:
    """A command that only talks about itself loads no parser, driver, git or renderer, not even our own types."""
    told = f"import sys; {code}; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stderr.split())
