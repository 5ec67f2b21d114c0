"""A preview is cut from the author's bytes, reads what the statement would change, and does nothing else."""

from __future__ import annotations

import pytest

from okto_change.analysis.anatomy import dissect
from okto_change.analysis.lexer import significant
from okto_change.analysis.preview import preview
from okto_change.model import Preview
from tests.unit.analysis.making import table


def of(sql: str) -> Preview | None:
    """Return the preview of one statement."""
    return preview(sql, dissect(significant(sql)))


@pytest.mark.parametrize(
    ("sql", "columns", "select", "count"),
    [
        (
            "UPDATE t SET a = a + 1, b = 'x' WHERE id = 3 RETURNING *",
            ("a", "b"),
            "SELECT (t.*)::text AS okto_row, (a + 1)::text, ('x')::text FROM t WHERE id = 3",
            "SELECT count(*) FROM t WHERE id = 3",
        ),
        ("DELETE FROM t", (), "SELECT (t.*)::text AS okto_row FROM t", "SELECT count(*) FROM t"),
        (
            'delete from only s."T x" as "e" where a=-1 /* ; */ returning "e".a',
            (),
            'SELECT ("e".*)::text AS okto_row FROM only s."T x" as "e" WHERE a=-1',
            'SELECT count(*) FROM only s."T x" as "e" WHERE a=-1',
        ),
        (
            "UPDATE t * e SET a = u.b FROM u WHERE u.id = e.id",
            ("a",),
            "SELECT (e.*)::text AS okto_row, (u.b)::text FROM t * e, u WHERE u.id = e.id",
            "SELECT count(*) FROM (SELECT DISTINCT e.tableoid, e.ctid FROM t * e, u WHERE u.id = e.id) AS okto_rows",
        ),
        (
            "WITH x AS (SELECT 1 AS n) DELETE FROM t USING x WHERE t.id = x.n",
            (),
            "WITH x AS (SELECT 1 AS n) SELECT (t.*)::text AS okto_row FROM t, x WHERE t.id = x.n",
            "WITH x AS (SELECT 1 AS n) SELECT count(*) FROM "
            "(SELECT DISTINCT t.tableoid, t.ctid FROM t, x WHERE t.id = x.n) AS okto_rows",
        ),
        (
            "UPDATE t SET (a, b) = (1, 2), (c) = ROW(3), d = a IS DISTINCT FROM b -- why\nWHERE t.where = 1",
            ("a", "b", "c", "d"),
            "SELECT (t.*)::text AS okto_row, (1)::text, (2)::text, (3)::text, (a IS DISTINCT FROM b)::text "
            "FROM t WHERE t.where = 1",
            "SELECT count(*) FROM t WHERE t.where = 1",
        ),
        (
            "UPDATE t SET a = DEFAULT, b[1] = 2, c.f = 3, j['k'] = '1', (d, e) = (SELECT 1, 2), "
            "g = nextval('s'), h = 4",
            ("h",),
            "SELECT (t.*)::text AS okto_row, (4)::text FROM t",
            "SELECT count(*) FROM t",
        ),
        (
            "UPDATE t SET a = extract(year FROM ts), b = (SELECT max(x) FROM u WHERE u.id = t.id) WHERE j ? 'from'",
            ("a", "b"),
            "SELECT (t.*)::text AS okto_row, (extract(year FROM ts))::text, "
            "((SELECT max(x) FROM u WHERE u.id = t.id))::text FROM t WHERE j ? 'from'",
            "SELECT count(*) FROM t WHERE j ? 'from'",
        ),
    ],
)
def test_preview_is_sliced_from_the_statement(sql: str, columns: tuple[str, ...], select: str, count: str) -> None:
    """Alias, ONLY, FROM, USING, WITH and brackets come along as written; RETURNING stays behind."""
    found = of(sql)
    assert found is not None
    assert (found.columns, found.select, found.count) == (columns, select, count)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = 1 WHERE CURRENT OF c",
        "DELETE FROM t WHERE current of c RETURNING *",
        "WITH x AS (DELETE FROM u RETURNING id) UPDATE t SET a = 1 FROM x WHERE t.id = x.id",
        "DELETE FROM t WHERE id IN (SELECT id FROM t LIMIT 1 FOR UPDATE SKIP LOCKED)",
        "UPDATE t SET a = (SELECT b FROM u FOR NO KEY UPDATE)",
        "DELETE FROM t WHERE id = nextval('s')",
        "DELETE FROM t WHERE dblink_exec('x', 'y') = 'z'",
        "UPDATE t SET WHERE id = 1",
        "UPDATE t SET a WHERE id = 1",
        "UPDATE t WHERE id = 1",
        "DELETE FROM ONLY (t)",
        "INSERT INTO t (a) VALUES (1)",
        "SELECT 1",
    ],
)
def test_no_preview_where_reading_would_be_guessing_or_writing(sql: str) -> None:
    """Cursors, data-modifying WITH, row locks, effects, and what is no grammatical UPDATE or DELETE."""
    assert of(sql) is None


