"""Random statements of a change, and random work of others that says exactly what it writes."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.property import values
from tests.property.schemas import Schema, Table, row

Item = tuple[str, ...]
"""statements that belong together, such as a savepoint and what follows it; COPY carries its data after a NUL"""

INTS = ("{c} + 1", "-{c}", "{c} * 10", "{c} % 3", "9 - {c}", "NULL", "0", "1", "2", "3", "7", "id", "a", "{c}")
TEXTS = ("b || '!'", "upper(b)", "NULL", "'x'", "'y'", "''", "b", "md5(b)")
NUMBERS = ("n * 1.0", "n + 1", "1", "1.00", "n", "-n", "'NaN'")


def expression(draw: DrawFn, table: Table, column: str) -> str:
    """Draw what to set a column to."""
    kind = table.columns[column]
    if column in {"id", "p", "a"}:
        return draw(st.sampled_from(INTS)).format(c=column)
    if column == "b":
        return draw(st.sampled_from(TEXTS))
    return draw(st.sampled_from(NUMBERS)) if column == "n" else draw(values.value(kind))


def condition(draw: DrawFn, *, volatile: bool) -> str:
    """Draw a condition on ``id`` and ``a``."""
    forms = [
        "id = {k}",
        "id = {k}",
        "id > {k}",
        "id <= {k}",
        "a = {k}",
        "id IN ({k}, {l})",
        "id % 2 = 0",
        "true",
        "a IS NULL OR id < {k}",
    ]
    forms += ["random() < 0.5"] if volatile else []
    return draw(st.sampled_from(forms)).format(k=draw(values.SMALL), l=draw(values.SMALL))


def where(draw: DrawFn, *, volatile: bool = True) -> str:
    """Draw a WHERE clause or none."""
    return "" if draw(st.integers(0, 5)) == 0 else f" WHERE {condition(draw, volatile=volatile)}"


def place(draw: DrawFn, table: Table) -> str:
    """Draw a name that reaches rows of the table: itself, ONLY itself, a partition, a child, a view."""
    names = [table.name, table.name, f"ONLY {table.name}", *table.leaves, *table.views]
    return draw(st.sampled_from(names))


def update(draw: DrawFn, table: Table) -> str:
    """Draw an UPDATE."""
    name = place(draw, table)
    usable = [column for column in table.free if not (column.startswith("c") and name in table.views)]
    columns = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=3, unique=True))
    sets = ", ".join(f"{column} = {expression(draw, table, column)}" for column in columns)
    return f"UPDATE {name} SET {sets}{where(draw)}"


def delete(draw: DrawFn, table: Table) -> str:
    """Draw a DELETE."""
    return f"DELETE FROM {place(draw, table)}{where(draw)}"


def insert(draw: DrawFn, table: Table) -> str:
    """Draw an INSERT, perhaps with ON CONFLICT."""
    found = row(draw, table)
    head = f"INSERT INTO {table.name} ({', '.join(found)}) OVERRIDING SYSTEM VALUE"
    tuples = ", ".join(f"({', '.join(row(draw, table).values())})" for _ in range(draw(st.integers(1, 2))))
    tail = draw(
        st.sampled_from(
            (
                "",
                "",
                " ON CONFLICT DO NOTHING",
                " ON CONFLICT (id) DO UPDATE SET a = 5, b = 'up'",
                " ON CONFLICT (id) DO UPDATE SET id = excluded.id + 20",
                " RETURNING *",
            )
        )
    )
    return f"{head} VALUES {tuples}{tail}"


def special(draw: DrawFn, table: Table, schema: Schema) -> str:
    """Draw a statement that is not one of the plain three."""
    name, other = table.name, draw(st.sampled_from(schema.tables)).name
    k, low = draw(values.SMALL), draw(values.SMALL)
    views = [view for one in schema.tables for view in one.views] or [name]
    view = draw(st.sampled_from(views))
    forms = (
        f"UPDATE {name} SET id = id + 100",
        f"UPDATE {name} SET id = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE id END",
        f"UPDATE {name} AS x SET a = y.a, b = y.b FROM {name} AS y WHERE y.id = x.id + 1",
        f"UPDATE {name} SET b = 'same' WHERE ctid = (SELECT min(ctid) FROM ONLY {name})",
        f"INSERT INTO {name} (id, p, a, b, n) OVERRIDING SYSTEM VALUE SELECT id + 50, p, a, b, n + 100 FROM {name}",
        f"INSERT INTO {name} (id, p, a, b, n) OVERRIDING SYSTEM VALUE SELECT id, p, a, b, n FROM {name} ON CONFLICT DO NOTHING",
        f"INSERT INTO {name} DEFAULT VALUES",
        f"TRUNCATE {name}",
        f"TRUNCATE {name} CASCADE",
        f"TRUNCATE ONLY {name} RESTART IDENTITY CASCADE",
        f"TRUNCATE {name}, log",
        f"WITH d AS (DELETE FROM {name} WHERE id > {k} RETURNING id, a) INSERT INTO log SELECT 'cte', id, a FROM d",
        f"WITH d AS (DELETE FROM {name} WHERE id = {k}), e AS (UPDATE {other} SET a = 4 WHERE id <> {low}) SELECT 1",
        f"MERGE INTO {name} AS x USING {other} AS y ON x.id = y.id WHEN MATCHED AND y.a > {k} THEN DELETE"
        f" WHEN MATCHED THEN UPDATE SET a = y.a + 1 WHEN NOT MATCHED THEN DO NOTHING",
        f"MERGE INTO {name} AS x USING (VALUES (1), (30)) AS y (id) ON x.id = y.id WHEN MATCHED THEN UPDATE SET b = 'm'"
        f" WHEN NOT MATCHED THEN INSERT (id, a) OVERRIDING SYSTEM VALUE VALUES (y.id, {k})",
        f"DO $do$DECLARE r record; BEGIN FOR r IN SELECT id FROM {name} LOOP BEGIN UPDATE {name} SET a = a + 1, p = r.id WHERE id = r.id;"
        f" IF r.id % 2 = {k % 2} THEN RAISE 'no'; END IF; EXCEPTION WHEN OTHERS THEN UPDATE {other} SET b = 'e' WHERE id = r.id; END;"
        " END LOOP; END$do$",
        f"DO $do$BEGIN FOR k IN 1..3 LOOP UPDATE {name} SET a = a + k; UPDATE {name} SET a = a - k; END LOOP; END$do$",
        f"DO $do$BEGIN DELETE FROM {name}; RAISE 'no'; EXCEPTION WHEN OTHERS THEN INSERT INTO log VALUES ('do', {k}, 0); END$do$",
        f"DO $do$BEGIN TRUNCATE {name}; RAISE 'no'; EXCEPTION WHEN OTHERS THEN NULL; END$do$",
        f"DO $do$BEGIN EXECUTE 'UPDATE {name} SET n = n + 1 WHERE id < {k}'; END$do$",
        f"DO $do$BEGIN ALTER TABLE {name} DISABLE TRIGGER USER; UPDATE {name} SET a = 6; ALTER TABLE {name} ENABLE TRIGGER USER; END$do$",
        f"SELECT id FROM {name} FOR UPDATE",
        f"LOCK TABLE {name}",
        f"CREATE TEMP TABLE IF NOT EXISTS kept ON COMMIT DROP AS SELECT id, a FROM {name}",
        f"COPY {name} (id, a, b) FROM STDIN\0{k + 20}\t1\tcopied\n{k + 40}\t\\N\t\\N\n",
        f"DELETE FROM {name} USING {other} WHERE {name}.id = {other}.p",
        f"UPDATE {name} SET a = (SELECT count(*) FROM {other})",
        f"UPDATE {name} SET (a, b) = (SELECT max(a), 'agg' FROM {other}) WHERE id > {k}",
        f"UPDATE {name} AS x SET n = y.n, p = y.id FROM {other} AS y WHERE y.a = x.a AND y.id < {k}",
        f"INSERT INTO {view} (id, p, a, b, n) OVERRIDING SYSTEM VALUE VALUES ({k + 30}, {low}, {k}, 'view', {k})",
        f"UPDATE {view} SET a = a + {low}, b = b || 'v' WHERE id <> {k}",
        f"DELETE FROM {view} WHERE a < {k}",
        f"INSERT INTO {name} AS x (id, p, a, b, n) OVERRIDING SYSTEM VALUE SELECT id, p, a + {low}, 'c', n FROM {other}"
        f" ON CONFLICT (id) DO UPDATE SET a = excluded.a, b = x.b || excluded.b WHERE x.a < {k}",
        f"WITH i AS (INSERT INTO {name} (id, p, a, b, n) OVERRIDING SYSTEM VALUE VALUES ({k}, 1, {low}, 'w', {k}) ON CONFLICT DO NOTHING"
        f" RETURNING id, a) UPDATE {other} SET b = 'i' WHERE id IN (SELECT i.id FROM i)",
        f"WITH u AS (UPDATE {name} SET a = a * 2 WHERE id >= {k} RETURNING id, a), d AS (DELETE FROM {other} WHERE id = {low})"
        f" INSERT INTO log SELECT 'u', id, a FROM u",
        f"WITH RECURSIVE r (id) AS (SELECT {low} UNION SELECT x.p FROM {name} AS x JOIN r ON x.id = r.id)"
        f" UPDATE {name} SET b = 'r' WHERE id IN (SELECT id FROM r)",
        f"MERGE INTO {name} AS x USING (SELECT id + 1 AS id, a FROM {other}) AS y ON x.id = y.id WHEN MATCHED AND x.a > {k} THEN DO NOTHING"
        f" WHEN MATCHED AND x.id = {low} THEN DELETE WHEN MATCHED THEN UPDATE SET a = y.a, p = y.id"
        f" WHEN NOT MATCHED THEN INSERT (id, p, a, b, n) OVERRIDING SYSTEM VALUE VALUES (y.id + 60, 1, y.a, 'mm', y.id + 60)",
        f"MERGE INTO {name} AS x USING {other} AS y ON x.id = y.id WHEN MATCHED THEN UPDATE SET b = 'both'"
        f" WHEN NOT MATCHED BY SOURCE AND x.id > {k} THEN DELETE WHEN NOT MATCHED BY SOURCE THEN UPDATE SET a = {low}",
        f"MERGE INTO {view} AS x USING (VALUES ({k})) AS y (id) ON x.id = y.id WHEN MATCHED THEN UPDATE SET b = 'mv'"
        f" WHEN NOT MATCHED THEN INSERT (id, a) OVERRIDING SYSTEM VALUE VALUES (y.id, {low})",
        f"DO $do$DECLARE c CURSOR FOR SELECT id FROM {name} WHERE a >= {low} FOR UPDATE; BEGIN FOR r IN c LOOP IF r.id = {k} THEN"
        f" DELETE FROM {name} WHERE CURRENT OF c; ELSE UPDATE {name} SET a = a + 1 WHERE CURRENT OF c; END IF; END LOOP; END$do$",
        f"CREATE TEMP TABLE fix{k} ON COMMIT DROP AS SELECT id, a FROM {other} WHERE id > {low};"
        f" UPDATE {name} AS x SET a = f.a + 1 FROM fix{k} AS f WHERE f.id = x.id; DELETE FROM {other} WHERE id IN (SELECT id FROM fix{k} WHERE a = {k})",
        f"SELECT repair({k})",
        f"CALL mend({k})",
        f'COPY {name} (id, p, a, b, n) FROM STDIN CSV\0{k + 70},{low},3,"copied, too",{k + 70}\n',
        f"COPY {view} (id, a, b) FROM STDIN\0{k + 80}\t1\tview\n",
        f"TRUNCATE {name}, {other} CASCADE",
        f"UPDATE {name} SET id = id + 1 WHERE id = (SELECT max(id) FROM {name})",
        f"UPDATE {name} SET p = {low}",
        f"DELETE FROM {name} WHERE ctid IN (SELECT ctid FROM {name} ORDER BY random() LIMIT {low} FOR UPDATE SKIP LOCKED)",
    )
    return draw(st.sampled_from(forms))


SETTINGS = (
    "SET CONSTRAINTS ALL DEFERRED",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SET LOCAL datestyle = 'SQL, DMY'",
    "SET LOCAL timezone = 'Asia/Kathmandu'",
    "SET LOCAL extra_float_digits = -5",
    "SET LOCAL bytea_output = 'escape'",
    "SET LOCAL session_replication_role = replica",
    "SET LOCAL session_replication_role = origin",
    "SET LOCAL intervalstyle = 'sql_standard'",
    "SET LOCAL array_nulls = off",
    "SET LOCAL quote_all_identifiers = on",
    "RESET ALL",
)


def statement(draw: DrawFn, schema: Schema) -> str:
    """Draw one statement."""
    table = draw(st.sampled_from(schema.tables))
    match draw(st.integers(0, 9)):
        case 0 | 1 | 2:
            return update(draw, table)
        case 3 | 4:
            return delete(draw, table)
        case 5:
            return insert(draw, table)
        case 6:
            return draw(st.sampled_from(SETTINGS))
    return special(draw, table, schema)


@st.composite
def scripts(draw: DrawFn, schema: Schema, *, most: int = 6) -> list[Item]:
    """Draw the statements of a change."""
    items: list[Item] = []
    for number in range(draw(st.integers(1, most))):
        if draw(st.integers(0, 5)):
            items.append((statement(draw, schema),))
            continue
        inner = tuple(statement(draw, schema) for _ in range(draw(st.integers(1, 2))))
        end = draw(st.sampled_from((f"ROLLBACK TO SAVEPOINT s{number}", f"RELEASE SAVEPOINT s{number}")))
        items.append((f"SAVEPOINT s{number}", *inner, end))
    return items


# ------------------------------------------------------------------------------ work of others

QUIET_DDL = (
    "CREATE INDEX ON {t} (a)",
    "CLUSTER {t} USING {i}",
    "VACUUM FULL {t}",
    "VACUUM FREEZE {t}",
    "ANALYZE {t}",
    "ALTER TABLE {t} ADD COLUMN late int DEFAULT 7",
    "ALTER TABLE {t} DROP COLUMN n",
    "ALTER TABLE {t} RENAME COLUMN a TO a2",
    "ALTER TABLE {t} RENAME TO renamed",
    "ALTER TABLE {t} ALTER a TYPE bigint",
    "CREATE UNIQUE INDEX ON {t} (b)",
    "ALTER TABLE {t} ADD CHECK (a < 8) NOT VALID",
    "ALTER TYPE mood ADD VALUE 'new'",
    "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
    "ALTER TYPE pair ADD ATTRIBUTE z int",
    "ALTER TYPE pair DROP ATTRIBUTE x",
    "ALTER TABLE {t} ALTER b SET NOT NULL",
    "ALTER TABLE {t} DISABLE TRIGGER ALL",
    "ALTER TABLE {t} SET UNLOGGED",
    "CREATE TRIGGER others BEFORE UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE others AS ON INSERT TO {t} DO INSTEAD NOTHING",
    "ALTER TABLE {t} ENABLE ROW LEVEL SECURITY",
)


def _constants(draw: DrawFn, table: Table) -> dict[str, str]:
    found = row(draw, table)
    columns = draw(
        st.lists(st.sampled_from([c for c in found if c in table.free]), min_size=1, max_size=2, unique=True)
    )
    return {column: found[column] for column in columns}


def work_of_others(draw: DrawFn, schema: Schema) -> str:
    """Draw one statement of somebody else: by key and with constants, so that it means the same without the change.

    ``AGAIN table`` stands for: write into some row the very values that the change left there.
    """
    table = draw(st.sampled_from(schema.tables))
    key = draw(values.SMALL) if draw(st.integers(0, 3)) else draw(st.sampled_from((101, 102, 51, 52, 20)))
    match draw(st.integers(0, 11)):
        case 10 | 11:
            return f"AGAIN {table.name}"
        case 0 | 1 | 2 | 3:
            sets = ", ".join(f"{column} = {text}" for column, text in _constants(draw, table).items())
            return f"UPDATE {table.name} SET {sets} WHERE id = {key}"
        case 4 | 5:
            return f"DELETE FROM {table.name} WHERE id = {key}"
        case 6 | 7 | 8:
            found = row(draw, table) | {"id": str(key)}
            return f"INSERT INTO {table.name} ({', '.join(found)}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(found.values())})"
    text = draw(st.sampled_from(QUIET_DDL))
    return text.format(t=table.name, i=f"{table.name}_pkey")


@st.composite
def others(draw: DrawFn, schema: Schema) -> list[str]:
    """Draw what somebody else commits after the change, a transaction each."""
    return [work_of_others(draw, schema) for _ in range(draw(st.integers(1, 4)))]
