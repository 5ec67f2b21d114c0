"""Runs one case of ``tests/cases/cases.yaml`` through the engine: rehearse, apply, meanwhile, roll back, apply again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from okto_change.database.session import READ_COMMITTED, Session, connect
from okto_change.database.state import ensure_schema
from okto_change.errors import Conflict, DatabaseError, NotReversible, OktoError
from okto_change.execution import images
from okto_change.model import UndoProof
from tests.plugins.attempts import Attempt, guarded

PINNED = (
    "SET search_path = pg_catalog; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; SET extra_float_digits = 1;"
    "SET bytea_output = 'hex'; SET intervalstyle = 'postgres'; SET row_security = off"
)
DOCUMENTS = """
SELECT n.nspname, c.relname, a.attname FROM pg_attribute AS a
  JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r' JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE a.atttypid IN ('xml'::regtype, 'xml[]'::regtype) AND n.nspname NOT IN ('information_schema', 'okto_change') AND c.relpersistence <> 't'
"""
Rows = dict[str, list[str]]


@dataclass
class Told:
    """What happened: ``verdict`` in the words of the cases, ``why`` for people, ``notes`` of the accounting."""

    verdict: str
    why: str = ""
    notes: tuple[str, ...] = ()
    sequences: tuple[dict[str, Any], dict[str, Any]] = field(default_factory=lambda: ({}, {}))


def play(conninfo: str, case: dict[str, Any]) -> Told:
    """Prepare an empty database with the schema of ``case`` and play it; ``silent`` means that rows are wrong unnoticed."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(case["schema"])
    with connect("target", conninfo) as session:
        ensure_schema(session)
        before = rows(conninfo)
        refusal = _rehearse(session, case)
        if rows(conninfo) != before:
            return Told("silent", "the rehearsal left something behind")
        if refusal is not None:
            return Told("refuse", refusal)
        return _for_real(session, conninfo, case, before)


def _rehearse(session: Session, case: dict[str, Any]) -> str | None:
    """Return why the case is refused, None if its undo is proven."""
    try:
        attempt = guarded(session, "rehearsal", "1", case.get("names", ()), lambda: _change(session, case))
        images.sample(session, "rehearsal")
        images.restore(session, "rehearsal", unit="1")
        proof: UndoProof = images.proof(session, attempt.capture)
    except OktoError as error:
        if isinstance(error, DatabaseError) and str(error.sqlstate).startswith("42"):
            raise
        return "; ".join((error.message, *error.faults))
    finally:
        session.rollback()
    return None if proof.proven else str(proof)


def _for_real(session: Session, conninfo: str, case: dict[str, Any], before: Rows) -> Told:
    positions = sequences(conninfo)
    attempt = _apply(session, case, "first")
    after = rows(conninfo)
    if case.get("between"):
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(case["between"])
    meanwhile = rows(conninfo)
    try:
        restored = _roll_back(session, "first")
    except (Conflict, NotReversible) as error:
        same = rows(conninfo) == meanwhile
        return Told("conflict" if same and error.faults else "silent", "; ".join((error.message, *error.faults)))
    notes = restored.notes + attempt.accounting.sequences
    told = Told("reversible", notes=notes, sequences=(positions, sequences(conninfo)))
    if not case.get("between"):
        told.verdict = _compare(before, after, rows(conninfo), restored.rows)
        if told.verdict != "silent" and not case.get("once"):
            told.why = _again(session, conninfo, case, before)
            told.verdict = "silent" if told.why else told.verdict
    else:
        told.why = _differences(rows(conninfo), _expected_with(case, conninfo))
        told.verdict = "silent" if told.why else told.verdict
    if images.leftovers(session):
        told.verdict, told.why = "silent", "capture triggers are left over"
    return told


def _differences(now: Rows, wanted: Rows) -> str:
    names = sorted(name for name in now.keys() | wanted.keys() if now.get(name) != wanted.get(name))
    return "; ".join(f"{name}: {now.get(name)} instead of {wanted.get(name)}" for name in names)[:2000]