def test_new_values_are_shown_as_the_column_would_hold_them() -> None:
    """With the catalogue at hand a new value is cast to its column's type before it becomes text."""
    sql = "UPDATE t SET a = 1.005 WHERE id = 1"
    found = preview(sql, dissect(significant(sql)), table("t", ["id", "a"], ["id"]))
    assert found is not None
    assert found.select == "SELECT (t.*)::text AS okto_row, ((1.005)::text)::text FROM t WHERE id = 1"


def test_a_preview_has_its_parts_to_read_other_columns_of_the_same_rows() -> None:
    """WITH, alias, FROM and WHERE as written; what is assigned and called; whether a row can come twice."""
    sql = (
        "WITH x AS (SELECT least_id() AS n) UPDATE ONLY t AS u SET (a, b[1]) = (SELECT 1, 2), c = f(1)"
        " FROM x WHERE s.fits(u.id) AND x.n = 1 RETURNING *"
    )
    found = of(sql)
    assert found is not None
    assert found.prefix == "WITH x AS (SELECT least_id() AS n) "
    assert found.alias == "u"
    assert found.rows == "FROM ONLY t AS u, x WHERE s.fits(u.id) AND x.n = 1"
    assert found.one == f"{found.prefix}SELECT 1 {found.rows}"
    assert found.joined
    assert found.sets == ("a", "b", "c")
    assert found.calls == ("least_id", "s.fits")


@pytest.mark.parametrize(
    ("items", "values"),
    [
        ("a = 1, (b, c) = ('x', upper(c))", ("(1)", "('x')", "(upper(c))")),
        ("a = DEFAULT", ()),
        ("a = 1, b[1] = 2", ()),
        ("(a, b) = (SELECT 1, 2)", ()),
        ("a = (SELECT max(a) FROM t)", ()),
        ("a = 1, b = nextval('s')", ()),
    ],
)
def test_values_are_told_only_where_all_can_be_asked_for_cheaply(items: str, values: tuple[str, ...]) -> None:
    """An expression for each column assigned, without effects and without a look at other rows; else none at all."""
    found = of(f"UPDATE t SET {items} WHERE id = 1")
    assert found is not None
    assert found.values == values


@pytest.mark.parametrize(
    ("items", "uniform"),
    [
        ("a = 1", True),
        ("a = 'x', b = NULL, c = true, d = -1.5, e = $$x$$", True),
        ("a = '2026-01-01'::date, b = now(), c = CURRENT_TIMESTAMP", True),
        ("a = 'x'::varchar(3)", False),
        ("a = b", False),
        ("a = 'x' || b", False),
        ("a = -b", False),
        ("a = upper('x')", False),
        ("a = '1'::int + b", False),
        ("a = DEFAULT", False),
        ("a = (SELECT 1)", False),
        ("a = 1, b = b + 1", False),
    ],
)
def test_values_that_every_row_gets_are_told(items: str, uniform: bool) -> None:
    """Literals and the time. What is taken for one and is none costs time, and nothing else: the proof looks at every row."""
    found = of(f"UPDATE t SET {items} WHERE id = 1")
    assert found is not None
    assert found.uniform is uniform
