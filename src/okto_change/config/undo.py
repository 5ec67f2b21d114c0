"""Take an edit back key by key, in a file that others may have edited since: their edits stay. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from okto_change.config import block, flow, sheet, tree
from okto_change.config.keys import checked, diff, locate, placed, put, take
from okto_change.config.sheet import Sheet, Splice
from okto_change.config.tree import Entry, Node, Path, Spot
from okto_change.errors import Conflict, EditError
from okto_change.model.base import type_


@type_
class UndoResult:
    """The content after the undo, its diff, keys left alone (with the reason), and what is not quite as before."""

    content: bytes
    diff: str
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@type_
class Difference:
    """A key that the edit changed: what it was, what the edit left, what it is now; None where it is not there."""

    path: Path
    before: Node | None
    after: Node | None
    now: Node | None

    @property
    def clean(self) -> bool:
        """Whether the key still is what the edit left."""
        return _same(self.now, self.after)

    @property
    def back(self) -> bool:
        """Whether the key is already what it was before the edit."""
        return _same(self.now, self.before)

    def __str__(self) -> str:
        left = "removed it" if self.after is None else f"left {tree.show(self.after)}"
        did = "removed" if self.now is None else "changed" if not self.path else "set"
        to = "" if self.now is None or not self.path else f" to {tree.show(self.now)}"
        return f"somebody {did} {tree.say(self.path) or 'the whole file'}{to} since (this change {left})"


def plan_undo(file: str, content: bytes, *, before: bytes, after: bytes, only_clean: bool = False) -> UndoResult:
    """Return ``content`` with every key set back that the edit from ``before`` to ``after`` changed.

    If nobody touched the file since, the result is ``before``, byte for byte. Raises Conflict naming every key that is
    no longer what the edit left, unless ``only_clean``: then those are left alone and named in the result.
    """
    if content == after:
        return UndoResult(content=before, diff=diff(file, content, before))
    with placed(file):
        was, left, now = (sheet.load(file, text) for text in (before, after, content))
        found = list(_differences((), was.root, left.root, now.root))
        conflicts = tuple(f"{file}: {item}" for item in found if not item.clean and not item.back)
        if conflicts and not only_clean:
            raise Conflict(
                f"{file} was changed since in keys that this change set",
                where=file,
                faults=conflicts,
                hint="settle these keys by hand, or undo the rest with --only-clean",
            )
        notes = [f"{tree.say(item.path)} was set back already" for item in found if item.back and not item.clean]
        for item in found:
            if item.clean:
                now, remarks = _restore(was, left, now, item)
                notes += remarks
    undone = now.encoded()
    return UndoResult(content=undone, diff=diff(file, content, undone), conflicts=conflicts, notes=tuple(notes))


# ----------------------------------------------------------------------------------- what the edit changed


def _differences(path: Path, was: Node | None, left: Node | None, now: Node | None) -> Iterator[Difference]:
    if _same(was, left):
        return
    old, ours, here = _members(was), _members(left), _members(now)
    replaced = not old.keys() & ours.keys() and _same(left, now)
    if was is None or left is None or replaced or not _comparable(was, left, now):
        yield Difference(path=path, before=was, after=left, now=now)
        return
    for name in dict.fromkeys((*old, *ours)):
        yield from _differences((*path, name), old.get(name), ours.get(name), here.get(name))


def _comparable(was: Node, left: Node, now: Node | None) -> bool:
    """Whether the three are to be compared entry by entry: mappings, or lists of one length."""
    if now is None or not (was.kind == left.kind == now.kind):
        return False
    if was.flow != left.flow or not (was.entries and left.entries):
        return False
    if was.kind == "mapping":
        return True
    return was.kind == "sequence" and len(was.entries) == len(left.entries) == len(now.entries)


def _members(node: Node | None) -> dict[str, Node]:
    if node is None:
        return {}
    if node.kind == "sequence":
        return {str(index): entry.value for index, entry in enumerate(node.entries)}
    return {entry.name: entry.value for entry in node.entries if entry.name is not None}


def _same(one: Node | None, other: Node | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(tree.shape(one) == tree.shape(other))


# ----------------------------------------------------------------------------------- putting one key back


def _restore(was: Sheet, left: Sheet, now: Sheet, item: Difference) -> tuple[Sheet, list[str]]:
    """Return the file with one key as it was, and remarks on what could not be exactly so."""
    if not item.path:
        start, end = _all(now)
        whole = Splice(start, end, was.text[slice(*_all(was))])
        return checked(now, [whole], tree.shape(was.root), ()), []
    spot = locate(now, item.path)
    if item.before is None:
        return take(now, spot, item.path), []
    if item.after is None:
        return _come_back(was, now, spot, item.path, item.before)
    wanted = tree.with_entry(
        tree.shape(now.root), spot.indexes, spot.index or 0, None, tree.shape(item.before), insert=False
    )
    for splices in _ways_back(was, left, now, spot, item.path):
        try:
            return checked(now, splices, wanted, item.path), []
        except EditError:
            continue
    return put(now, spot, item.path, tree.plain(item.before)), []


def _all(sheet: Sheet) -> tuple[int, int]:
    root = sheet.root
    return root.start, sheet.eol(root.end) if root.is_block else root.end


def _ways_back(was: Sheet, left: Sheet, now: Sheet, spot: Spot, path: Path) -> Iterator[list[Splice]]:
    """Yield ways to set a changed value back, the one that keeps most of the old layout first."""
    old, ours = locate(was, path).entry, locate(left, path).entry
    if not spot.container.flow and now.column(spot.entry.start) == was.column(old.start):
        start, end = block.extent(now, spot.entry)
        if now.text[start:end] == left.text[slice(*block.extent(left, ours))]:
            yield [Splice(start, end, was.text[slice(*block.extent(was, old))])]
    written = was.text[old.value.start : old.value.end]
    here = spot.entry.value
    if "\n" not in written and not here.is_block and here.start < here.end:
        if written:
            yield [Splice(here.start, here.end, written)]
        elif now.has_colon(spot.entry):
            yield [Splice(now.after_colon(spot.entry), here.end, "")]


def _come_back(was: Sheet, now: Sheet, spot: Spot, path: Path, before: Node) -> tuple[Sheet, list[str]]:
    """Put a removed key back where it was between its siblings, with its comment; else at the end, saying so."""
    old = locate(was, path)
    index, known = _old_place(old, spot)
    lost = f"{tree.say(path)} came back at the end of {tree.say(path[:-1]) or 'the file'}: its old neighbours are gone"
    remarks = [] if known else [lost]
    shape = tree.shape(now.root)
    wanted = tree.with_entry(shape, spot.indexes, index, tree.key_shape(path[-1]), tree.shape(before), insert=True)
    for splices in _ways_in(was, now, old, spot, index):
        try:
            return checked(now, splices, wanted, path), remarks
        except EditError:
            continue
    remarks = [f"{tree.say(path)} came back at the end of {tree.say(path[:-1]) or 'the file'}, newly written"]
    return put(now, spot, path, tree.plain(before)), remarks


def _old_place(old: Spot, spot: Spot) -> tuple[int, bool]:
    """Return the index for a removed entry among those of now, and whether a neighbour of old times told it."""
    here = [entry.name for entry in spot.container.entries]
    there = [entry.name for entry in old.container.entries]
    index = old.index or 0
    for name in reversed(there[:index]):
        if name in here:
            return here.index(name) + 1, True
    for name in there[index + 1 :]:
        if name in here:
            return here.index(name), True
    return len(here), not there[1:]


def _ways_in(was: Sheet, now: Sheet, old: Spot, spot: Spot, index: int) -> Iterator[list[Splice]]:
    """Yield ways to insert the removed entry, the one that keeps most of the old layout first."""
    entry, container = old.entry, spot.container
    if container.flow:
        yield flow.insert_text(now, container, index, was.text[entry.start : entry.end])
        return
    if old.container.flow or now.column(container.entries[0].start) != was.column(entry.start):
        return
    text = was.text[slice(*block.extent(was, entry))]
    yield from _old_line(was, now, old, spot, " " * was.column(entry.start) + text)
    yield block.insert_text(now, container, index, text)


def _old_line(was: Sheet, now: Sheet, old: Spot, spot: Spot, text: str) -> Iterator[list[Splice]]:
    """Yield the way to put ``text`` on its old line, if the lines between it and a neighbour are still the same."""
    here = {entry.name: entry for entry in spot.container.entries}
    entries, at = old.container.entries, old.index or 0
    above = next((index for index in range(at - 1, -1, -1) if entries[index].name in here), None)
    if above is not None:
        lead = _between(was, entries[above : at + 1])
        place = now.next_line(here[entries[above].name].end)
        if now.text.startswith(lead, place) and (lead or now.text[place - 1 : place] == "\n"):
            yield [Splice(place + len(lead), place + len(lead), text + now.newline)]
        elif now.text[place:] + now.newline == lead:
            yield [Splice(len(now.text), len(now.text), now.newline + text)]
        return
    below = next((index for index in range(at + 1, len(entries)) if entries[index].name in here), None)
    if below is not None:
        tail = _between(was, entries[at : below + 1])
        place = now.line(here[entries[below].name].start) - len(tail)
        if now.text.startswith(tail, place) and now.leads(here[entries[below].name].start):
            yield [Splice(place, place, text + now.newline)]


def _between(was: Sheet, entries: Sequence[Entry]) -> str:
    """Return the lines between the first and the last of ``entries``, without those of the entries between them."""
    return "".join(was.text[was.next_line(one.end) : was.line(other.start)] for one, other in pairwise(entries))
