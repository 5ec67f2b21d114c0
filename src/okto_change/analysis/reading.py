"""A split statement -> a Reading: tokens for what must never be missed, sqlglot's tree for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise

from okto_change.analysis import anatomy, calls, outside
from okto_change.analysis.facts import Facts
from okto_change.analysis.lexer import QUOTED, STRING, WORD, Token, content, folded, significant
from okto_change.analysis.preview import preview
from okto_change.analysis.subject import Reading, Setting
from okto_change.analysis.verbs import inner_writes, level, main_verb, words
from okto_change.model import Found, Statement, StatementKind

PARSE_LIMIT = 128 * 1024
"""Characters; parsing takes up to a second by then, so a longer statement is read by tokens alone"""
_PARSED = {kind for kind in StatementKind if kind not in (StatementKind.OTHER, StatementKind.TRANSACTION)}
_TARGETING = ("INSERT", "UPDATE", "DELETE", "MERGE", "COPY")
_CONTROL = {"COMMIT", "ROLLBACK", "ABORT", "SAVEPOINT"}


def read(statement: Statement, found: Found | None, *, script: bool = False) -> Reading:
    """Return what the statement's text says; ``found`` only gives column types to its preview."""
    tokens = significant(statement.text)
    parts = anatomy.dissect(tokens)
    too_large = len(statement.text) > PARSE_LIMIT
    facts = _facts(statement) if not too_large and statement.kind in _PARSED else None
    table = found.tables.get(parts.target.name) if found and parts else None
    return Reading(
        statement=replace(
            statement,
            reads=_reads(facts),
            writes=_writes(statement, tokens, facts),
            columns=_columns(tokens, facts, parts),
            preview=preview(statement.text, parts, table),
        ),
        script=script,
        words=words(tokens[main_verb(tokens) :], 12),
        facts=facts,
        too_large=too_large,
        functions=calls.everywhere(tokens),
        assigning=calls.called([token for item in parts.items for token in item.value]) if parts else (),
        choosing=calls.called([*parts.prefix, *parts.source, *parts.where]) if parts else (),
        unbounded=parts is not None and not parts.where,
        cursor=parts is not None and parts.current_of,
        columnless=anatomy.insert_columns(tokens) == () and not _has_defaults_only(tokens),
        into_temporary=_into_temporary(tokens),
        settings=tuple(_settings(tokens)),
        copies=_copies(tokens),
        control=_control(tokens),
        foreign_letters=tuple(_foreign_letters(chain(tokens, *calls.bodies(tokens)))),
        escaped_names=tuple(dict.fromkeys(t.text for t in tokens if t.kind == QUOTED and t.text[0] in "uU")),
        clauses=frozenset(token.keyword for _, token in level(tokens, 1) if token.keyword),
    )


def _facts(statement: Statement) -> Facts | None:
    from okto_change.analysis import tree  # sqlglot is slow to import; --help must not pay for it

    return tree.read(statement.text)


def _reads(facts: Facts | None) -> tuple[str, ...]:
    return facts.reads if facts else ()


def _writes(statement: Statement, tokens: Sequence[Token], facts: Facts | None) -> tuple[str, ...]:
    """What the tree says, or the targets that tokens find where it fails; the statement's own target comes first."""
    if statement.kind is StatementKind.TRUNCATE:
        return anatomy.truncated(tokens)
    if facts is not None and facts.altered + facts.writes:
        return facts.altered + facts.writes
    if statement.kind in (StatementKind.DDL, StatementKind.REFRESH):
        return tuple(_altered(tokens))
    return tuple(dict.fromkeys(_targets(statement, tokens)))


def _targets(statement: Statement, tokens: Sequence[Token]) -> Iterator[str]:
    verb = main_verb(tokens)
    own = (verb,) if statement.kind.writes_rows and tokens[verb].keyword in _TARGETING else ()
    for place in (*own, *inner_writes(tokens)):
        if found := anatomy.target(tokens[place : place + 12]):
            yield found.name


def _altered(tokens: Sequence[Token]) -> Iterator[str]:
    """The table behind ``ALTER TABLE``, ``DROP TABLE``, ``... ON``, where the parser gave up."""
    if not tokens or tokens[0].keyword not in ("ALTER", "DROP", "CREATE", "COMMENT"):
        return
    wanted = ("TABLE",) if tokens[0].keyword in ("ALTER", "DROP") else ("ON",)
    for index, token in enumerate(tokens[1:8], 1):
        if token.keyword in wanted:
            rest = [t for t in tokens[index : index + 10] if t.keyword not in ("IF", "EXISTS", "TABLE", "COLUMN")]
            found = anatomy.target([tokens[0], *rest] if token.keyword == "TABLE" else rest)
            if found:
                yield found.name
            return


