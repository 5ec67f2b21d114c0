"""OC4xx: what takes the transaction or the session out of the runner's hands; OC5xx: what analysis cannot see."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from okto_change.analysis.reading import PARSE_LIMIT
from okto_change.analysis.rules.base import Rule, listed
from okto_change.analysis.subject import Reading, Setting, Subject
from okto_change.analysis.verbs import COMMANDS
from okto_change.model import Severity, StatementKind

_UNDERSTOOD_WORDS = ("LOCK", "CALL", "NOTIFY", "VACUUM", "COPY")
_SESSION_WORDS = ("DISCARD", "LISTEN", "UNLISTEN", "DEALLOCATE")
_GUARDED = {
    "standard_conforming_strings",
    "backslash_quote",
    "lock_timeout",
    "statement_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "transaction_isolation",
    "transaction_read_only",
    "transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "role",
    "session_authorization",
    "client_encoding",
    "row_security",
    "track_counts",
    "?",
}


def _control(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    if reading and reading.kind is StatementKind.TRANSACTION:
        yield f"{' '.join(reading.words[:2])} controls the transaction"
    if reading and reading.control:
        yield f"the block's body says {listed(reading.control)}"


def _within(subject: Subject) -> bool:
    """Savepoints divide a transaction and cannot end it."""
    words = subject.reading.words if subject.reading else ()
    return words[:1] in (("SAVEPOINT",), ("RELEASE",)) or (words[:1] == ("ROLLBACK",) and "TO" in words[1:3])


def _not_transactional(subject: Subject) -> Iterator[str]:
    if subject.reading and (shown := _outside(subject.reading)):
        yield f"{shown} cannot run inside a transaction"


def _outside(reading: Reading) -> str | None:
    match reading.words:
        case ("VACUUM", *_):
            return "VACUUM"
        case ("CREATE" | "DROP" | "ALTER", "DATABASE" | "TABLESPACE" | "SUBSCRIPTION", *_):
            return " ".join(reading.words[:2])
        case ("REINDEX", "DATABASE" | "SYSTEM" | "SCHEMA", *_):
            return " ".join(reading.words[:2])
        case ("CLUSTER",):
            return "CLUSTER of every table"
        case ("REFRESH", *_):
            return None
    if reading.kind is StatementKind.DDL and "CONCURRENTLY" in reading.clauses:
        return f"{reading.words[0]} ... CONCURRENTLY"
    return None


def _session_setting(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    if reading is None:
        return
    for setting in reading.settings:
        if not setting.local:
            yield f"{setting.name} is set for the session"
    if reading.words[:1] and reading.words[0] in _SESSION_WORDS:
        yield f"{reading.words[0]} acts on the session"


def _is_reset(subject: Subject) -> bool:
    """RESET returns to the session's own values, so nothing of it stays behind."""
    return subject.reading is not None and subject.reading.words[:1] == ("RESET",)


def _guarded(subject: Subject) -> Iterator[str]:
    for setting in subject.reading.settings if subject.reading else ():
        if setting.local and _is_guarded(setting):
            known = setting.name != "?"
            yield f"{setting.name} is the runner's" if known else "set_config sets a name made at run time"


def _only_role(subject: Subject) -> bool:
    """Another role for the transaction shows in what was approved, and the rehearsal tries it."""
    local = [s for s in subject.reading.settings if s.local and _is_guarded(s)] if subject.reading else []
    return all(setting.name == "role" for setting in local)


def _is_guarded(setting: Setting) -> bool:
    return setting.name in _GUARDED or setting.name.startswith("okto")


def _replication_role(subject: Subject) -> Iterator[str]:
    for setting in subject.reading.settings if subject.reading else ():
        if setting.local and setting.name == "session_replication_role":
            yield "session_replication_role is set for the transaction"


def _call(subject: Subject) -> Iterator[str]:
    if subject.reading and subject.reading.words[:1] == ("CALL",):
        yield "a procedure is called"


