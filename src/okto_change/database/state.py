"""What okto-change keeps in a target: the installed schema, what is applied; and who holds the target."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Literal

from psycopg import sql

from okto_change.database import queries
from okto_change.database.session import READ_COMMITTED, Session, compose
from okto_change.digest import sha256
from okto_change.errors import DatabaseError, Refused, Stuck, TargetHeld
from okto_change.model import Timeouts
from okto_change.model.base import type_

SCHEMA_VERSION = 1
INSTALL = Timeouts(lock=10_000, statement=60_000)

Fate = Literal["committed", "aborted", "in progress"]


@type_
class Applied:
    """A unit that was committed by transaction ``xid`` (64 bits); ``undone_by`` is None while it stands."""

    run: str
    unit: str
    change: str
    environment: str
    digest: str
    xid: int
    at: datetime
    undone_by: str | None

    @property
    def stands(self) -> bool:
        """Whether no run has taken it back."""
        return self.undone_by is None


@type_
class Backend:
    """One transaction of one server process: 64-bit id, process id, start of the process (ISO, UTC, microseconds).

    Written to the journal before anything happens, so that ``settle`` can find out later what became of it.
    """

    xid: int
    pid: int
    started: str


# ---------------------------------------------------------------------- the schema


def ensure_schema(session: Session) -> None:
    """Install schema ``okto_change``, or do nothing when this version is there; safe when several do it at once.

    Rights on it that others have, by default privileges or by mistake, are taken away.

    Outside a transaction only. Raises Refused when a newer okto-change was here, DatabaseError when the role may not
    create the schema or it belongs to somebody else.
    """
    if session.in_transaction:
        raise ValueError("ensure_schema needs a transaction of its own")
    if is_current(session) and not session.query("doctor_readers"):
        return
    session.begin(INSTALL, isolation=READ_COMMITTED)
    try:
        session.query("schema_lock")
        if not is_current(session) or session.query("doctor_readers"):
            for text in queries.schemas():
                session.execute(text)
            session.query("schema_record", version=SCHEMA_VERSION, digest=_schema_digest())
        session.commit()
    finally:
        session.rollback()


def is_installed(session: Session) -> bool:
    """Whether any version of schema ``okto_change`` is there."""
    return bool(session.query("schema_installed")[0][0])


def is_current(session: Session) -> bool:
    """Whether exactly this version of the schema is there; raises Refused when it is a newer one."""
    rows = session.query("schema_version") if is_installed(session) else []
    if not rows:
        return False
    version, digest = rows[0]
    if version > SCHEMA_VERSION:
        raise Refused(
            f"schema okto_change has version {version}, this okto-change knows version {SCHEMA_VERSION}",
            where=session.target,
            hint="use the newer okto-change that installed it",
        )
    return bool(version == SCHEMA_VERSION and digest == _schema_digest())


def first_environment(session: Session) -> str | None:
    """Return the environment whose changes were the first to be applied in this database; None before any."""
    rows = session.query("first_environment")
    return rows[0][0] if rows else None


def _schema_digest() -> str:
    return sha256("\n".join(queries.schemas()).encode())


# ---------------------------------------------------------------------- what is applied


def record_applied(
    session: Session, *, run: str, unit: str, change: str, environment: str, digest: str, executor: str
) -> None:
    """Write, in the transaction of the effect itself, that ``unit`` is applied.

    Raises Refused when it stands already: the unique index decides, whatever was seen before.
    """
    try:
        session.query(
            "record_applied",
            run=run,
            unit=unit,
            change=change,
            environment=environment,
            digest=digest,
            executor=executor,
        )
    except DatabaseError as error:
        if error.sqlstate != "23505":
            raise
        raise Refused(
            f"{change} ({unit}) is applied already in {environment}",
            where=session.target,
            hint=f"`okto-change show {change}` tells by which run",
        ) from error


def record_undone(session: Session, *, run: str, unit: str, undone_by: str, left: int = 0) -> None:
    """Write, in the transaction of the undo itself, that run ``undone_by`` took ``unit`` of ``run`` back.

    ``left`` rows were left alone; as long as there are any, it may be taken back again. Raises Refused when it does not
    stand (any more).
    """
    if not session.query("record_undone", run=run, unit=unit, undone_by=undone_by, left=left):
        raise Refused(
            f"{unit} of run {run} is not applied, or undone already",
            where=session.target,
            hint="`okto-change status` tells what is applied",
        )


def record_redone(session: Session, *, run: str, unit: str, redone_by: str) -> None:
    """Write, in the transaction of the redo itself, that ``unit`` of ``run`` stands again.

    Raises Refused when it stands already, or another run has applied it since.
    """
    try:
        found = session.query("record_redone", run=run, unit=unit, redone_by=redone_by)
    except DatabaseError as error:
        if error.sqlstate != "23505":
            raise
        found = []
    if not found:
        raise Refused(
            f"{unit} of run {run} is not undone, or another run applied it since",
            where=session.target,
            hint="`okto-change status` tells what is applied",
        )


def keep_altered(session: Session, *, run: str, unit: str, objects: Mapping[str, str | None]) -> None:
    """Keep what a unit did to definitions: object -> sha256 of what defined it before, None where it was not there."""
    session.query("keep_altered", run=run, unit=unit, objects=json.dumps(dict(objects)))


def altered(session: Session, *, run: str, unit: str) -> Mapping[str, str | None] | None:
    """Return what ``keep_altered`` kept, None if it kept nothing."""
    rows = session.query("altered", run=run, unit=unit)
    return dict(rows[0][0]) if rows else None


def applied(session: Session, change: str, environment: str) -> tuple[Applied, ...]:
    """Return every unit of ``change`` ever committed here, oldest first, undone ones too; () if none."""
    if not is_installed(session):
        return ()
    names = [field.name for field in fields(Applied)]
    rows = session.query("applied", change=change, environment=environment)
    return tuple(Applied(**dict(zip(names, row, strict=True))) for row in rows)


def recorded_runs(session: Session, environment: str) -> frozenset[str]:
    """Return the runs of ``environment`` that committed or took back something in this database."""
    if not is_installed(session):
        return frozenset()
    return frozenset(row[0] for row in session.query("recorded_runs", environment=environment))


# ---------------------------------------------------------------------- one run at a time


def target_lock(session: Session, run: str, *, wait: float = 0.0) -> None:
    """Hold the target for ``run`` until this transaction ends; wait at most ``wait`` seconds. Needs ``ensure_schema``.

    To be the first thing in a transaction: LOCK TABLE takes no snapshot, so that REPEATABLE READ sees what the run
    before committed, which an advisory lock (a SELECT) would miss. Raises Refused naming the run that holds the target;
    the transaction is then only good for ROLLBACK.
    """
    if not session.in_transaction:
        raise ValueError("target_lock needs an open transaction")
    limits = session.limits
    try:
        session.execute(_taking(run, wait, limits))
    except DatabaseError as error:
        if error.sqlstate != "55P03":
            raise
        session.run("ROLLBACK TO SAVEPOINT okto_change")
        raise _held(session) from error


def _taking(run: str, wait: float, limits: Timeouts) -> sql.Composed:
    """Several statements in one message: whoever waits for an answer to each holds the target that much longer."""
    return compose(
        "SET LOCAL application_name = {name}; SAVEPOINT okto_change; SET LOCAL statement_timeout = 0;"
        " SET LOCAL lock_timeout = {wait}; LOCK TABLE okto_change.target IN EXCLUSIVE MODE {nowait};"
        " RELEASE SAVEPOINT okto_change; SET LOCAL statement_timeout = {statement}; SET LOCAL lock_timeout = {lock}",
        name=sql.Literal(f"okto-change {run}"[:63]),
        wait=sql.Literal(int(wait * 1000)),
        nowait=sql.SQL("" if wait >= 0.001 else "NOWAIT"),
        statement=sql.Literal(int(limits.statement)),
        lock=sql.Literal(int(limits.lock)),
    )


def holder(session: Session) -> str | None:
    """Say who holds the target, e.g. ``run r-7 (process 4711, user okto, since 02:13:07 UTC)``; None if nobody does."""
    rows = session.query("target_holder")
    if not rows:
        return None
    pid, application, user, address, since = rows[0]
    who = (application or "").replace("okto-change", "run").strip() or "another session"
    facts = [f"process {pid}", f"user {user}" if user else "", f"from {address}" if address else ""]
    facts.append(f"since {since.astimezone(UTC):%H:%M:%S} UTC" if since else "")
    return f"{who} ({', '.join(filter(None, facts))})"


def _held(session: Session) -> TargetHeld:
    return TargetHeld(
        f"{session.target} is held by {holder(session) or 'a run that has just ended'}: one run per target",
        where=session.target,
        hint="run the command again when it has ended; `okto-change status` tells what it does",
    )


# ---------------------------------------------------------------------- what became of a COMMIT


def backend(session: Session, xid: int | None = None) -> Backend:
    """Return the identity of the open transaction, assigning its id, to be journalled before any effect.

    With its ``xid`` known, the server is asked only once who it is: a connection has one process.
    """
    if xid is not None and session.started is not None:
        return Backend(xid=xid, pid=session.backend_pid, started=session.started)
    xid, pid, session.started = session.query("backend")[0]
    return Backend(xid=xid, pid=pid, started=session.started)


def settle(session: Session, lost: Backend, run: str, *, wait: float = 30.0) -> Fate:
    """Find out on a fresh session what became of the transaction ``lost`` of ``run``; wait so many seconds for its end.

    A COMMIT may still be on its way: as long as the server calls the transaction in progress, the missing state row
    proves nothing. Then the row decides, as it travels with its effect to replicas and backups. Raises Stuck when the
    server says committed but the row is not there.
    """
    if session.in_transaction:
        raise ValueError("settle needs to look again and again, so no transaction")
    deadline = time.monotonic() + wait
    while (status := _status(session, lost)) == "in progress":
        if time.monotonic() >= deadline:
            return "in progress"
        time.sleep(0.1)
    if is_installed(session) and session.query("xid_recorded", xid=lost.xid, run=run)[0][0]:
        return "committed"
    if status != "committed":
        return "aborted"
    raise Stuck(
        f"transaction {lost.xid} of run {run} is committed, but its row in okto_change.applied is missing",
        where=session.target,
        state="unknown: the row was deleted by hand, or this is another server than the run had",
        hint="compare the system identifier in the journal with this server, then look at the rows of the plan",
    )


def _status(session: Session, lost: Backend) -> str | None:
    try:
        status: str | None = session.query("xact_status", xid=lost.xid)[0][0]
        return status
    except DatabaseError as error:
        if error.sqlstate != "22023":
            raise
        return None  # an id from the future: another server, or one restored to an earlier time
