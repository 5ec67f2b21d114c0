"""Function calls in a statement, by tokens: names, volatility, and which reach outside the transaction.

The text of DO blocks and of dynamic SQL in them is looked into; text put together at run time cannot be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from okto_change.analysis.lexer import OPERATOR, QUOTED, STRING, WORD, Token, Unterminated, content, folded, significant

SETVAL = frozenset({"setval"})
LARGE_OBJECTS = frozenset(
    {
        "lo_creat",
        "lo_create",
        "lo_from_bytea",
        "lo_put",
        "lo_import",
        "lo_export",
        "lo_open",
        "lo_unlink",
        "lo_truncate",
        "lo_truncate64",
        "lowrite",
    }
)
OTHER_DATABASES = frozenset(
    {
        "dblink",
        "dblink_exec",
        "dblink_open",
        "dblink_connect",
        "dblink_connect_u",
        "dblink_send_query",
        "dblink_fetch",
        "postgres_fdw_disconnect",
        "postgres_fdw_disconnect_all",
    }
)
MESSAGES = frozenset({"pg_logical_emit_message"})
SESSION_LOCKS = frozenset(
    {
        "pg_advisory_lock",
        "pg_advisory_lock_shared",
        "pg_try_advisory_lock",
        "pg_try_advisory_lock_shared",
        "pg_advisory_unlock",
        "pg_advisory_unlock_shared",
        "pg_advisory_unlock_all",
    }
)
NOTIFICATIONS = frozenset({"pg_notify"})
SERVER_CONTROL = frozenset(
    {
        "pg_terminate_backend",
        "pg_cancel_backend",
        "pg_reload_conf",
        "pg_rotate_logfile",
        "pg_switch_wal",
        "pg_promote",
        "pg_create_restore_point",
        "pg_wal_replay_pause",
        "pg_wal_replay_resume",
        "pg_drop_replication_slot",
        "pg_create_logical_replication_slot",
        "pg_create_physical_replication_slot",
        "pg_replication_slot_advance",
        "pg_logical_slot_get_changes",
        "pg_logical_slot_get_binary_changes",
        "pg_replication_origin_create",
        "pg_replication_origin_drop",
        "pg_replication_origin_advance",
        "pg_stat_reset",
        "pg_stat_reset_shared",
        "pg_stat_reset_single_table_counters",
        "pg_file_write",
        "pg_file_unlink",
        "pg_file_rename",
        "pg_read_file",
        "pg_read_binary_file",
        "pg_backup_start",
        "pg_backup_stop",
        "pg_start_backup",
        "pg_stop_backup",
    }
)
SEQUENCES = frozenset({"nextval", "currval", "lastval"})
SETTINGS = frozenset({"set_config"})

VOLATILE = (
    SEQUENCES
    | SETVAL
    | SETTINGS
    | frozenset(
        {
            "random",
            "random_normal",
            "clock_timestamp",
            "timeofday",
            "gen_random_uuid",
            "gen_random_bytes",
            "uuidv4",
            "uuidv7",
            "uuid_generate_v1",
            "uuid_generate_v1mc",
            "uuid_generate_v4",
            "setseed",
            "pg_sleep",
            "pg_sleep_for",
            "pg_sleep_until",
            "txid_current",
            "pg_current_xact_id",
            "gen_salt",
        }
    )
)
"""Functions of PostgreSQL and its common extensions that give another value at every call"""

CLOCK = frozenset(
    {
        "now",
        "transaction_timestamp",
        "statement_timestamp",
        "current_timestamp",
        "current_date",
        "current_time",
        "localtimestamp",
        "localtime",
        "age",
    }
)

_EFFECTS = frozenset({"nextval", "pg_sleep", "pg_sleep_for", "pg_sleep_until"}).union(
    SETVAL, LARGE_OBJECTS, OTHER_DATABASES, MESSAGES, SESSION_LOCKS, NOTIFICATIONS, SERVER_CONTROL, SETTINGS
)
_CLOCK_WORDS = {"CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME"}
_NOT_CALLED = {
    "IN",
    "AND",
    "OR",
    "NOT",
    "VALUES",
    "SELECT",
    "WHERE",
    "ON",
    "USING",
    "ANY",
    "SOME",
    "ALL",
    "EXISTS",
    "AS",
    "BY",
    "OVER",
    "FILTER",
    "GROUP",
    "FROM",
    "JOIN",
    "LATERAL",
    "WITH",
    "THEN",
    "WHEN",
    "ELSE",
    "CASE",
    "RETURNING",
    "SET",
    "DISTINCT",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "MATERIALIZED",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "BETWEEN",
    "LIKE",
    "ILIKE",
    "IS",
    "ROW",
    "ARRAY",
    "CHECK",
    "KEY",
    "UNIQUE",
    "REFERENCES",
    "DEFAULT",
    "CONFLICT",
    "TABLE",
    "INTO",
    "IF",
    "NUMERIC",
    "DECIMAL",
    "VARCHAR",
    "CHAR",
    "CHARACTER",
    "BIT",
    "VARYING",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TIME",
    "INTERVAL",
    "RETURN",
    "FLOAT",
    "COPY",
    "PERFORM",
    "EXECUTE",
    "CAST",
    "COALESCE",
    "NULLIF",
    "GREATEST",
    "LEAST",
    "EXTRACT",
}
_BEFORE_NAME = {
    "INTO",
    "TABLE",
    "AS",
    "UPDATE",
    "RECURSIVE",
    "COPY",
    "FUNCTION",
    "PROCEDURE",
    "INDEX",
    "ON",
    "REFERENCES",
}


def called(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the functions that the tokens call, each once, folded, schema-qualified where written so."""
    names: dict[str, None] = {}
    for index, token in enumerate(tokens):
        if token.text == "(" and index and (name := _callee(tokens, index - 1)):
            names[name] = None
        elif token.keyword in _CLOCK_WORDS:
            names[token.text.lower()] = None
    return tuple(names)


