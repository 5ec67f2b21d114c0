"""Random schemas: tables with keys or none, foreign keys, partitions, children, generated columns, triggers, rules, views."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.property import values

NAMES = ("t", "u", '"Odd, one"', "w")
KEYS = (
    "none",
    "pk",
    "pk",
    "pk",
    "pk2",
    "unique",
    "unique_not_null",
    "pk_deferrable",
    "always",
    "by_default",
    "pk_numeric",
    "pk_text",
    "exclude",
    "partial",
    "expression",
    "nulls_not_distinct",
)
REFERABLE = frozenset({"pk", "unique", "unique_not_null", "always", "by_default"})
ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
DEFERRING = ("", "", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")
SHAPES = ("plain", "plain", "plain", "range", "list", "hash", "sub", "child", "unlogged")
KEY_DDL = {
    "pk": "PRIMARY KEY (id)",
    "pk2": "PRIMARY KEY (id, a)",
    "unique": "UNIQUE (id)",
    "unique_not_null": "UNIQUE (id)",
    "pk_deferrable": "PRIMARY KEY (id) DEFERRABLE",
    "always": "PRIMARY KEY (id)",
    "by_default": "PRIMARY KEY (id)",
    "pk_numeric": "PRIMARY KEY (n)",
    "pk_text": "PRIMARY KEY (b)",
    "exclude": "EXCLUDE USING btree (id WITH =)",
    "nulls_not_distinct": "UNIQUE NULLS NOT DISTINCT (id, a)",
}
PARTITIONS = {
    "range": ("RANGE (id)", ("FOR VALUES FROM (MINVALUE) TO (3)", "FOR VALUES FROM (3) TO (6)", "DEFAULT")),
    "list": ("LIST (id)", ("FOR VALUES IN (1, 2, 3, 4)", "DEFAULT")),
    "hash": ("HASH (id)", ("FOR VALUES WITH (MODULUS 2, REMAINDER 0)", "FOR VALUES WITH (MODULUS 2, REMAINDER 1)")),
    "sub": (
        "RANGE (id)",
        ("FOR VALUES FROM (MINVALUE) TO (4)", "FOR VALUES FROM (4) TO (MAXVALUE) PARTITION BY LIST (id)"),
    ),
}


@dataclass(frozen=True)
class Table:
    """A random table: ``name`` as written, ``columns`` name -> type, those that a statement may set in ``free``."""

    name: str
    key: str
    shape: str
    columns: dict[str, str]
    free: tuple[str, ...]
    leaves: tuple[str, ...]
    """tables that a statement may name to reach rows: itself, partitions, children"""
    views: tuple[str, ...] = ()


@dataclass
class Schema:
    """``ddl`` makes it, ``seeds`` fill it (those that fail are skipped), ``later`` adds what would disturb the seeds."""

    tables: list[Table] = field(default_factory=list)
    ddl: list[str] = field(default_factory=list)
    seeds: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)
    cascades: bool = False
    """whether work on one row can reach others"""


def stem(name: str) -> str:
    """Return a word to make other names from."""
    return name.strip('"').split(",")[0].lower()


@st.composite
def schemas(draw: DrawFn, major: int, *, calm: bool = False) -> Schema:
    """Draw a schema; ``calm`` has only triggers that look at their own row, so that work on it can be compared."""
    schema = Schema(ddl=list(values.TYPE_DDL))
    schema.ddl.append("CREATE TABLE log(what text, id int, a int)")
    for name in NAMES[: draw(st.integers(1, 3))]:
        _table(draw, schema, name, major)
    _foreign_keys(draw, schema, calm=calm)
    for table in schema.tables:
        _seeds(draw, schema, table)
        _behaviour(draw, schema, table, calm=calm)
    _functions(draw, schema)
    return schema


def _table(draw: DrawFn, schema: Schema, name: str, major: int) -> None:
    key, shape = draw(st.sampled_from(KEYS)), draw(st.sampled_from(SHAPES))
    if (key == "nulls_not_distinct" and major < 15) or (
        shape in PARTITIONS and key in {"pk_deferrable", "always", "by_default"}
    ):
        key = "pk"
    if shape in PARTITIONS and key in {"pk_numeric", "pk_text", "exclude", "expression"}:
        key = "none"
    columns = {"id": "int", "p": "int", "a": "int", "b": "text", "n": "numeric"}
    extra = {f"c{number}": draw(values.kinds(major)) for number in range(draw(st.integers(0, 3)))}
    parts = [f"{column} {_declared(column, kind, key)}" for column, kind in (columns | extra).items()]
    parts += ["g int GENERATED ALWAYS AS (a * 2) STORED"] if draw(st.integers(0, 3)) == 0 else []
    parts += ["v int GENERATED ALWAYS AS (id + 1) VIRTUAL"] if major >= 18 and draw(st.integers(0, 4)) == 0 else []
    gone = draw(st.integers(0, 4)) == 0 and shape not in PARTITIONS
    parts.insert(1, "gone int") if gone else None
    parts += [KEY_DDL[key]] if key in KEY_DDL else []
    by, bounds = PARTITIONS.get(shape, ("", ()))
    unlogged = "UNLOGGED " if shape == "unlogged" else ""
    schema.ddl.append(f"CREATE {unlogged}TABLE {name} ({', '.join(parts)})" + (f" PARTITION BY {by}" if by else ""))
    leaves = [name, *_parts_of(schema, name, shape, bounds, key)]
    if gone:
        schema.ddl.append(f"ALTER TABLE {name} DROP COLUMN gone")
    schema.ddl += [f"CREATE UNIQUE INDEX ON {name} (id) WHERE a > 0"] if key == "partial" else []
    schema.ddl += [f"CREATE UNIQUE INDEX ON {name} (abs(id))"] if key == "expression" else []
    if draw(st.integers(0, 4)) == 0 and shape not in PARTITIONS:
        schema.ddl.append(f"CREATE UNIQUE INDEX ON {name} (a, b)")
    free = tuple(column for column in {**columns, **extra} if column not in ({"id"} if key == "always" else set()))
    schema.tables.append(Table(name, key, shape, columns | extra, free, tuple(leaves), _views(draw, schema, name)))


def _declared(column: str, kind: str, key: str) -> str:
    if column == "id" and key in {"always", "by_default"}:
        return f"int GENERATED {'ALWAYS' if key == 'always' else 'BY DEFAULT'} AS IDENTITY (START 100)"
    if column == "id" and key == "unique_not_null":
        return "int NOT NULL"
    return {"a": "int DEFAULT 0", "p": "int DEFAULT 1"}.get(column, kind)


def _parts_of(schema: Schema, name: str, shape: str, bounds: tuple[str, ...], key: str) -> list[str]:
    made = []
    for number, bound in enumerate(bounds, 1):
        part = f"{stem(name)}_{number}"
        schema.ddl.append(f"CREATE TABLE {part} PARTITION OF {name} {bound}")
        made.append(part)
    if shape == "sub":
        schema.ddl.append(f"CREATE TABLE {stem(name)}_2a PARTITION OF {stem(name)}_2 FOR VALUES IN (4, 5, 6)")
        schema.ddl.append(f"CREATE TABLE {stem(name)}_2d PARTITION OF {stem(name)}_2 DEFAULT")
        made += [f"{stem(name)}_2a", f"{stem(name)}_2d"]
    if shape == "child":
        unique = ", PRIMARY KEY (id)" if key in {"pk", "always", "by_default"} else ""
        schema.ddl.append(f"CREATE TABLE {stem(name)}_child (extra text DEFAULT 'e'{unique}) INHERITS ({name})")
        made.append(f"{stem(name)}_child")
    return made


def _views(draw: DrawFn, schema: Schema, name: str) -> tuple[str, ...]:
    if draw(st.integers(0, 3)):
        return ()
    schema.later.append(
        f"CREATE VIEW {stem(name)}_view AS SELECT id, p, a, b, n FROM {name} WHERE a IS DISTINCT FROM 9"
    )
    if draw(st.integers(0, 3)) == 0:
        schema.later += [text.format(view=f"{stem(name)}_view", self=name) for text in INSTEAD]
    return (f"{stem(name)}_view",)


def _foreign_keys(draw: DrawFn, schema: Schema, *, calm: bool) -> None:
    targets = [table for table in schema.tables if table.key in REFERABLE]
    for table in schema.tables:
        if not targets or draw(st.integers(0, 2)) == 0:
            continue
        target = draw(st.sampled_from(targets))
        on_delete, on_update = draw(st.sampled_from(ACTIONS)), draw(st.sampled_from(ACTIONS))
        if calm and draw(st.booleans()):
            on_delete, on_update = draw(st.sampled_from(ACTIONS[:2])), draw(st.sampled_from(ACTIONS[:2]))
        schema.cascades |= bool({on_delete, on_update} & set(ACTIONS[2:]))
        deferring = draw(st.sampled_from(DEFERRING))
        schema.later.append(
            f"ALTER TABLE {table.name} ADD FOREIGN KEY (p) REFERENCES {target.name} (id)"
            f" ON DELETE {on_delete} ON UPDATE {on_update} {deferring}"
        )
        if not calm:
            _more_keys(draw, schema, table)


def _more_keys(draw: DrawFn, schema: Schema, table: Table) -> None:
    """Perhaps refer to two columns, or by a second key."""
    pairs = [other.name for other in schema.tables if other.key == "pk2"]
    ones = [other.name for other in schema.tables if other.key in REFERABLE]
    on_delete, on_update = draw(st.sampled_from((*ACTIONS, "SET NULL (p)"))), draw(st.sampled_from(ACTIONS))
    actions = f"ON DELETE {on_delete} ON UPDATE {on_update} {draw(st.sampled_from(DEFERRING))}"
    match draw(st.integers(0, 5)):
        case 0 if pairs:
            how = draw(st.sampled_from(("", "MATCH FULL")))
            other = draw(st.sampled_from(pairs))
            schema.later.append(
                f"ALTER TABLE {table.name} ADD FOREIGN KEY (p, a) REFERENCES {other} (id, a) {how} {actions}"
            )
        case 1 if ones:
            other = draw(st.sampled_from(ones))
            actions = actions.replace("(p)", "")
            schema.later.append(f"ALTER TABLE {table.name} ADD FOREIGN KEY (a) REFERENCES {other} (id) {actions}")
        case _:
            return
    schema.cascades = True


def _functions(draw: DrawFn, schema: Schema) -> None:
    """A function and a procedure that write, for statements that call them."""
    first, second = (draw(st.sampled_from(schema.tables)).name for _ in range(2))
    schema.later.append(
        f"CREATE FUNCTION repair(k int) RETURNS int LANGUAGE plpgsql AS $body$BEGIN UPDATE {first} SET a = a + k WHERE id > k;"
        f" DELETE FROM {second} WHERE id = k; RETURN k; END$body$"
    )
    schema.later.append(
        f"CREATE PROCEDURE mend(k int) LANGUAGE sql AS $body$ UPDATE {second} SET b = 'mended' WHERE id <= k;"
        f" INSERT INTO {first} (id, p, a, b, n) OVERRIDING SYSTEM VALUE VALUES (k + 90, 1, k, 'mend', k + 90) $body$"
    )


def row(draw: DrawFn, table: Table, *, small: bool = True) -> dict[str, str]:
    """Draw values for a row of a table."""
    found = {"id": str(draw(values.SMALL)), "p": draw(st.sampled_from(("1", "2", "3", "NULL")))}
    found |= {"a": str(draw(values.SMALL)), "b": draw(st.sampled_from(("'x'", "'y'", "'z'", "''", "'xx'")))}
    found |= {"n": draw(st.sampled_from(("1", "1.0", "2", "2.00", "'NaN'", "3", "4", "5"))) if small else "1"}
    found |= {column: draw(values.value(kind)) for column, kind in table.columns.items() if column.startswith("c")}
    return found


def _seeds(draw: DrawFn, schema: Schema, table: Table) -> None:
    for number in range(draw(st.integers(2, 7))):
        found = row(draw, table) | {"id": str(number + 1)}
        leaf = draw(st.sampled_from(table.leaves)) if table.shape == "child" else table.name
        schema.seeds.append(
            f"INSERT INTO {leaf} ({', '.join(found)}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(found.values())})"
        )


# ------------------------------------------------------------------------------ triggers and rules

BODIES = {
    "stamp": ("BEFORE INSERT OR UPDATE", "NEW.b := coalesce(NEW.b, '') || '!'; RETURN NEW;"),
    "swallow": (
        "BEFORE INSERT OR UPDATE OR DELETE",
        "IF coalesce(NEW.id, OLD.id) = 3 THEN RETURN NULL; END IF; RETURN coalesce(NEW, OLD);",
    ),
    "redirect": (
        "BEFORE INSERT",
        "IF NEW.a > 5 THEN INSERT INTO {log} VALUES ('r', NEW.id, NEW.a); RETURN NULL; END IF; RETURN NEW;",
    ),
    "log": (
        "AFTER INSERT OR UPDATE OR DELETE",
        "INSERT INTO {log} VALUES (TG_OP, coalesce(NEW.id, OLD.id), coalesce(NEW.a, OLD.a)); RETURN NULL;",
    ),
    "soft": (
        "BEFORE DELETE",
        "IF OLD.a <> 9 THEN UPDATE {self} SET a = 9 WHERE id = OLD.id; RETURN NULL; END IF; RETURN OLD;",
    ),
    "ripple": (
        "AFTER UPDATE",
        "IF pg_trigger_depth() < 3 THEN UPDATE {self} SET a = a + 1 WHERE id = NEW.id + 1; END IF; RETURN NULL;",
    ),
    "reach": (
        "AFTER INSERT OR UPDATE OR DELETE",
        "UPDATE {other} SET a = coalesce(a, 0) + 1 WHERE id = coalesce(NEW.id, OLD.id); RETURN NULL;",
    ),
    "kill": ("AFTER UPDATE", "DELETE FROM {other} WHERE id = NEW.id AND a = NEW.a; RETURN NULL;"),
    "retry": (
        "AFTER UPDATE",
        "BEGIN INSERT INTO {log} VALUES ('try', NEW.id, NEW.a); IF NEW.a % 2 = 0 THEN RAISE 'odd only'; END IF;"
        " EXCEPTION WHEN OTHERS THEN INSERT INTO {log} VALUES ('failed', NEW.id, NULL); END; RETURN NULL;",
    ),
    "truncated": ("BEFORE TRUNCATE", "INSERT INTO {log} SELECT 'gone', count(*), 0 FROM {self}; RETURN NULL;"),
    "summed": ("AFTER UPDATE", "INSERT INTO {log} SELECT 'sum', count(*), sum(a) FROM {self}; RETURN NULL;"),
}
INSTEAD = (
    """CREATE FUNCTION {view}_does() RETURNS trigger LANGUAGE plpgsql AS $body$BEGIN
           IF TG_OP = 'DELETE' THEN UPDATE {self} SET b = 'hidden' WHERE id = OLD.id; RETURN OLD; END IF;
           IF TG_OP = 'UPDATE' THEN UPDATE {self} SET a = NEW.a, b = NEW.b WHERE id = OLD.id; RETURN NEW; END IF;
           INSERT INTO {self} (id, a, b) OVERRIDING SYSTEM VALUE VALUES (NEW.id, NEW.a, 'instead'); RETURN NEW; END$body$""",
    "CREATE TRIGGER does INSTEAD OF INSERT OR UPDATE OR DELETE ON {view} FOR EACH ROW EXECUTE FUNCTION {view}_does()",
)
CALM = ("stamp", "swallow", "redirect", "log")
PER_STATEMENT = {"truncated", "summed"}
RULES = (
    "CREATE RULE {rule} AS ON UPDATE TO {self} DO ALSO INSERT INTO log VALUES ('rule', OLD.id, NEW.a)",
    "CREATE RULE {rule} AS ON DELETE TO {self} DO INSTEAD UPDATE {self} SET a = 9 WHERE id = OLD.id",
    "CREATE RULE {rule} AS ON DELETE TO {self} WHERE OLD.id = 2 DO INSTEAD NOTHING",
    "CREATE RULE {rule} AS ON INSERT TO {self} WHERE NEW.id > 7 DO INSTEAD NOTHING",
)
MODES = ("", "", "", "", "ENABLE ALWAYS", "ENABLE REPLICA", "DISABLE")


def _behaviour(draw: DrawFn, schema: Schema, table: Table, *, calm: bool) -> None:
    chosen = draw(st.lists(st.sampled_from(CALM if calm else tuple(BODIES)), max_size=2, unique=True))
    for number, body in enumerate(chosen):
        _trigger(draw, schema, table, body, number)
    if not calm and not chosen and table.shape not in PARTITIONS and draw(st.integers(0, 5)) == 0:
        schema.later.append(draw(st.sampled_from(RULES)).format(rule=f"{stem(table.name)}_rule", self=table.name))
    if draw(st.integers(0, 9)) == 0:
        schema.later.append(f"ALTER TABLE {table.name} ENABLE ROW LEVEL SECURITY")
        schema.later.append(f"CREATE POLICY none ON {table.name} USING (false)")


def _trigger(draw: DrawFn, schema: Schema, table: Table, body: str, number: int) -> None:
    when, text = BODIES[body]
    name = f"{draw(st.sampled_from(('a', 'zz', '~')))}{stem(table.name)}{number}"
    other = draw(st.sampled_from(schema.tables)).name
    text = text.format(self=table.name, other=other, log="log")
    schema.later.append(f'CREATE FUNCTION "{name}"() RETURNS trigger LANGUAGE plpgsql AS $body$BEGIN {text} END$body$')
    each = "STATEMENT" if body in PER_STATEMENT else "ROW"
    deferred = when.startswith("AFTER") and each == "ROW" and draw(st.integers(0, 4)) == 0
    constraint, timing = ("CONSTRAINT ", "DEFERRABLE INITIALLY DEFERRED ") if deferred else ("", "")
    schema.later.append(
        f'CREATE {constraint}TRIGGER "{name}" {when} ON {table.name} {timing}FOR EACH {each} EXECUTE FUNCTION "{name}"()'
    )
    mode = draw(st.sampled_from(MODES))
    if mode:
        schema.later.append(f'ALTER TABLE {table.name} {mode} TRIGGER "{name}"')
