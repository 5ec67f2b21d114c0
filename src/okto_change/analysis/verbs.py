"""A statement's tokens -> what kind of statement it is, from its leading words. PostgreSQL's grammar, no parser needed.

Only kinds on the allow-list here are ever called understood; whatever is not listed is OTHER.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from okto_change.analysis.lexer import Token
from okto_change.model import StatementKind

_KINDS = {
    "SELECT": StatementKind.SELECT,
    "VALUES": StatementKind.SELECT,
    "TABLE": StatementKind.SELECT,
    "SHOW": StatementKind.SELECT,
    "(": StatementKind.SELECT,
    "INSERT": StatementKind.INSERT,
    "UPDATE": StatementKind.UPDATE,
    "DELETE": StatementKind.DELETE,
    "MERGE": StatementKind.MERGE,
    "TRUNCATE": StatementKind.TRUNCATE,
    "CREATE": StatementKind.DDL,
    "ALTER": StatementKind.DDL,
    "DROP": StatementKind.DDL,
    "COMMENT": StatementKind.DDL,
    "GRANT": StatementKind.DDL,
    "REVOKE": StatementKind.DDL,
    "REINDEX": StatementKind.DDL,
    "CLUSTER": StatementKind.DDL,
    "REFRESH": StatementKind.REFRESH,
    "SECURITY": StatementKind.DDL,
    "IMPORT": StatementKind.DDL,
    "REASSIGN": StatementKind.DDL,
    "SET": StatementKind.SET,
    "RESET": StatementKind.SET,
    "BEGIN": StatementKind.TRANSACTION,
    "START": StatementKind.TRANSACTION,
    "COMMIT": StatementKind.TRANSACTION,
    "END": StatementKind.TRANSACTION,
    "ROLLBACK": StatementKind.TRANSACTION,
    "ABORT": StatementKind.TRANSACTION,
    "SAVEPOINT": StatementKind.TRANSACTION,
    "RELEASE": StatementKind.TRANSACTION,
}
_COMMANDS = (
    "ABORT ALTER ANALYSE ANALYZE BEGIN CALL CHECKPOINT CLOSE CLUSTER COMMENT COMMIT COPY CREATE DEALLOCATE DECLARE DELETE "
    "DISCARD DO DROP END EXECUTE EXPLAIN FETCH GRANT IMPORT INSERT LISTEN LOAD LOCK MERGE MOVE NOTIFY PREPARE REASSIGN "
    "REFRESH REINDEX RELEASE RESET REVOKE ROLLBACK SAVEPOINT SECURITY SELECT SET SHOW START TABLE TRUNCATE UNLISTEN UPDATE "
    "VACUUM VALUES WITH"
)
COMMANDS = frozenset(_COMMANDS.split())
"""The words that a statement of PostgreSQL 18 may begin with (its manual, SQL Commands; ANALYSE is in the grammar alone)."""

_ROW_WRITERS = ("INSERT", "UPDATE", "DELETE", "MERGE")
_VERBS = ("SELECT", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE", "MERGE", "(")


def words(tokens: Sequence[Token], most: int = 6) -> tuple[str, ...]:
    """Return the first unquoted words in upper case, up to ``most``, stopping at the first token that is none."""
    found: list[str] = []
    for token in tokens[:most]:
        if not token.keyword:
            break
        found.append(token.keyword)
    return tuple(found)


def level(tokens: Sequence[Token], start: int = 0) -> Iterator[tuple[int, Token]]:
    """Yield index and token of everything outside round and square brackets, opening brackets included."""
    depth = 0
    for index in range(start, len(tokens)):
        token = tokens[index]
        if token.text in (")", "]"):
            depth = max(depth - 1, 0)
        elif depth == 0:
            yield index, token
        if token.text in ("(", "["):
            depth += 1


def main_verb(tokens: Sequence[Token]) -> int:
    """Return the index of the word that says what the statement does, past a leading WITH clause."""
    if not tokens or tokens[0].keyword != "WITH":
        return 0
    for index, token in level(tokens, 1):
        if token.keyword in _VERBS and index > 1 and tokens[index - 1].text == ")":
            return index
    return 0


def classify(tokens: Sequence[Token]) -> StatementKind:
    """Return the kind of a statement; OTHER for anything that is not on the allow-list."""
    if not tokens:
        return StatementKind.OTHER
    verb = main_verb(tokens)
    leading = words(tokens[verb:])
    first = leading[0] if leading else tokens[verb].text
    if _ends_or_shapes_transaction(leading):
        return StatementKind.TRANSACTION
    if first == "COPY":
        return StatementKind.COPY if _copies_in(tokens) else StatementKind.OTHER
    kind = _KINDS.get(first, StatementKind.OTHER)
    if kind is StatementKind.SELECT:
        return _select_kind(tokens, verb)
    return kind


def inner_writes(tokens: Sequence[Token]) -> tuple[int, ...]:
    """Return where data-modifying statements begin in WITH clauses: ``WITH gone AS (DELETE ...) ...``."""
    places: list[int] = []
    depth = 0
    for index, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth > 0 and token.keyword in _ROW_WRITERS and _opens_query(tokens, index):
            places.append(index)
    return tuple(places)


def copies_from_stdin(tokens: Sequence[Token]) -> bool:
    """Tell whether the statement is ``COPY ... FROM STDIN``, whose data follows it in the file."""
    if not tokens or tokens[0].keyword != "COPY":
        return False
    return any(token.keyword == "FROM" and _word(tokens, index + 1) == "STDIN" for index, token in level(tokens))


def _copies_in(tokens: Sequence[Token]) -> bool:
    return any(token.keyword == "FROM" for _, token in level(tokens))


def _select_kind(tokens: Sequence[Token], verb: int) -> StatementKind:
    """A SELECT may be a write in disguise: ``SELECT ... INTO`` creates a table, a WITH clause may change rows."""
    inner = inner_writes(tokens)
    if inner:
        return _KINDS[tokens[inner[0]].keyword]
    into = any(token.keyword == "INTO" and tokens[index - 1].text != "." for index, token in level(tokens, verb))
    return StatementKind.DDL if into else StatementKind.SELECT


def _ends_or_shapes_transaction(leading: tuple[str, ...]) -> bool:
    match leading:
        case ("PREPARE" | "COMMIT" | "ROLLBACK", "TRANSACTION" | "PREPARED", *_):
            return True
        case ("SET", "TRANSACTION", *_) | ("SET", "LOCAL" | "SESSION", "TRANSACTION", *_):
            return True
        case ("SET", "SESSION", "CHARACTERISTICS", *_):
            return True
        case _:
            return False


def _opens_query(tokens: Sequence[Token], index: int) -> bool:
    """Right behind ``AS (`` or behind a WITH clause of its own; ``FOR UPDATE`` and ``THEN UPDATE`` are neither."""
    before = tokens[index - 1].text
    return before == ")" or (before == "(" and tokens[index - 2].keyword in ("AS", "MATERIALIZED"))


def _word(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].keyword if index < len(tokens) else ""
