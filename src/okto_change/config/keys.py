"""Put one key into a config file or take it out, and prove that nothing else changed. Pure.

The text is spliced where the value stands, the result is parsed and compared with what was asked for: if anything else
would say something else, the edit is refused.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from okto_change.config import block, flow, tree
from okto_change.config.sheet import Sheet, Splice
from okto_change.config.tree import Path, Spot
from okto_change.errors import EditError


def locate(now: Sheet, path: Path) -> Spot:
    """Return where ``path`` leads in a file. Raises EditError."""
    return tree.find(now.root, path, now.anchors, now.aliased)


def put(now: Sheet, spot: Spot, path: Path, value: Any) -> Sheet:
    """Return the file with ``value`` at ``spot``, which may be a new key or item."""
    if spot.index is None:
        return _add(now, spot, path, value)
    old = spot.entry.value
    if old.tag is not None or old.anchor is not None:
        written = f"the tag {old.tag}" if old.tag is not None else f"the anchor &{old.anchor}"
        raise EditError(f"{tree.say(path)} has {written}, which a plain value would lose", hint="edit it by hand")
    inside, entry = spot.container, spot.entry
    splices = flow.replace(now, inside, entry, value) if inside.flow else block.replace(now, entry, value)
    wanted = tree.with_entry(tree.shape(now.root), spot.indexes, spot.index, None, tree.shape_of(value), insert=False)
    return checked(now, splices, wanted, path)


def take(now: Sheet, spot: Spot, path: Path) -> Sheet:
    """Return the file without the entry at ``spot``."""
    if spot.index is None:
        raise EditError(f"{tree.say(path)} is not there")
    owner = spot.owners[-1] if spot.owners else None
    splices = (
        flow.remove(now, spot.container, spot.index)
        if spot.container.flow
        else block.remove(now, spot.container, spot.index, owner)
    )
    return checked(now, splices, tree.without_entry(tree.shape(now.root), spot.indexes, spot.index), path)


def checked(now: Sheet, splices: Iterable[Splice], wanted: Any, path: Path) -> Sheet:
    """Return the file with ``splices`` if it then says exactly ``wanted``; raise EditError otherwise."""
    try:
        new = now.spliced(splices)
    except EditError as error:
        raise _entangled(path) from error
    if tree.shape(new.root) != wanted:
        raise _entangled(path)
    return new


def diff(file: str, before: bytes, after: bytes) -> str:
    """Return the unified diff of two contents, line breaks as ``\\n``, '' if they are equal."""
    old, new = (content.decode("utf-8", "replace").split("\n") for content in (before, after))
    lines = difflib.unified_diff(_marked(old), _marked(new), f"a/{file}", f"b/{file}", lineterm="")
    return "".join(f"{line}\n" for line in lines)


@contextmanager
def placed(file: str) -> Iterator[None]:
    """Name ``file`` in every EditError that does not say where."""
    try:
        yield
    except EditError as error:
        error.where = error.where or file
        raise


def _add(now: Sheet, spot: Spot, path: Path, value: Any) -> Sheet:
    container, name = spot.container, None if spot.container.kind == "sequence" else path[-1]
    if name == "<<" and now.format == "yaml":
        raise EditError("a merge key (<<) cannot be set", hint="edit it by hand")
    count = len(container.entries)
    splices = (
        flow.insert(now, container, count, name, value) if container.flow else block.insert(now, container, name, value)
    )
    wanted = tree.with_entry(
        tree.shape(now.root), spot.indexes, count, tree.key_shape(name), tree.shape_of(value), insert=True
    )
    return checked(now, splices, wanted, path)


def _entangled(path: Path) -> EditError:
    return EditError(
        f"{tree.say(path) or 'the file'} is written so that it cannot be changed without touching something else",
        hint="edit the file by hand, or bring the lines around it into a usual form first",
    )


def _marked(lines: list[str]) -> list[str]:
    """Return lines for a diff: without carriage returns, the last one marked if no line break ends it."""
    lines = [line.removesuffix("\r") for line in lines]
    return lines[:-1] if lines[-1] == "" else [*lines[:-1], f"{lines[-1]}\n\\ No newline at end of file"]
