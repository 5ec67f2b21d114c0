"""OC3xx: what no rollback takes back, and what no image can hold.

Effects that outlive a ROLLBACK are refused whatever undo the step has: rehearsing them would be doing them.
"""

from __future__ import annotations

from collections.abc import Iterator

from okto_change.analysis import calls, outside
from okto_change.analysis.rules.base import Predicate, Rule, listed
from okto_change.analysis.subject import Reading, Subject
from okto_change.model import Severity, StatementKind

_CATALOGUES = ("pg_catalog.", "information_schema.", "pg_toast.")
_SERVER_COMMANDS = (("ALTER", "SYSTEM"), ("CHECKPOINT",), ("LOAD",))


def _calls(family: frozenset[str], *, deep: bool = False) -> Predicate:
    """Whether a statement calls one of ``family``; ``deep``: or a function or trigger of the database does that it may run."""

    def predicate(subject: Subject) -> Iterator[str]:
        found = calls.matching(subject.reading.functions, family) if subject.reading else ()
        if found:
            yield f"{listed(found)} is called"
        for function, called in outside.callers(subject.bodies, family) if deep else ():
            yield f"{function}, which this may run, calls {listed(called)}"

    return predicate


def _server(subject: Subject) -> Iterator[str]:
    yield from _calls(calls.SERVER_CONTROL, deep=True)(subject)
    if subject.reading and any(subject.reading.words[: len(command)] == command for command in _SERVER_COMMANDS):
        yield f"{' '.join(subject.reading.words[:2])} acts on the whole server"


def _copy(subject: Subject) -> Iterator[str]:
    ends = {
        "PROGRAM": "COPY runs a program on the server",
        "FILE": "COPY reads or writes a file on the server",
        "STDOUT": "COPY TO STDOUT sends rows to a client that does not take them",
    }
    if subject.reading and subject.reading.copies in ends:
        yield ends[subject.reading.copies or ""]
    for function in outside.copiers(subject.bodies):
        yield f"{function}, which this may run, copies from or to the server's files or programs"


def _catalogue(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    for name in reading.statement.writes if reading and reading.kind.writes_rows else ():
        if name.startswith(_CATALOGUES) or (name.startswith("pg_") and "." not in name):
            yield f"{name} is written directly"


def _own(subject: Subject) -> Iterator[str]:
    reading = subject.reading
    if reading is None:
        return
    names = {name for name in (*reading.statement.writes, *_created(reading)) if name.startswith("okto_change.")}
    if names:
        yield f"{listed(sorted(names))} belongs to this tool"
    elif reading.kind is StatementKind.DDL and "OKTO_CHANGE" in reading.words:
        yield "the schema okto_change belongs to this tool"


def _created(reading: Reading) -> tuple[str, ...]:
    return reading.facts.created if reading.facts else ()


def _notify(subject: Subject) -> Iterator[str]:
    yield from _calls(calls.NOTIFICATIONS)(subject)
    if subject.reading and subject.reading.words[:1] == ("NOTIFY",):
        yield "NOTIFY wakes the listeners of a channel"


RULES = (
    Rule(
        code="OC301",
        title="setval",
        severity=Severity.ERROR,
        predicate=_calls(calls.SETVAL, deep=True),
        scripts=True,
        condition="a sequence is set by setval",
        effect="the sequence moves at once and for good: neither ROLLBACK nor undo puts it back, even in a rehearsal",
        remedy="ALTER SEQUENCE ... RESTART WITH does the same inside the transaction; give the step an undo script",
    ),
    Rule(
        code="OC302",
        title="large objects",
        severity=Severity.ERROR,
        excused=True,
        predicate=_calls(calls.LARGE_OBJECTS),
        condition="large objects are created, written or removed",
        effect="no image of them is kept: not automatically reversible",
        remedy="give the step an undo script or an irreversible line",
    ),
    Rule(
        code="OC303",
        title="another database",
        severity=Severity.ERROR,
        scripts=True,
        predicate=_calls(calls.OTHER_DATABASES, deep=True),
        condition="another database is reached through dblink or its kin",
        effect="what is done there is committed there: neither ROLLBACK nor undo reaches it, not even in a rehearsal",
        remedy="make it a step of its own against that database",
    ),
    Rule(
        code="OC304",
        title="COPY beyond the plan",
        severity=Severity.ERROR,
        predicate=_copy,
        scripts=True,
        condition="COPY reads or writes a file or a program on the server, or writes to the client",
        effect="its rows are not part of what was approved, and what it writes stays after a ROLLBACK",
        remedy="COPY ... FROM STDIN with the data in the SQL file; a `check` to look at rows",
    ),
    Rule(
        code="OC305",
        title="logical message",
        severity=Severity.ERROR,
        predicate=_calls(calls.MESSAGES),
        scripts=True,
        condition="pg_logical_emit_message is called",
        effect="a message that is not transactional is sent at once, even by a rehearsal; nothing takes it back",
        remedy="leave it out, or send it by other means after the change",
    ),
    Rule(
        code="OC306",
        title="session advisory lock",
        severity=Severity.ERROR,
        scripts=True,
        predicate=_calls(calls.SESSION_LOCKS),
        condition="an advisory lock of the session is taken or released",
        effect="the lock outlives the transaction, and behind a pooler its session",
        remedy="pg_advisory_xact_lock ends with the transaction",
    ),
    Rule(
        code="OC307",
        title="server control",
        severity=Severity.ERROR,
        predicate=_server,
        scripts=True,
        condition="a function or command acts on the server itself: backends, configuration, WAL, slots, files",
        effect="it acts at once, even in a rehearsal, and nothing takes it back",
        remedy="do it outside the change, by the server's own runbook",
    ),
    Rule(
        code="OC308",
        title="catalogue write",
        severity=Severity.ERROR,
        predicate=_catalogue,
        excused=True,
        condition="a system catalogue is written directly",
        effect="catalogues cannot be captured, and a mistake can end the database: not automatically reversible",
        remedy="use the DDL command for it; else give the step an undo script or an irreversible line",
    ),
    Rule(
        code="OC309",
        title="our own tables",
        severity=Severity.ERROR,
        predicate=_own,
        scripts=True,
        condition="a table of the schema okto_change is written, or the schema is altered",
        effect="the record of what ran, the images and the audit trail could no longer be trusted",
        remedy="leave them alone; `okto-change rollback` and `okto-change resume` keep them right",
    ),
    Rule(
        code="OC310",
        title="NOTIFY",
        severity=Severity.WARNING,
        predicate=_notify,
        condition="listeners are notified",
        effect="at COMMIT the listeners act; undo does not call them back. A rehearsal sends nothing",
        remedy="make sure that the listeners may act twice, and that undo needs none of them",
    ),
)
