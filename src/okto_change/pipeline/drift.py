"""What a target was when the dry run saw it, and what it is now -> what differs, in lines for a person. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]


def describe(reviewed: Facts, found: Facts) -> tuple[str, ...]:
    """Return a line for each fact that is another one now: target, table, and the column, constraint or trigger of it."""
    return tuple(line for name in sorted(reviewed.keys() | found.keys()) for line in _target(name, reviewed, found))


def _target(target: str, reviewed: Facts, found: Facts) -> Iterator[str]:
    old, new = reviewed.get(target), found.get(target)
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        yield from _moved(target, old, new)
        return
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if name == "tables" and isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _tables(target, was, now)
        else:
            yield from _moved(f"{target}: {name}", was, now)


def _tables(target: str, reviewed: Facts, found: Facts) -> Iterator[str]:
    for name in sorted(reviewed.keys() | found.keys()):
        old, new = reviewed.get(name), found.get(name)
        table = f"{target}: table {name}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _table(table, old, new)
        elif old is None or new is None:
            yield from () if old is new else (f"{table} {'is new' if old is None else 'is gone'}",)
        else:
            yield from _moved(table, old, new)


def _table(table: str, old: Facts, new: Facts) -> Iterator[str]:
    yield from _moved(f"{table}: its full name", old.get("name"), new.get("name"))
    yield from _moved(f"{table}: its kind", old.get("kind"), new.get("kind"))
    was, now = old.get("definition"), new.get("definition")
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        for part in sorted(was.keys() | now.keys()):
            yield from _moved(f"{table}: {part}", was.get(part), now.get(part))
    else:
        yield from _moved(f"{table}: its definition", was, now)
    if old.get("oid") != new.get("oid"):
        yield f"{table}: it was dropped and made anew"


def _moved(what: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if old is None:
        yield f"{what} is new: {new}"
    elif new is None:
        yield f"{what} is gone, it was: {old}"
    else:
        yield f"{what} was {old}, is {new}"
