"""Temporary tables of a plan: what only makes, alters or drops those is no DDL that would need an undo. Pure.

Nobody else sees them and they end with the session. What is said here is never trusted: before COMMIT the server's own
accounts tell whether the catalogue of permanent objects was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from okto_change.analysis import anatomy
from okto_change.analysis.lexer import Token, significant
from okto_change.analysis.subject import Reading
from okto_change.model import StatementKind

_KINDS = ("TABLE", "VIEW", "SEQUENCE")
_BETWEEN = ("IF", "NOT", "EXISTS")


def marked(readings: Iterable[Reading], made: set[str]) -> Iterator[Reading]:
    """Yield the readings in order, those of temporary objects alone with the kind TEMPORARY.

    ``made`` are the temporary tables that there are so far on the target; it grows and shrinks with the statements. A plan
    that sets the search_path may mean something else by a name, so nothing is taken for temporary from there on.
    """
    for reading in readings:
        if any(setting.name == "search_path" for setting in reading.settings):
            made.clear()
            made.add("")
        yield _marked(reading, made) if "" not in made else reading


def _marked(reading: Reading, made: set[str]) -> Reading:
    if reading.kind is not StatementKind.DDL or "CONCURRENTLY" in reading.clauses:
        return reading
    if reading.temporary:
        made.update(created(reading))
    elif not reading.statement.writes or not made.issuperset(reading.statement.writes):
        return reading
    elif reading.words[:2] == ("DROP", "TABLE"):
        made.difference_update(reading.statement.writes)
    return replace(reading, statement=replace(reading.statement, kind=StatementKind.TEMPORARY, writes=()))


def created(reading: Reading) -> tuple[str, ...]:
    """Return the names of the temporary objects that a statement makes, () for any other."""
    if not reading.temporary:
        return ()
    tokens = significant(reading.statement.text)
    name = _named(tokens)
    return tuple(dict.fromkeys((*(reading.facts.created if reading.facts else ()), *([name] if name else []))))


def _named(tokens: Sequence[Token]) -> str | None:
    """The name behind ``CREATE TEMP TABLE`` or ``INTO TEMP``, where the parser gave up."""
    place = next((n for n, token in enumerate(tokens[:8]) if token.keyword in _KINDS), None)
    if place is None:
        place = next((n for n, token in enumerate(tokens) if token.keyword in ("TEMP", "TEMPORARY")), None)
    if place is None:
        return None
    rest = [token for token in tokens[place : place + 10] if token.keyword not in (*_BETWEEN, *_KINDS)]
    found = anatomy.target([tokens[place], *rest])
    return found.name if found else None
