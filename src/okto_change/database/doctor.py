"""Is this database fit for changes? Every question is asked, whatever the others answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from okto_change.database import catalog, state
from okto_change.database.session import Session
from okto_change.errors import OktoError
from okto_change.model import Diagnosis, Table

CLOCK = 5.0
"""Seconds that the server's clock may differ from ours."""

NEWEST = 18
"""The newest major version that okto-change is tested with."""


def diagnose(session: Session, tables: Iterable[str] = ()) -> tuple[Diagnosis, ...]:
    """Look at server, settings, schema okto_change, leftovers, open transactions and the named tables; only read."""
    found: list[Diagnosis] = []
    for name, look in (
        ("server", _server),
        ("settings", _settings),
        ("schema okto_change", _schema),
        ("images", _privacy),
        ("sensitive columns", _veil),
        ("capture triggers", _leftovers),
        ("open transactions", _open_transactions),
        ("one run at a time", _holder),
    ):
        found += _asked(name, session, look)
    for name, table in catalog.find(session, tables).tables.items():
        found.append(_table(session, name, table))
    return tuple(found)


def _asked(name: str, session: Session, look: Any) -> list[Diagnosis]:
    try:
        return list(look(session))
    except OktoError as error:
        return [Diagnosis(name=name, ok=False, message=error.message, hint=error.hint)]


def _server(session: Session) -> Iterator[Diagnosis]:
    identity = session.identity
    before = datetime.now(UTC)
    version, *_, clock = session.query("doctor_settings")[0]
    after = datetime.now(UTC)
    yield Diagnosis(
        name="server",
        ok=identity.server_version // 10_000 <= NEWEST,
        message=f"PostgreSQL {version}, database {identity.database}, as {identity.user}",
        hint=f"okto-change is tested up to PostgreSQL {NEWEST}; rehearse on a copy first",
    )
    yield Diagnosis(
        name="primary",
        ok=identity.primary,
        message="it is the primary" if identity.primary else "it is a standby",
        hint="changes go to the primary: give the target a service or DSN that leads there",
    )
    system = identity.system_identifier
    yield Diagnosis(
        name="identity",
        ok=bool(system),
        message=f"system identifier {system or 'not readable by this role'}",
        hint=f"GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO {identity.user}",
    )
    apart = max((before - clock).total_seconds(), (clock - after).total_seconds(), 0.0)
    yield Diagnosis(
        name="clock",
        ok=apart <= CLOCK,
        message=f"server and this machine are {apart:.1f} s apart",
        hint="set both by NTP: approvals and the journal carry times of both",
    )


def _settings(session: Session) -> Iterator[Diagnosis]:
    _, read_only, counts, commit, role, path, _ = session.query("doctor_settings")[0]
    for name, value, good, hint in (
        ("default_transaction_read_only", read_only, read_only == "off", "reset it: the journal cannot be written"),
        ("track_counts", counts, counts == "on", "switch it on: without it no row can be accounted for"),
        ("synchronous_commit", commit, commit != "off", "set it for this role: a crash would lose journal entries"),
        ("session_replication_role", role, role == "origin", "reset it: triggers and foreign keys are off"),
    ):
        yield Diagnosis(name=name, ok=good, message=value, hint=hint)
    yield Diagnosis(name="search_path", ok=True, message=path)


def _schema(session: Session) -> Iterator[Diagnosis]:
    may_create, owner, is_owner = session.query("doctor_schema")[0]
    user = session.identity.user
    if owner is None:
        message = "not there yet, made by the first run" if may_create else f"not there, and {user} may not create it"
        hint = f"as superuser: CREATE SCHEMA okto_change AUTHORIZATION {user}"
        yield Diagnosis(name="schema okto_change", ok=bool(may_create), message=message, hint=hint)
    elif not is_owner:
        hint = f"connect as {owner}, or GRANT {owner} TO {user}"
        yield Diagnosis(name="schema okto_change", ok=False, message=f"belongs to {owner}, not to {user}", hint=hint)
    else:
        current = state.is_current(session)
        message = f"version {state.SCHEMA_VERSION}" if current else "not current, brought up to date by the next run"
        yield Diagnosis(name="schema okto_change", ok=True, message=message)


def _privacy(session: Session) -> Iterator[Diagnosis]:
    """Images are copies of rows: whoever may read them may read the tables."""
    found = [f"{role} may {what} {name}" for role, what, name in session.query("doctor_readers")]
    yield Diagnosis(
        name="images",
        ok=not found,
        message="; ".join(found[:5]) or "nobody but their owner may read them",
        hint="the next run takes these rights away; look for the ALTER DEFAULT PRIVILEGES that gave them",
    )


def _veil(session: Session) -> Iterator[Diagnosis]:
    veil = session.veil
    if veil.asked:
        missing = ", ".join(veil.missing)
        yield Diagnosis(
            name="sensitive columns",
            ok=not missing,
            message=f"not there: {missing}; what they should hide may be shown" if missing else "all are there",
            hint="correct `sensitive:` of this target in the policy: were they renamed?",
        )


def _leftovers(session: Session) -> Iterator[Diagnosis]:
    tables = ", ".join(row[0] for row in session.query("doctor_leftovers"))
    yield Diagnosis(
        name="capture triggers",
        ok=not tables,
        message=f"left on {tables}; they do nothing, but cost a little" if tables else "none left behind",
        hint="the next run on this target drops them when the tables are free",
    )


def _open_transactions(session: Session) -> Iterator[Diagnosis]:
    old = [f"process {pid} ({app or user}) for {age} s" for pid, app, user, age in session.query("doctor_idle")]
    count, since = session.query("doctor_prepared")[0]
    if count:
        old.append(f"{count} prepared, since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC")
    yield Diagnosis(
        name="open transactions",
        ok=not old,
        message=f"open for more than a minute: {'; '.join(old)}" if old else "none older than a minute",
        hint="they may hold locks that a change waits for, and keep dead rows alive",
    )


def _holder(session: Session) -> Iterator[Diagnosis]:
    if not session.query("doctor_schema")[0][2]:
        return
    held = state.holder(session) if state.is_installed(session) else None
    message = f"held by {held}" if held else "nobody runs a change here"
    yield Diagnosis(name="one run at a time", ok=held is None, message=message, hint="wait until that run has ended")


def _table(session: Session, name: str, table: Table | None) -> Diagnosis:
    if table is None:
        hint = "check the name, its schema and the search_path above"
        return Diagnosis(name=f"table {name}", ok=False, message="is not there", hint=hint)
    owns, sees_schema, hides_rows, missing = session.query("doctor_table", oid=table.oid)[0]
    user = session.identity.user
    faults = [
        *([] if sees_schema else [f"no USAGE on schema {table.schema}"]),
        *([f"no {', '.join(missing)}"] if missing else []),
        *(
            []
            if owns
            else [
                f"belongs to {table.owner}: only its owner can have rows captured and triggers switched off for an undo"
            ]
        ),
        *(["row security hides rows"] if hides_rows else []),
    ]
    hint = f"as {table.owner}: GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON {table.qualified} TO {user};"
    hint += f" and GRANT {table.owner} TO {user}"
    return Diagnosis(name=f"table {name}", ok=not faults, message="; ".join(faults) or "every privilege", hint=hint)
