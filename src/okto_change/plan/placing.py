"""Where rendered values stand in SQL text: only where a literal or a name can, never inside quotes or a comment.

A template writes marks, ``NUL number NUL``, where values go; NUL cannot stand in a source file. The text around them is
read as PostgreSQL's lexer reads it: strings, ``E'...'`` and their continuation lines, quoted identifiers, nested
comments, dollar quotes, COPY data. A value within quotes would be taken apart by them, so it is refused instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MARK = re.compile("\x00(\\d+)\x00")

# Letters, digits, "_", "$" and whatever is not ASCII, as what is left of ASCII: other ways are slow to compile.
_WORD_PART = r"[^\x00-#%-/:-@\[-^`{-\x7f]"
_TOKEN = re.compile(
    rf"""
      (?P<mark>\x00\d+\x00)
    | (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<dollar>\$(?:[^\x00-@\[-^`{{-\x7f][^\x00-/:-@\[-^`{{-\x7f]*)?\$)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<string>'[^']*(?:'|\Z))
    | (?P<quoted>"[^"]*(?:"|\Z))
    | (?P<word>[^\x00-@\[-^`{{-\x7f]{_WORD_PART}*)
    | (?P<number>[0-9]+)
    | (?P<end>;)
    | (?P<other>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_CONTINUED = re.compile(r"[ \t\f\v]*(?:--[^\n]*)?\n(?:\s|--[^\n]*\n)*'(?:[^'\\]|\\.|'')*(?:'|\Z)", re.DOTALL)
_NEXT_LINE = re.compile(r"[ \t\f\v]*(?:--[^\n]*)?\n(?:\s|--[^\n]*\n)*(?=\x00)")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_COPY_END = re.compile(r"^\\\.[ \t]*$", re.MULTILINE)
_GLUED = re.compile(rf"{_WORD_PART}|['\"\x00]")
_BODY_LANGUAGES = frozenset({"sql", "plpgsql"})


@dataclass(frozen=True, slots=True)
class Token:
    """What a mark stands for: SQL text, and whether it is a quoted name rather than a literal."""

    sql: str
    name: bool = False


Misplaced = tuple[int, str]
"""the line of the rendered text, from 1, and what is wrong with the place"""


def place(text: str, tokens: Sequence[Token]) -> tuple[str, list[Misplaced]]:
    """Return ``text`` with every mark replaced by its token, and the marks that stand where no value can."""
    if not tokens:
        return text, []
    placer = _Placer(text, tokens)
    placer.code(0, len(text))
    rendered = MARK.sub(lambda mark: tokens[int(mark[1])].sql, text)
    return rendered, [(text.count("\n", 0, at) + 1, problem) for at, problem in sorted(placer.problems)]


class _Statement:
    """What decides about dollar-quoted bodies and COPY data: the words of the statement so far."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.bodies: list[int] = []
        self.copies = False

    def word(self, word: str) -> None:
        """Note a word, and whether COPY data will follow the statement."""
        self.words.append(word.lower())
        self.copies = self.copies or (self.words[0] == "copy" and self.words[-2:] == ["from", "stdin"])

    def begin(self) -> None:
        """Note that something stands here, so that no later word is the statement's first."""
        self.words = self.words or [""]

    @property
    def has_code_body(self) -> bool:
        """Whether dollar-quoted text in this statement is SQL or PL/pgSQL."""
        languages = {after for word, after in zip(self.words, self.words[1:], strict=False) if word == "language"}
        return self.words[:1] in (["do"], ["create"]) and languages <= _BODY_LANGUAGES


class _Placer:
    """Walks the text once and collects the problems of the marks in it."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self._text = text
        self._tokens = tokens
        self.problems: list[tuple[int, str]] = []

    def code(self, start: int, end: int, bodies: tuple[str, ...] = ()) -> None:
        """Walk over SQL code; ``bodies`` are the dollar quotes around it."""
        statement, at = _Statement(), start
        while at < end and (token := _TOKEN.search(self._text, at, end)):
            if token.lastgroup == "end":
                at, statement = self._finish(statement, token.end(), end), _Statement()
            else:
                at = self._token(token, statement, end, bodies)
        self._finish(statement, end, end)

    def _token(self, token: re.Match[str], statement: _Statement, end: int, bodies: tuple[str, ...]) -> int:
        if token.lastgroup not in {"word", "line", "block"}:
            statement.begin()
        match token.lastgroup:
            case "mark":
                self._mark(token, bodies)
            case "word":
                statement.word(token[0])
            case "block":
                return self._comment(token.start(), end)
            case "dollar":
                return self._dollar(token, statement, end, bodies)
            case "escaped":
                return self._escaped(token, end)
            case "string" | "quoted":
                return self._quoted(token.start(), token.end(), end)
        return token.end()

    def _finish(self, statement: _Statement, at: int, end: int) -> int:
        if statement.bodies and not statement.has_code_body:
            why = "inside dollar-quoted text that is no SQL or PL/pgSQL body; put the value outside of it"
            self.problems += [(body, f"a value stands {why}") for body in statement.bodies]
        return self._copy_data(at, end) if statement.copies else at

    def _copy_data(self, at: int, end: int) -> int:
        line = self._text.find("\n", at, end)
        last = _COPY_END.search(self._text, line + 1, end) if line >= 0 else None
        stop = last.end() if last else end
        self._refuse(at, stop, "inside COPY data; use INSERT ... VALUES for rows with parameters")
        return stop

    def _comment(self, start: int, end: int) -> int:
        depth, at = 1, start + 2
        while depth and (edge := _COMMENT_EDGE.search(self._text, at, end)):
            depth += 1 if edge[0] == "/*" else -1
            at = edge.end()
        stop = end if depth else at
        self._refuse(start, stop, "inside a block comment; use a line comment (--) or leave it out")
        return stop

    def _dollar(self, token: re.Match[str], statement: _Statement, end: int, bodies: tuple[str, ...]) -> int:
        close = self._text.find(token[0], token.end(), end)
        stop = end if close < 0 else close
        marks = [mark.start() for mark in MARK.finditer(self._text, token.end(), stop)]
        if marks:
            statement.bodies += marks
            self.code(token.end(), stop, (*bodies, token[0]))
        return stop + len(token[0])

    def _escaped(self, token: re.Match[str], end: int) -> int:
        stop = token.end()
        while more := _CONTINUED.match(self._text, stop, end):
            stop = more.end()
        return self._quoted(token.start(), stop, end)

    def _quoted(self, start: int, stop: int, end: int) -> int:
        self._refuse(start, stop, "inside quotes; leave the quotes out, a value brings its own")
        if _NEXT_LINE.match(self._text, stop, end):
            self.problems.append((stop, "a value on the next line would continue this string; put an operator between"))
        return stop

    def _refuse(self, start: int, end: int, why: str) -> None:
        for mark in MARK.finditer(self._text, start, end):
            self.problems.append((mark.start(), f"a value stands {why}"))

    def _mark(self, token: re.Match[str], bodies: tuple[str, ...]) -> None:
        start, end = token.span()
        filled = self._tokens[int(token[0].strip("\x00"))]
        before, after = self._text[max(0, start - 2) : start], self._text[end : end + 1]
        for body in bodies:
            if body in filled.sql:
                self.problems.append((start, f"the value contains {body}, which would end the text around it"))
        glued = bool(_GLUED.match(before[-1:]) or _GLUED.match(after)) or before.lower() == "u&"
        if glued or (not filled.name and (before.endswith(".") or after in {"(", "[", "."})):
            self.problems.append((start, "a value touches what stands beside it; put a space or an operator between"))