def everywhere(tokens: Sequence[Token]) -> tuple[str, ...]:
    """Return the functions called, those in the body of a DO block and in literal dynamic SQL included."""
    names = dict.fromkeys(called(tokens))
    for inner in bodies(tokens):
        names.update(dict.fromkeys(called(inner)))
    return tuple(names)


def bodies(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of a DO block's text, of dollar quotes in it and of what it hands to EXECUTE."""
    if tokens and tokens[0].keyword == "DO":
        yield from _within([token for token in tokens if token.kind == STRING])


def handed(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the tokens of what the body of a function hands to EXECUTE, and of dollar quotes in it."""
    yield from _within(
        [token for index, token in enumerate(tokens) if token.kind == STRING and _is_code(tokens, index)]
    )


def _within(waiting: list[Token]) -> Iterator[list[Token]]:
    while waiting:
        inner = _inside(waiting.pop(0))
        if inner is None:
            continue
        yield inner
        waiting.extend(token for index, token in enumerate(inner) if token.kind == STRING and _is_code(inner, index))


def bare(name: str) -> str:
    """Return a name without its schema."""
    return name.rpartition(".")[2]


def matching(names: Sequence[str], family: frozenset[str]) -> tuple[str, ...]:
    """Return the names whose last part is in ``family``: a schema in front does not hide a function."""
    return tuple(name for name in names if bare(name) in family)


def with_effects(tokens: Sequence[Token]) -> bool:
    """Tell whether evaluating the tokens would do more than read."""
    return bool(matching(called(tokens), _EFFECTS))


def is_volatile(name: str, known: Mapping[str, str]) -> bool:
    """Tell whether a function is volatile; ``known`` maps names to the catalogue's volatility, which wins."""
    return known.get(name, "v" if bare(name) in VOLATILE else "i") == "v"


def _callee(tokens: Sequence[Token], index: int) -> str | None:
    token = tokens[index]
    if token.kind not in (WORD, QUOTED):
        return None
    parts = [folded(token)]
    while index >= 2 and tokens[index - 1].text == "." and tokens[index - 2].kind in (WORD, QUOTED):
        index -= 2
        parts.insert(0, folded(tokens[index]))
    if len(parts) == 1 and token.keyword in _NOT_CALLED:
        return None
    before = tokens[index - 1] if index else None
    if before and (before.keyword in _BEFORE_NAME or (before.text == "::" and before.kind == OPERATOR)):
        return None
    return ".".join(parts)


def _inside(token: Token) -> list[Token] | None:
    try:
        return significant(content(token))
    except Unterminated:
        return None


def _is_code(tokens: Sequence[Token], index: int) -> bool:
    if tokens[index].text.startswith("$"):
        return True
    before = [token.keyword or token.text for token in tokens[max(0, index - 3) : index]]
    return before[-1:] == ["EXECUTE"] or before[-2:] == ["FORMAT", "("]
