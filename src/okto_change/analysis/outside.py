"""What the body of a function or of a DO block does outside its transaction: whom it calls, where it copies to; by tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from okto_change.analysis import calls
from okto_change.analysis.lexer import Token, Unterminated, significant
from okto_change.analysis.verbs import level

_STARTS_STATEMENT = {";", "BEGIN", "THEN", "ELSE", "LOOP"}


def beginnings(tokens: Sequence[Token]) -> Iterator[int]:
    """Yield where statements begin: the first token, and what follows a semicolon, BEGIN, THEN, ELSE and LOOP."""
    for index in range(len(tokens)):
        before = (tokens[index - 1].keyword or tokens[index - 1].text) if index else ";"
        if before in _STARTS_STATEMENT:
            yield index


def copied(tokens: Sequence[Token]) -> str | None:
    """Return the other end of the first COPY: STDIN, STDOUT, PROGRAM or FILE; None without one."""
    for begin in beginnings(tokens):
        if tokens[begin].keyword == "COPY":
            for index, token in level(tokens, begin + 1):
                if token.keyword in ("FROM", "TO") and index + 1 < len(tokens):
                    end = tokens[index + 1]
                    return end.keyword if end.keyword in ("STDIN", "STDOUT", "PROGRAM") else "FILE"
    return None


def callers(bodies: Mapping[str, str], family: frozenset[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each function of ``bodies`` (name -> text) that calls one of ``family``, with those that it calls."""
    for name, text in bodies.items():
        if found := calls.matching(_called(text), family):
            yield name, found


def copiers(bodies: Mapping[str, str]) -> Iterator[str]:
    """Yield each function of ``bodies`` that copies from or to files or programs of the server."""
    for name, text in bodies.items():
        if any(copied(tokens) in ("FILE", "PROGRAM") for tokens in _texts(text)):
            yield name


@cache
def _called(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for tokens in _texts(text) for name in calls.called(tokens)))


def _texts(text: str) -> Iterator[Sequence[Token]]:
    """Yield the tokens of a function's body, and of what it hands to EXECUTE as a literal; nothing where it cannot be read."""
    try:
        tokens = significant(text)
    except Unterminated:
        return
    yield tokens
    yield from calls.handed(tokens)