def _expected_with(case: dict[str, Any], conninfo: str) -> Rows:
    """Where somebody worked meanwhile: what the schema and their work alone would have given, in a database of its own."""
    name = f"okto_expected_{os.getpid()}"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            other = make_conninfo(conninfo, dbname=name)
            with psycopg.connect(other, autocommit=True) as fresh:
                fresh.execute(case["schema"])
                fresh.execute(case["between"])
            return rows(other)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _compare(before: Rows, after: Rows, now: Rows, count: int) -> str:
    if now != before:
        return "silent"
    return "reversible" if count or after != before else "net_zero"


def _again(session: Session, conninfo: str, case: dict[str, Any], before: Rows) -> str:
    """Apply once more, take it back, redo and undo that; return what is wrong, if anything."""
    _apply(session, case, "second")
    applied = rows(conninfo)
    _roll_back(session, "second", undo_run="undo")
    if rows(conninfo) != before:
        return "the second rollback is wrong"
    _roll_back(session, "undo", undo_run="redo")
    if rows(conninfo) != applied:
        return "undoing the undo is wrong"
    _roll_back(session, "second", undo_run="undo again")
    return "" if rows(conninfo) == before else "undoing what was redone is wrong"


def _apply(session: Session, case: dict[str, Any], run: str) -> Attempt:
    attempt = guarded(session, run, "1", case.get("names", ()), lambda: _change(session, case))
    images.finish(session, attempt.capture)
    session.commit()
    images.clean_up(session)
    return attempt


def _roll_back(session: Session, run: str, *, undo_run: str | None = None, only_clean: bool = False) -> images.Restored:
    session.begin(isolation=READ_COMMITTED)
    try:
        restored = images.restore(session, run, unit="1", undo_run=undo_run, only_clean=only_clean)
        session.commit()
    finally:
        session.rollback()
    images.clean_up(session)
    return restored


def _change(session: Session, case: dict[str, Any]) -> None:
    role = case.get("role")
    if role:
        session.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(role)))
    for statement in case["change"]:
        if isinstance(statement, dict):
            session.copy_in(statement["copy"], statement["data"])
        else:
            session.run(statement)
    if role:
        session.execute("RESET SESSION AUTHORIZATION")


def rows(conninfo: str) -> Rows:
    """Return every row of every table, and every large object, as sorted text under pinned settings."""
    with psycopg.connect(conninfo, autocommit=True, client_encoding="UTF8") as connection:
        connection.execute(PINNED)
        tables = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg_%'"
            " AND n.nspname NOT IN ('information_schema', 'okto_change') ORDER BY 1, 2"
        ).fetchall()
        found: Rows = {}
        for schema, table in tables:
            query = sql.SQL("SELECT (okto_row.*)::text FROM ONLY {} AS okto_row").format(sql.Identifier(schema, table))
            found[f"{schema}.{table}"] = sorted(row[0] for row in connection.execute(query))
        for schema, table, column in connection.execute(
            DOCUMENTS
        ).fetchall():  # the text of a row leaves declarations out
            query = sql.SQL("SELECT {}::text FROM ONLY {}").format(
                sql.Identifier(column), sql.Identifier(schema, table)
            )
            found[f"{schema}.{table}.{column}"] = sorted(str(row[0]) for row in connection.execute(query))
        found["large objects"] = sorted(
            str(row) for row in connection.execute("SELECT loid, pageno, data FROM pg_largeobject").fetchall()
        )
        found["triggers"] = sorted(
            str(row)
            for row in connection.execute(
                "SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgname !~ 'okto_change'"
                " AND tgrelid NOT IN (SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace('okto_change'))"
            ).fetchall()
        )
        found["rules"] = sorted(
            str(row)
            for row in connection.execute("SELECT ev_class::regclass, rulename, ev_enabled FROM pg_rewrite").fetchall()
        )
        return found


def sequences(conninfo: str) -> dict[str, Any]:
    """Return the last value of every sequence by name."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        return dict(
            connection.execute(
                "SELECT schemaname || '.' || sequencename, last_value FROM pg_sequences WHERE schemaname <> 'okto_change'"
            ).fetchall()
        )
