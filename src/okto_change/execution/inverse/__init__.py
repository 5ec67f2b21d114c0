"""Definitions: what a unit of DDL did to the catalogue, and the way back. All inside one transaction of the caller's::

before = inverse.look(session, compared)           # before the author's statements
...
inverse.keep(session, run, unit, before)           # after them: derived, tried, proven, written down; else NotReversible

inverse.undo(session, run, unit)                   # any time later: every definition as it was, or Conflict
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from okto_change.database import inverse as store
from okto_change.database.session import Session
from okto_change.execution import catalogue
from okto_change.execution.images.unheard import unheard
from okto_change.execution.inverse.candidates import sequence_lock
from okto_change.model.base import type_

if TYPE_CHECKING:
    from okto_change.execution.inverse.trash import put_aside
    from okto_change.execution.inverse.undo import undo

__all__ = ["Before", "keep", "look", "put_aside", "undo"]

_HOMES = {"put_aside": "trash", "undo": "undo"}


def __getattr__(name: str) -> Any:
    """Import what most changes do not need when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(name)
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return found


@type_
class Before:
    """The catalogue before a unit ran, once in parts and once as fingerprints with the rows of tables that are rewritten."""

    objects: store.Catalogue
    was: catalogue.Before
    held: frozenset[str] = frozenset()
    """ids of the sequences that give nobody else a number until the transaction ends"""


def look(session: Session, compared: Iterable[str]) -> Before:
    """Read the catalogue; rows only of the ``compared`` tables. Sequences among those are held first, then read."""
    names = frozenset(compared)
    objects = store.read(session)
    held = [record for record in objects.values() if record.kind == "sequence" and record.object in names]
    for record in held:
        with unheard(session):
            session.run(sequence_lock(record))
    if held:
        objects = store.read(session)
    ids = frozenset(record.id for record in held)
    return Before(objects=objects, was=catalogue.look(session, names), held=ids)


def keep(session: Session, run: str, unit: str, before: Before) -> tuple[str, ...]:
    """Derive the inverse, prove it and write it down; return its statements. Raises NotReversible, NotCompared."""
    from okto_change.execution.inverse.derive import derive

    lines, touched = derive(session, before.objects, before.was, before.held)
    store.keep(session, run, unit, lines, touched)
    return tuple(line.text for line in lines if line.kind == "statement")
