"""A config file as a tree of nodes that know where they stand in the text. Pure; the same for every format."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Literal

from okto_change.errors import EditError
from okto_change.model.base import type_

Path = tuple[str, ...]
DEEPEST = 100
"""levels of nesting that are read"""
SHOWN = 80
"""characters of a value in a message"""


@type_
class Node:
    """A value at ``text[start:end]``; comments and blank lines after it are not part of it.

    ``value`` is that of a scalar (None, bool, int, Decimal, str, Tagged), ``text`` its characters, or an alias' name.
    ``style`` is the quote or block character, '' for plain. An empty scalar (null) has ``start == end``.
    """

    kind: Literal["scalar", "mapping", "sequence", "alias"]
    start: int
    end: int
    value: Any = None
    text: str = ""
    entries: tuple[Entry, ...] = ()
    flow: bool = False
    style: str = ""
    tag: str | None = None
    anchor: str | None = None

    @property
    def is_block(self) -> bool:
        """Whether this is a block collection, which stands on lines of its own."""
        return self.kind in ("mapping", "sequence") and not self.flow


@type_
class Entry:
    """A key with its value, or an item (``key`` None). ``start`` is where the key, the item or its dash begins."""

    start: int
    key: Node | None
    value: Node

    @property
    def name(self) -> str | None:
        """The key's characters; None for an item and for a key that is no scalar."""
        return self.key.text if self.key is not None and self.key.kind == "scalar" else None

    @property
    def end(self) -> int:
        """Where the value ends, or the indicator before an empty one."""
        return max(self.value.end, self.start + 1 if self.key is None else self.key.end)


@type_
class Tagged:
    """A value under an explicit tag, which is not interpreted."""

    tag: str
    value: Any


@type_
class Spot:
    """Where a path leads: the last collection, and the index of the entry in it, None if the key is not there.

    ``indexes`` and ``owners`` are the entries passed, so ``owners[-1]`` holds ``container`` (none at the root).
    """

    container: Node
    index: int | None
    indexes: tuple[int, ...]
    owners: tuple[Entry, ...]

    @property
    def entry(self) -> Entry:
        """The entry itself; ``index`` is not None."""
        if self.index is None:
            raise ValueError("nothing is there")
        return self.container.entries[self.index]


def find(root: Node, path: Path, anchors: Mapping[str, Node], aliased: frozenset[str]) -> Spot:
    """Return the spot that ``path`` names; only its last key may be missing, else EditError with the nearest names."""
    if not path:
        raise EditError("a path needs at least one key")
    container, indexes, owners = root, list[int](), list[Entry]()
    for depth, name in enumerate(path):
        _demand_own(container, path[:depth], aliased)
        index = _index(container, name, path[: depth + 1], anchors)
        if depth == len(path) - 1:
            if index is not None:
                _demand_own(container.entries[index].value, path, aliased)
            return Spot(container=container, index=index, indexes=tuple(indexes), owners=tuple(owners))
        if index is None:
            raise _missing(container, path[: depth + 1])
        indexes.append(index)
        owners.append(container.entries[index])
        container = container.entries[index].value
    raise AssertionError("unreachable")


def say(path: Path) -> str:
    """Return a path as people write it; a key with a dot in it stands in quotes."""
    return ".".join(json.dumps(key, ensure_ascii=False) if "." in key or not key else key for key in path)


def plain(node: Node | None) -> Any:
    """Return a node as JSON values: what is tagged or aliased as text, a number beyond a float's reach as digits."""
    if node is None:
        return None
    match node.kind:
        case "mapping":
            return {entry.name if entry.name is not None else "?": plain(entry.value) for entry in node.entries}
        case "sequence":
            return [plain(entry.value) for entry in node.entries]
        case "alias":
            return f"*{node.text}"
    return _plain_scalar(node.value)


def show(node: Node | None) -> str:
    """Return a value in one short line, for messages."""
    if node is None:
        return "nothing"
    text = json.dumps(plain(node), ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, Tagged):
        return f"{value.tag} {value.value}"
    if isinstance(value, Decimal):
        number = float(value)
        return number if Decimal(repr(number)) == value else str(value)
    return value


# ----------------------------------------------------------------------------------- what it says, apart from layout


def shape(node: Node) -> Any:
    """Return what a node says, apart from its layout: two files say the same if and only if their shapes are equal."""
    match node.kind:
        case "alias":
            return ("alias", node.text)
        case "scalar":
            return ("scalar", node.tag, node.anchor, type(node.value).__name__, node.value)
        case "mapping":
            pairs = [[_key_shape(entry), shape(entry.value)] for entry in node.entries]
            return ["mapping", node.tag, node.anchor, pairs]
        case "sequence":
            return ["sequence", node.tag, node.anchor, [[None, shape(entry.value)] for entry in node.entries]]


