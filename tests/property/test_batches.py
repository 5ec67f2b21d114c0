"""Random changes in chunks: what is taken back is as it was, what is put back is as it became, and a run that fails leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from okto_change.database.session import connect
from okto_change.database.state import ensure_schema
from okto_change.errors import OktoError
from okto_change.model import Outcome, Result
from tests.plugins.journey import Journey
from tests.property.engine import Told, difference, dump
from tests.property.schemas import Schema, Table, schemas
from tests.property.scripts import condition, expression
from tests.property.test_undo import EXAMPLES, play

KEYS = {"pk": "id", "always": "id", "by_default": "id", "unique_not_null": "id", "pk_numeric": "n", "pk_text": "b"}
"""kind of key -> the column that a batch goes by"""
TYPES = {"id": "integer", "n": "numeric", "b": "text"}
FEWER = max(EXAMPLES // 4, 8)
"""a whole journey takes longer than its engine alone"""
STEP = """\
  - name: chunked
    target: ledger
    sql: chunked.sql
    rows: {rows}
    batch: {{table: '{table}', key: {key}, type: {type}, size: {size}}}
"""
FORMS = (
    "DELETE FROM {name} WHERE ({condition}) AND {batch}",
    "INSERT INTO log SELECT 'batch', id, a FROM {name} WHERE {batch}",
    "UPDATE {other} AS y SET a = x.a + 1 FROM {name} AS x WHERE x.id = y.id AND {batch_x}",
    "WITH d AS (DELETE FROM {name} WHERE ({condition}) AND {batch} RETURNING id, a) INSERT INTO log SELECT 'gone', id, a FROM d",
    "UPDATE {name} SET id = id + 100 WHERE {batch}",
    "UPDATE {name} SET b = b || 'x', a = {low} WHERE {batch}",
)


def _batched(schema: Schema) -> list[Table]:
    return [table for table in schema.tables if table.key in KEYS]


@st.composite
def statements(draw: DrawFn, schema: Schema, table: Table) -> list[str]:
    """Draw the statements of a batch over a table, most of them held to the chunk's range."""
    return [_statement(draw, schema, table) for _ in range(draw(st.sampled_from((1, 1, 1, 2))))]


def _statement(draw: DrawFn, schema: Schema, table: Table) -> str:
    low = draw(st.integers(0, 9))
    if draw(st.booleans()):
        columns = draw(st.lists(st.sampled_from(("p", "a", "b", "n")), min_size=1, max_size=2, unique=True))
        sets = ", ".join(f"{column} = {expression(draw, table, column)}" for column in columns)
        return f"UPDATE {table.name} SET {sets} WHERE ({condition(draw, volatile=False)}) AND {{{{ batch }}}}"
    return draw(st.sampled_from(FORMS)).format(
        name=table.name,
        other=draw(st.sampled_from(schema.tables)).name,
        condition=condition(draw, volatile=False),
        low=low,
        batch="{{ batch }}",
        batch_x="{{ batch.x }}",
    )


@contextmanager
def told(wanted: object) -> Iterator[None]:
    """Say what was tried where an example ends with anything but an answer."""
    try:
        yield
    except Exception as error:
        error.add_note(str(wanted))
        raise


def _make(plain: psycopg.Connection, schema: Schema) -> bool:
    plain.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    try:
        for text in schema.ddl:
            plain.execute(text.encode())
    except psycopg.Error:
        return False
    for text in (*schema.seeds, *schema.later):
        try:
            plain.execute(text.encode())
        except psycopg.Error:
            continue
    return True


def _journey(plain: psycopg.Connection, journey: Journey) -> Told:
    """Apply, take back, put back, take back again."""
    before = dump(plain)
    try:
        outcome = journey.apply()
    except OktoError as error:
        left = difference(dump(plain), before)
        return Told("silent", f"refused, but left: {left}") if left else Told("refused", error.message)
    if outcome.result in {Result.REFUSED, Result.ROLLED_BACK, Result.UNDONE}:
        left = difference(dump(plain), before)
        return Told("silent", f"{outcome} left: {left}") if left else Told("failed", outcome.summary)
    if outcome.result is Result.PAUSED:
        return _back(plain, journey.rollback(), before, "paused")
    if outcome.result is not Result.DONE:
        return Told("broken promise", str(outcome))
    after = dump(plain)
    steps = ((journey.rollback, before), (journey.redo, after), (journey.rollback, before))
    for step, wanted in steps:
        end = _back(plain, step(), wanted, "reversible")
        if end.verdict != "reversible":
            return end
    return end


def _back(plain: psycopg.Connection, outcome: Outcome, wanted: dict[str, list[str]], verdict: str) -> Told:
    if outcome.result is not Result.DONE:
        return Told("late redo", str(outcome))
    left = difference(dump(plain), wanted)
    return Told("silent", f"{outcome}: {left}") if left else Told(verdict)


@pytest.mark.timeout(0)
def test_what_was_done_in_chunks_is_taken_back_in_chunks(journey: Journey, database: str) -> None:
    """Apply, roll back, redo, roll back again in chunks of one to five rows: a full dump is equal each time."""
    with connect("ledger", database) as session:
        ensure_schema(session)
    with psycopg.connect(database, autocommit=True) as plain:
        major = plain.info.server_version // 10_000

        def run(data: st.DataObject) -> Told | None:
            schema = data.draw(schemas(major).filter(_batched))
            table = data.draw(st.sampled_from(_batched(schema)))
            texts, size = data.draw(statements(schema, table)), data.draw(st.integers(1, 5))
            if not _make(plain, schema):
                return None
            key = KEYS[table.key]
            rows = ", ".join(["{min: 0, max: 100000}"] * len(texts))
            step = STEP.format(table=table.name, key=key, type=TYPES[key], size=size, rows=f"[{rows}]")
            example = ";\n".join([*schema.ddl, *schema.seeds, *schema.later, step, *texts])
            with told(example):
                try:
                    journey.write(step, {"chunked.sql": ";\n".join(texts) + ";\n"})
                except OktoError as error:
                    return Told("not locked", error.message)
                found = _journey(plain, journey)
            assert found.verdict in {"refused", "failed", "paused", "reversible"}, f"{found}\n{example}"
            return found

        ends = play(run, FEWER)
    print(f"PostgreSQL {major}: {dict(ends)}")
    assert ends["reversible"] >= FEWER // 4, ends
