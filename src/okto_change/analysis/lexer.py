"""SQL text -> tokens, by PostgreSQL's own lexical rules with ``standard_conforming_strings`` on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

WORD, QUOTED, STRING, OPERATOR, OTHER = "word", "quoted", "string", "op", "other"
SPACE, COMMENT = "space", "comment"

# Letters and whatever is not ASCII, as what is left of ASCII: sets that reach to the end of Unicode are slow to compile.
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\n\r\f\v]++)
    | (?P<line>--[^\n\r]*+)
    | (?P<block>/\*)
    | (?P<dollar>\$(?:[^\x00-@\[-^`{-\x7f][^\x00-/:-@\[-^`{-\x7f]*+)?\$)
    | (?P<parameter>\$[0-9]++)
    | (?P<string>(?P<prefix>[eEbBxXnN]|[uU]&)?')
    | (?P<quoted>(?:[uU]&)?")
    | (?P<word>[^\x00-@\[-^`{-\x7f][^\x00-#%-/:-@\[-^`{-\x7f]*+)
    | (?P<number>0[xXoObB](?:_?[0-9A-Fa-f])++
        | (?:[0-9](?:_?[0-9])*+(?:\.(?!\.)(?:[0-9](?:_?[0-9])*+)?)?|\.[0-9](?:_?[0-9])*+)
          (?:[eE][+-]?[0-9](?:_?[0-9])*+)?)
    | (?P<fixed>::|:=|\.\.|[\[\](),;.:])
    | (?P<op>[-+*/<>=~!@\#%^&|`?]{1,64}+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN_BODY = re.compile(r"[^']*+(?:''[^']*+)*+'")
_ESCAPE_BODY = re.compile(r"[^'\\]*+(?:(?:''|\\.)[^'\\]*+)*+'", re.DOTALL)
_QUOTED_BODY = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
_CONTINUED = re.compile(r"(?:[ \t\f\v]|--[^\n\r]*+)*+[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*+[\n\r])*+'")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_MAY_END_IN_SIGN = re.compile(r"[~!@#%^&|`?]")


class Token(NamedTuple):
    """A piece of the text; ``start`` and ``end`` count characters, ``kind`` is one of this module's constants."""

    kind: str
    start: int
    end: int
    text: str

    @property
    def keyword(self) -> str:
        """The word in upper case; '' for anything but an unquoted word: a quoted name is never a keyword."""
        return self.text.upper() if self.kind == WORD else ""


class Unterminated(ValueError):
    """A quote or comment that never ends; ``start`` is the offset where it begins, ``what`` names it."""

    def __init__(self, what: str, start: int) -> None:
        super().__init__(f"{what} is never closed")
        self.what = what
        self.start = start


def scan(text: str, position: int = 0) -> Iterator[Token]:
    """Yield every token from ``position`` on, comments and white space included. Raises Unterminated."""
    length = len(text)
    while position < length:
        match = _TOKEN.match(text, position)
        assert match is not None, "the last alternative takes any character"
        group = match.lastgroup or ""
        kind, end = _finish(group, match, text)
        yield Token(kind, position, end, text[position:end])
        position = end


def significant(text: str) -> list[Token]:
    """Return the tokens of ``text`` without comments and white space. Raises Unterminated."""
    return [token for token in scan(text) if token.kind not in (SPACE, COMMENT)]


def folded(token: Token) -> str:
    """Return the name that a word or quoted identifier stands for: lower case unless quoted."""
    if token.kind == QUOTED:
        return token.text[token.text.index('"') + 1 : -1].replace('""', '"')
    return token.text.lower()


def content(token: Token) -> str:
    """Return what a string or dollar quote holds; backslash escapes stay as written."""
    if token.text.startswith("$"):
        opening = token.text.index("$", 1) + 1
        return token.text[opening:-opening]
    return token.text[token.text.index("'") + 1 : -1].replace("''", "'")


def _finish(group: str, match: re.Match[str], text: str) -> tuple[str, int]:
    match group:
        case "line":
            return COMMENT, match.end()
        case "block":
            return COMMENT, _comment_end(text, match.start())
        case "dollar":
            return STRING, _dollar_end(text, match)
        case "string":
            return STRING, _string_end(text, match)
        case "quoted":
            return QUOTED, _body_end(_QUOTED_BODY, text, match.end(), "quoted identifier", match.start())
        case "op":
            return OPERATOR, match.start() + len(_operator(match.group()))
        case "fixed":
            return OPERATOR, match.end()
        case _:
            return group, match.end()


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, start):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    raise Unterminated("comment /*", start)


def _dollar_end(text: str, match: re.Match[str]) -> int:
    tag = match.group()
    closing = text.find(tag, match.end())
    if closing < 0:
        raise Unterminated(f"dollar quote {tag}", match.start())
    return closing + len(tag)


def _string_end(text: str, match: re.Match[str]) -> int:
    """An escape string stays one over line breaks: 'a' newline '\\'' is a single literal, backslashes included."""
    body = _ESCAPE_BODY if (match["prefix"] or "").lower() == "e" else _PLAIN_BODY
    end = _body_end(body, text, match.end(), "string", match.start())
    while continued := _CONTINUED.match(text, end):
        end = _body_end(body, text, continued.end(), "string", match.start())
    return end


def _body_end(body: re.Pattern[str], text: str, position: int, what: str, start: int) -> int:
    found = body.match(text, position)
    if found is None:
        raise Unterminated(what, start)
    return found.end()


def _operator(characters: str) -> str:
    """Cut at a comment, then drop trailing signs as PostgreSQL does: ``=-1`` is ``=`` and ``-1``."""
    for opening in ("--", "/*"):
        characters = characters.split(opening, 1)[0]
    if _MAY_END_IN_SIGN.search(characters):
        return characters
    return characters.rstrip("+-") or characters[:1]
