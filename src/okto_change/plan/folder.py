"""The files of a change folder: which are its sources, within limits, as text; and the manifest that names them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from okto_change import plaintext
from okto_change.errors import PlanError
from okto_change.model import ChangePlan, Check, ScriptUndo, SqlStep, Where
from okto_change.plan.names import valid_path
from okto_change.strictyaml import Faults

MOST_FILE = 1024 * 1024
MOST_FOLDER = 8 * 1024 * 1024
MOST_FILES = 500
GENERATED = ("locks/", "dryruns/", "approvals/", "runs/")
"""written by okto-change itself, never part of the sources"""

UNREADABLE = "-- not readable"
"""stands for the text of a file that is none, whose fault is noted, so that nothing calls it empty too"""


def sources(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files that the author wrote, by path."""
    return {path: files[path] for path in sorted(files) if not path.startswith(GENERATED)}


def unnamed(plan: ChangePlan, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the SQL files of the folder that ``plan`` names nowhere: nothing runs them, as an undo least of all."""
    named = {part.source for part in (*plan.steps, *plan.checks) if isinstance(part, SqlStep | Check)}
    named |= {step.undo.source for step in plan.steps if isinstance(step.undo, ScriptUndo)}
    return tuple(path for path in sources(files) if path.lower().endswith(".sql") and path not in named)


def limits(change: str, files: Mapping[str, bytes]) -> None:
    """Raise PlanError when a file, the folder or the number of files is too large to read."""
    faults = Faults()
    for path, content in files.items():
        if len(content) > MOST_FILE:
            faults.add(Where(file=f"changes/{change}/{path}"), f"expected at most 1 MiB, found {_size(len(content))}")
    total = sum(map(len, files.values()))
    place = Where(file=f"changes/{change}")
    if total > MOST_FOLDER:
        faults.add(place, f"expected at most 8 MiB in all files together, found {_size(total)}")
    if len(files) > MOST_FILES:
        faults.add(place, f"expected at most {MOST_FILES} files, found {len(files)}")
    hint = "a plan holds instructions, not data; keep bulk data in a table and refer to it"
    faults.stop(f"the change '{change}'", hint)


def texts(change: str, files: Mapping[str, bytes], faults: Faults) -> dict[str, str]:
    """Return the files as text; bad names, names that differ in case only, and what is no plain text are faults."""
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for path, content in files.items():
        file = f"changes/{change}/{path}"
        if not valid_path(path):
            faults.add(Where(file=f"changes/{change}"), f"expected a plain ASCII file name, found {path!a}")
        twin = seen.setdefault(path.casefold(), path)
        if twin != path:
            faults.add(Where(file=file), f"the name differs from '{twin}' in upper and lower case only")
        text, problems = plaintext.decode(content)
        for line, problem in problems:
            faults.add(Where(file=file, line=line), problem)
        found[path] = text or (UNREADABLE if problems else "")
    return found


def manifest(files: Mapping[str, bytes]) -> tuple[tuple[str, str, int], ...]:
    """Return path, sha256 in hexadecimal and size of every source, in order of paths."""
    return tuple((path, hashlib.sha256(content).hexdigest(), len(content)) for path, content in sources(files).items())


def require_plan(change: str, files: Mapping[str, bytes]) -> bytes:
    """Return the content of ``plan.yaml``; raises PlanError when there is none."""
    if "plan.yaml" not in files:
        raise PlanError(
            f"the change '{change}' has no plan.yaml",
            where=f"changes/{change}",
            hint="start one with: okto-change new TITLE",
        )
    return files["plan.yaml"]


def _size(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"
