"""A SQL file -> its statements as byte ranges.

Lossless: the bytes between two ranges are white space, comments, semicolons and the data of COPY.
"""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.analysis import verbs
from okto_change.analysis.lexer import COMMENT, OTHER, SPACE, Token, Unterminated, scan
from okto_change.errors import PlanError
from okto_change.model import Statement, Where

_PSQL_HINT = "psql is not involved when a change runs; write the SQL itself, one file a step"


def split(text: str, where_file: str, step: str, first_line: int = 1) -> tuple[Statement, ...]:
    """Return the statements of ``text`` with ``kind`` set and everything else still empty.

    A statement reaches from its first token (or a leading ``/*+ hint */``) to its last one, without the semicolon.
    ``first_line`` is the line of ``where_file`` on which ``text`` begins. Raises PlanError with the line of a quote,
    comment, bracket or body that never ends, of COPY without its data, and of every psql command.
    """
    return _Splitter(text, where_file, step, first_line).run()


class _Splitter:
    """One pass over one text.

    ``_tokens`` are the current statement's so far, ``_open`` where its open brackets are, ``_body`` where BEGIN ATOMIC
    and CASE inside it are.
    """

    def __init__(self, text: str, file: str, step: str, first_line: int) -> None:
        self._text = text
        self._file = file
        self._step = step
        self._first_line = first_line
        self._position = 0
        self._byte = (0, 0)
        self._line = (0, first_line)
        self._statements: list[Statement] = []
        self._faults: list[str] = []
        self._begin()

    def run(self) -> tuple[Statement, ...]:
        """Return the statements. Raises PlanError."""
        while self._position < len(self._text):
            for token in self._scan():
                self._position = token.end
                if self._take(token):
                    break
        self._close(terminated=False)
        if self._faults:
            raise PlanError(
                f"{len(self._faults)} psql command(s) in {self._file}",
                where=self._faults[0].split(": ")[0],
                hint=_PSQL_HINT,
                faults=tuple(self._faults),
            )
        return tuple(self._statements)

    def _begin(self) -> None:
        self._tokens: list[Token] = []
        self._hint: Token | None = None
        self._open: list[int] = []
        self._body: list[int] = []

    def _scan(self) -> Iterator[Token]:
        try:
            yield from scan(self._text, self._position)
        except Unterminated as error:
            raise self._fault(f"{error.what} is never closed", error.start) from None

    def _take(self, token: Token) -> bool:
        """Add a token; True when the scan must start again at ``_position``, behind something that is no SQL."""
        if token.kind in (SPACE, COMMENT):
            self._keep_hint(token)
        elif token.kind == OTHER and token.text == "\\":
            return self._psql(token)
        elif token.text == ";" and not self._open and not self._body:
            return self._close(terminated=True)
        else:
            self._nest(token)
            self._tokens.append(token)
        return False

    def _keep_hint(self, token: Token) -> None:
        if not self._tokens and token.text.startswith("/*+"):
            self._hint = token

    def _nest(self, token: Token) -> None:
        if token.text == "(":
            self._open.append(token.start)
        elif token.text == ")" and self._open:
            self._open.pop()
        elif token.keyword in ("ATOMIC", "CASE", "END") and self._tokens:
            self._nest_body(token, self._tokens[-1])

    def _nest_body(self, token: Token, previous: Token) -> None:
        """Follow BEGIN ATOMIC ... END, whose semicolons are inside one statement; CASE ... END nests in it."""
        label = previous.keyword == "AS" or previous.text == "."
        if token.keyword == "ATOMIC":
            if previous.keyword == "BEGIN" and self._tokens[0].keyword == "CREATE":
                self._body.append(previous.start)
        elif self._body and not label:
            self._body.append(token.start) if token.keyword == "CASE" else self._body.pop()

    def _psql(self, token: Token) -> bool:
        end = self._line_end(token.start)
        shown = self._text[token.start : min(end, token.start + 40)].strip()
        self._faults.append(f"{self._file}:{self._line_at(token.start)}: psql command {shown} cannot be run here")
        self._position = end
        return True

    def _close(self, *, terminated: bool) -> bool:
        """End the current statement; True when COPY data was read behind it."""
        tokens, hint = self._tokens, self._hint
        for places, what in ((self._open, "bracket ("), (self._body, "body that BEGIN ATOMIC opens")):
            if places:
                raise self._fault(f"{what} is never closed", places[-1])
        self._begin()
        if not tokens:
            return False
        data = self._data(tokens[0], terminated) if verbs.copies_from_stdin(tokens) else None
        self._add(tokens, (hint or tokens[0]).start, data)
        return data is not None

    def _add(self, tokens: list[Token], start: int, data: str | None) -> None:
        text = self._text[start : tokens[-1].end]
        first = self._byte_at(start)
        kind = verbs.classify(tokens)
        self._statements.append(
            Statement(
                step=self._step,
                index=len(self._statements),
                start=first,
                end=first + len(text.encode()),
                text=text,
                where=Where(file=self._file, line=self._line_at(tokens[0].start)),
                kind=kind,
                data=data,
            )
        )

    def _data(self, command: Token, terminated: bool) -> str:
        """Return the lines after ``COPY ... FROM STDIN;`` up to ``\\.``, which must stand alone on its line."""
        if not terminated:
            raise self._fault("COPY FROM STDIN needs a semicolon, data on lines of its own, and \\.", command.start)
        end = self._line_end(self._position)
        rest = self._text[self._position : end].strip()
        if rest and not rest.startswith("--"):
            raise self._fault("the data of COPY FROM STDIN must begin on the line after the semicolon", command.start)
        begin = position = min(end + 1, len(self._text))
        while position < len(self._text):
            end = self._line_end(position)
            if self._text[position:end].rstrip("\r") == "\\.":
                self._position = end
                return self._text[begin:position]
            position = end + 1
        raise self._fault("the data of COPY FROM STDIN has no closing line \\.", command.start)

    def _line_end(self, position: int) -> int:
        end = self._text.find("\n", position)
        return len(self._text) if end < 0 else end

    def _line_at(self, position: int) -> int:
        """Return the line of a character; asked in rising order, so the text is counted through once."""
        at, line = self._line
        if position < at:
            return self._first_line + self._text.count("\n", 0, position)
        self._line = (position, line + self._text.count("\n", at, position))
        return self._line[1]

    def _byte_at(self, position: int) -> int:
        at, byte = self._byte
        self._byte = (position, byte + len(self._text[at:position].encode()))
        return self._byte[1]

    def _fault(self, message: str, position: int) -> PlanError:
        where = Where(file=self._file, line=self._line_at(position))
        return PlanError(message, where=where, hint=f"step {self._step!r}: close it, or quote the text as a literal")