def _columns(tokens: Sequence[Token], facts: Facts | None, parts: anatomy.Anatomy | None) -> tuple[str, ...]:
    if facts is not None:
        return facts.columns
    if parts is not None:
        return tuple(dict.fromkeys(name for item in parts.items for name in item.columns))
    return anatomy.insert_columns(tokens) or ()


def _into_temporary(tokens: Sequence[Token]) -> bool:
    pairs = pairwise(token.keyword for _, token in level(tokens, main_verb(tokens)))
    return any(one == "INTO" and two in ("TEMP", "TEMPORARY") for one, two in pairs)


def _has_defaults_only(tokens: Sequence[Token]) -> bool:
    return any(one.keyword == "DEFAULT" and two.keyword == "VALUES" for one, two in pairwise(tokens))


def _settings(tokens: Sequence[Token]) -> Iterator[Setting]:
    leading = words(tokens, 4)
    if leading[:1] in (("SET",), ("RESET",)):
        yield from _set_command(tokens)
    for inner in (tokens, *calls.bodies(tokens)):
        for index, token in enumerate(inner):
            if token.text == "(" and index and folded(inner[index - 1]) == "set_config":
                yield _set_config(inner, index)


def _set_command(tokens: Sequence[Token]) -> Iterator[Setting]:
    scope = tokens[1].keyword if len(tokens) > 1 else ""
    begin = 2 if scope in ("LOCAL", "SESSION") and not _is_session_name(tokens) else 1
    if begin < len(tokens) and tokens[begin].keyword != "CONSTRAINTS":
        name = [folded(token) for token in tokens[begin : begin + 3] if token.kind in (WORD, QUOTED)]
        dotted = len(tokens) > begin + 2 and tokens[begin + 1].text == "."
        special = {"time": "timezone", "session": "session_authorization", "names": "client_encoding"}
        first = name[0] if name else ""
        yield Setting(name=".".join(name[:2]) if dotted else special.get(first, first), local=scope == "LOCAL")


def _is_session_name(tokens: Sequence[Token]) -> bool:
    """``SET SESSION AUTHORIZATION x`` sets ``session_authorization``; ``SET LOCAL SESSION AUTHORIZATION`` too."""
    return len(tokens) > 2 and tokens[1].keyword == "SESSION" and tokens[2].keyword == "AUTHORIZATION"


def _set_config(tokens: Sequence[Token], opening: int) -> Setting:
    arguments = anatomy.pieces(tokens[opening + 1 : _closing(tokens, opening)])
    first = arguments[0] if arguments else ()
    known = len(first) == 1 and first[0].kind == STRING
    last = arguments[2] if len(arguments) > 2 else ()
    return Setting(
        name=content(first[0]).lower() if known else "?",
        local=[token.keyword for token in last] == ["TRUE"],
    )


def _closing(tokens: Sequence[Token], opening: int) -> int:
    depth = 0
    for index in range(opening, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[index].text, 0)
        if depth == 0:
            return index
    return len(tokens)


def _copies(tokens: Sequence[Token]) -> str | None:
    return next((end for inner in (tokens, *calls.bodies(tokens)) if (end := outside.copied(inner))), None)


def _control(tokens: Sequence[Token]) -> tuple[str, ...]:
    """COMMIT and kin at the start of a statement in a DO block's body."""
    found: dict[str, None] = {}
    for inner in calls.bodies(tokens):
        for index in outside.beginnings(inner):
            if inner[index].keyword in _CONTROL:
                found[inner[index].keyword] = None
    return tuple(found)


def _foreign_letters(tokens: Iterable[Token]) -> Iterator[str]:
    """Letters beyond ASCII outside comments, literals and quoted names: they may look like others, or like spaces."""
    for token in tokens:
        if (token.kind in (QUOTED, STRING) and not token.text.startswith("$")) or token.text.isascii():
            continue
        if token.kind == STRING and token.text[: token.text.index("$", 1)].isascii():
            continue
        letters = ", ".join(f"U+{ord(letter):04X}" for letter in dict.fromkeys(token.text) if ord(letter) > 127)
        yield f"{ascii(token.text)[1:-1][:60]} ({letters})"