def shape_of(value: Any) -> Any:
    """Return the shape of a JSON value; raise EditError for what no config file can hold."""
    if isinstance(value, Mapping):
        return ["mapping", None, None, [[_text_shape(str(key)), shape_of(item)] for key, item in value.items()]]
    if isinstance(value, list | tuple):
        return ["sequence", None, None, [[None, shape_of(item)] for item in value]]
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and not value.is_finite():
        raise EditError(f"{value} cannot be written into a config file")
    return ("scalar", None, None, type(value).__name__, value)


def with_entry(root: Any, indexes: tuple[int, ...], index: int, key: Any, value: Any, *, insert: bool) -> Any:
    """Return shape ``root`` with one entry's value replaced, or a new entry ``[key, value]`` inserted at ``index``."""

    def change(pairs: list[Any]) -> list[Any]:
        kept = pairs[index:] if insert else pairs[index + 1 :]
        return [*pairs[:index], [key if insert else pairs[index][0], value], *kept]

    return _changed(root, indexes, change)


def without_entry(root: Any, indexes: tuple[int, ...], index: int) -> Any:
    """Return shape ``root`` without one entry."""
    return _changed(root, indexes, lambda pairs: [*pairs[:index], *pairs[index + 1 :]])


def key_shape(name: str | None) -> Any:
    """Return the shape of a new key, None for an item."""
    return None if name is None else _text_shape(name)


def _changed(root: Any, indexes: tuple[int, ...], change: Any) -> Any:
    kind, tag, anchor, pairs = root
    if not indexes:
        return [kind, tag, anchor, change(pairs)]
    first, *rest = indexes
    inner = [pairs[first][0], _changed(pairs[first][1], tuple(rest), change)]
    return [kind, tag, anchor, [*pairs[:first], inner, *pairs[first + 1 :]]]


def _key_shape(entry: Entry) -> Any:
    key = entry.key
    return shape(key) if key is not None and key.kind != "scalar" else None if key is None else _text_shape(key.text)


def _text_shape(text: str) -> Any:
    return ("key", text)


# ----------------------------------------------------------------------------------- inside find


def _index(container: Node, name: str, path: Path, anchors: Mapping[str, Node]) -> int | None:
    match container.kind:
        case "sequence":
            return _item(container, name, path)
        case "mapping":
            return _member(container, name, path, anchors)
    raise EditError(f"{say(path[:-1]) or 'the file'} holds {show(container)}, which has no keys")


def _item(container: Node, name: str, path: Path) -> int | None:
    count = len(container.entries)
    if not (name.isascii() and name.isdecimal()) or (len(name) > 1 and name[0] == "0"):
        raise EditError(f"{say(path[:-1])} is a list; {name!r} is no index of it")
    if int(name) > count:
        raise EditError(f"{say(path[:-1])} has {count} items; {name} is beyond its end")
    return int(name) if int(name) < count else None


def _member(container: Node, name: str, path: Path, anchors: Mapping[str, Node]) -> int | None:
    found = [index for index, entry in enumerate(container.entries) if entry.name == name]
    if len(found) > 1:
        raise EditError(f"{say(path)} is there {len(found)} times, as keys of different types")
    if not found and name in set(_inherited(container, anchors, 0)):
        raise EditError(f"{say(path)} comes from a merge key (<<)", hint="edit it where it is written, or by hand")
    return found[0] if found else None


def _inherited(container: Node, anchors: Mapping[str, Node], depth: int) -> Iterator[str]:
    for entry in container.entries:
        if entry.name != "<<" or depth > DEEPEST:
            continue
        sources = [entry.value] if entry.value.kind != "sequence" else [item.value for item in entry.value.entries]
        for source in sources:
            target = anchors.get(source.text, source) if source.kind == "alias" else source
            yield from (item.name for item in target.entries if item.name is not None)
            yield from _inherited(target, anchors, depth + 1)


def _demand_own(node: Node, path: Path, aliased: frozenset[str]) -> None:
    where = say(path) or "the file"
    if node.kind == "alias":
        raise EditError(
            f"{where} is the alias *{node.text}: what it stands for is shared",
            hint="write the value out by hand first, then edit it with a change",
        )
    if node.anchor in aliased:
        raise EditError(
            f"{where} is shared: it has the anchor &{node.anchor}, and an alias elsewhere stands for it",
            hint="write the values out by hand first, then edit them with a change",
        )


def _missing(container: Node, path: Path) -> EditError:
    names = [entry.name for entry in container.entries if entry.name is not None]
    near = difflib.get_close_matches(path[-1], names, 3)
    return EditError(
        f"{say(path)} is not there",
        hint=f"did you mean {' or '.join(near)}?" if near else "to add a whole section, set its key to a mapping",
    )