def _not_understood(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    if reading is None or reading.too_large or reading.escaped_names:
        return
    if reading.kind in (StatementKind.TRANSACTION, StatementKind.SET):
        return
    known_by_tokens = reading.words[:1] and reading.words[0] in (*_UNDERSTOOD_WORDS, *_SESSION_WORDS)
    if reading.facts is None and not known_by_tokens and COMMANDS.issuperset(reading.words[:1]):
        yield f"{' '.join(reading.words[:3]) or 'the statement'} ... is not analysed"


def _unknown_command(subject: Subject) -> Iterator[str]:
    word = subject.reading.words[0] if subject.reading and subject.reading.words else None
    if word is not None and word not in COMMANDS:
        like = get_close_matches(word, sorted(COMMANDS), 1)
        yield f"{word} is no command of PostgreSQL" + (f"; did you mean {like[0]}?" if like else "")


def _too_large(subject: Subject) -> Iterator[str]:
    if subject.reading and subject.reading.too_large:
        size = len(subject.reading.statement.text)
        yield f"the statement has {size} characters; above {PARSE_LIMIT} only its outline is read"


def _foreign_letters(subject: Subject) -> Iterator[str]:
    found = subject.reading.foreign_letters if subject.reading else ()
    if found:
        yield f"{listed(found)} stands outside comments, literals and quoted names"


def _escaped(subject: Subject) -> Iterator[str]:
    found = subject.reading.escaped_names if subject.reading else ()
    if found:
        yield f"{listed(found)} hides a name behind escapes"


def _select(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    if reading is None or reading.kind is not StatementKind.SELECT:
        return
    known = subject.context.functions
    found = [name for name in reading.functions if known.get(name) == "v"]
    if found:
        yield f"SELECT calls {listed(found)}, volatile in the catalogue"


RULES = (
    Rule(
        code="OC401",
        title="transaction control",
        severity=Severity.ERROR,
        predicate=_control,
        scripts=True,
        softened=_within,
        condition="a step begins, ends or divides a transaction, in a DO block too; a warning for savepoints",
        effect="what runs before it could be committed without its checks, images and journal entry",
        remedy="leave it out: the runner opens and ends the transaction",
    ),
    Rule(
        code="OC402",
        title="not in a transaction",
        severity=Severity.ERROR,
        predicate=_not_transactional,
        scripts=True,
        condition="a statement cannot run in a transaction, as CREATE INDEX CONCURRENTLY and VACUUM",
        effect="this version runs every statement in a transaction, so the step would fail",
        remedy="use the form without CONCURRENTLY if the locks can be borne; else do it outside for now",
    ),
    Rule(
        code="OC403",
        title="session setting",
        severity=Severity.ERROR,
        predicate=_session_setting,
        scripts=True,
        softened=_is_reset,
        condition="a setting is changed by SET without LOCAL, or the session in another way; a warning for RESET, which drops "
        "the limits too",
        effect="it outlives the transaction: later steps, the undo, and behind a pooler other clients get it too",
        remedy="SET LOCAL, or set_config with true as third argument",
    ),
    Rule(
        code="OC404",
        title="the runner's setting",
        severity=Severity.ERROR,
        predicate=_guarded,
        scripts=True,
        softened=_only_role,
        condition="a step changes who it runs as, its limits, its isolation, how its text is read, or our own settings; a "
        "warning for another role within the transaction",
        effect="the run would no longer be the one that was cleared and captured",
        remedy="leave it out; limits are set by `timeouts:` in the plan",
    ),
    Rule(
        code="OC405",
        title="triggers switched off",
        severity=Severity.WARNING,
        scripts=True,
        predicate=_replication_role,
        condition="session_replication_role is changed for the transaction",
        effect="foreign keys are not checked, cascades and triggers do not run: the data may end up inconsistent",
        remedy="leave it out; if it must be, add checks for what the keys and triggers guarantee",
    ),
    Rule(
        code="OC406",
        title="procedure",
        severity=Severity.WARNING,
        predicate=_call,
        scripts=True,
        condition="a procedure is called",
        effect="what it writes is known only from the rehearsal; one that commits is stopped by the server",
        remedy="read the rehearsal's table of writes; write the statements out where people are to review them",
    ),
    Rule(
        code="OC501",
        title="statement not understood",
        severity=Severity.WARNING,
        predicate=_not_understood,
        condition="a statement is of a kind, or in a form, that is not analysed",
        effect="the tables and rows it touches are not known from its text: the rehearsal is the only evidence",
        remedy="read the rehearsal's table of writes, and declare `touches`",
    ),
    Rule(
        code="OC502",
        title="too large to analyse",
        severity=Severity.WARNING,
        predicate=_too_large,
        condition="a statement is so long that parsing it would take seconds",
        effect="only its kind, target and function calls are known: the rehearsal is the only evidence",
        remedy="COPY ... FROM STDIN with inline data, a join against a table, or several statements",
    ),
    Rule(
        code="OC503",
        title="letters beyond ASCII",
        severity=Severity.ERROR,
        predicate=_foreign_letters,
        scripts=True,
        condition="a letter beyond ASCII stands outside comments, literals and quoted names",
        effect="it may look like another letter or like a space, so people approve something else than what runs",
        remedy="put the name in double quotes, or retype it",
    ),
    Rule(
        code="OC504",
        title="name in escapes",
        severity=Severity.WARNING,
        predicate=_escaped,
        scripts=True,
        condition='a name is written as U&"..."',
        effect="people cannot read what it stands for, and neither do these rules",
        remedy="write the name itself in double quotes",
    ),
    Rule(
        code="OC505",
        title="SELECT that may write",
        severity=Severity.WARNING,
        predicate=_select,
        condition="a SELECT in a step calls a function that the catalogue calls volatile",
        effect="it may write, and the text does not say what: the rehearsal is the only evidence",
        remedy="read the rehearsal's table of writes, and declare `touches`",
    ),
    Rule(
        code="OC506",
        title="no such command",
        severity=Severity.ERROR,
        predicate=_unknown_command,
        scripts=True,
        condition="a statement begins with a word that no command of PostgreSQL begins with",
        effect="the server refuses it as a syntax error",
        remedy="correct the word",
    ),
)
