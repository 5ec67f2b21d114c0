"""Set and remove keys in a config file so that nothing else changes, not even its layout; and take that back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from okto_change.config import sheet, tree
from okto_change.config.keys import diff, locate, placed, put, take
from okto_change.config.sheet import Sheet
from okto_change.config.tree import Path, Spot
from okto_change.config.undo import UndoResult, plan_undo
from okto_change.errors import EditError
from okto_change.model.base import type_

__all__ = ["EditResult", "UndoResult", "plan_edit", "plan_undo"]


@type_
class EditResult:
    """The content after an edit, what changed key by key, and the unified diff (file names ``a/`` and ``b/``).

    ``changes`` holds (path, old, new) with JSON values, None where the key is not there; keys that had the asked value
    already are left out.
    """

    content: bytes
    changes: tuple[tuple[Path, Any, Any], ...]
    diff: str


def plan_edit(
    file: str, content: bytes, set: Iterable[tuple[Sequence[str], Any]], remove: Iterable[Sequence[str]]
) -> EditResult:
    """Return what setting and removing keys by path makes of ``content``; the format follows from the name of ``file``.

    List items are named by their index in the file as it is; the index after the last appends. Raises EditError when
    a path leads nowhere, the node is shared, the file is not what its name says, or something else would change.
    """
    with placed(file):
        assigned = [(tuple(path), value) for path, value in set]
        removed = [tuple(path) for path in remove]
        _demand_apart([*(path for path, _ in assigned), *removed])
        now = sheet.load(file, content)
        changes: list[tuple[Path, Any, Any]] = []
        for path, value in assigned:
            spot = locate(now, path)
            old = None if spot.index is None else spot.entry.value
            if old is None or tree.shape(old) != tree.shape_of(value):
                now = put(now, spot, path, value)
                changes.append((path, tree.plain(old), value))
        for path in sorted(removed, key=lambda path: _existing(now, path).entry.start, reverse=True):
            spot = _existing(now, path)
            changes.append((path, tree.plain(spot.entry.value), None))
            now = take(now, spot, path)
        edited = now.encoded()
    return EditResult(content=edited, changes=tuple(changes), diff=diff(file, content, edited))


def _existing(now: Sheet, path: Path) -> Spot:
    spot = locate(now, path)
    if spot.index is None:
        raise EditError(f"{tree.say(path)} is not there, so it cannot be removed")
    return spot


def _demand_apart(paths: list[Path]) -> None:
    for number, path in enumerate(paths):
        for other in paths[:number]:
            if path[: len(other)] == other or other[: len(path)] == path:
                raise EditError(f"the paths {tree.say(other)} and {tree.say(path)} are inside one another")
