"""What the live catalogue says of the names in a plan, and the fingerprints that approvals bind."""

from __future__ import annotations

from typing import Any

import pytest

from okto_change.database import catalog, facts
from okto_change.database.session import Session
from okto_change.digest import canonical
from okto_change.model import Found, Table

pytest_plugins = ["tests.plugins.sessions"]

SCHEMA = """
CREATE SCHEMA app; CREATE SCHEMA other; SET search_path = app, public;
CREATE TABLE merchants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, code text NOT NULL UNIQUE, nick text UNIQUE,
    name text, upper text GENERATED ALWAYS AS (upper(name)) STORED
);
CREATE TABLE settlements (id int PRIMARY KEY, merchant bigint REFERENCES merchants ON DELETE CASCADE);
CREATE TABLE items (id int PRIMARY KEY, settlement int REFERENCES settlements ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE notes (item int REFERENCES items, settlement int REFERENCES settlements);
CREATE TABLE no_key (a int NOT NULL, b int);
CREATE UNIQUE INDEX no_key_expression ON no_key ((a + 1));
CREATE UNIQUE INDEX no_key_partial ON no_key (a) WHERE b > 0;
CREATE TABLE two_keys (a int NOT NULL, b int NOT NULL, c int, UNIQUE (a, b), UNIQUE (b) INCLUDE (c), UNIQUE (c));
CREATE TABLE ledger (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE ledger_1 PARTITION OF ledger FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE ledger_2 PARTITION OF ledger FOR VALUES FROM ('2026-02-01') TO ('2026-03-01') PARTITION BY LIST (id);
CREATE TABLE ledger_2_rest PARTITION OF ledger_2 DEFAULT;
CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);
CREATE TABLE "Odd.name ""quoted"" one" (id int PRIMARY KEY);
CREATE TABLE other.merchants (id int);
CREATE VIEW open_merchants AS SELECT id, code FROM merchants;
CREATE VIEW joined AS SELECT m.id FROM merchants m JOIN settlements s ON s.merchant = m.id;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM merchants;
CREATE TABLE log (a int);
CREATE RULE keep AS ON DELETE TO no_key DO ALSO INSERT INTO log VALUES (old.a);
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER stamp BEFORE UPDATE ON merchants FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TRIGGER silent BEFORE UPDATE ON merchants FOR EACH ROW EXECUTE FUNCTION stamp();
ALTER TABLE merchants DISABLE TRIGGER silent;
ALTER TABLE two_keys ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION price() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION price(int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'
"""


@pytest.fixture
def shop(session: Session) -> Session:
    """Return a session to a database with every kind of relation; the search_path is app, public."""
    session.run(SCHEMA)
    return session


def one(session: Session, name: str) -> Table:
    """Return the table that ``name`` finds."""
    table = catalog.find(session, [name]).tables[name]
    assert table is not None
    return table


def reached(session: Session, name: str, **operations: bool) -> set[str]:
    """Return the names that a change of ``name`` can reach."""
    oids = catalog.closure(session, [one(session, name).oid], **operations)
    return {table.name for table in catalog.describe(session, oids).values()}


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "qualified"),
    [
        ("merchants", "app.merchants"),
        ("other.merchants", "other.merchants"),
        ('Odd.name "quoted" one', 'app.Odd.name "quoted" one'),
        ('app.Odd.name "quoted" one', 'app.Odd.name "quoted" one'),
        ("pg_class", "pg_catalog.pg_class"),
    ],
)
def test_a_name_finds_what_the_server_would_find(shop: Session, name: str, qualified: str) -> None:
    """By search_path when it has no schema; odd names too."""
    assert one(shop, name).qualified == qualified


def test_a_name_with_its_own_database_is_found_and_with_another_is_not(shop: Session) -> None:
    """Three parts are legal as long as the first is where we are."""
    here = f"{shop.identity.database}.app.merchants"
    found = catalog.find(shop, [here, "elsewhere.app.merchants"]).tables
    assert found[here] is not None
    assert found["elsewhere.app.merchants"] is None


@pytest.mark.parametrize("name", ["nope", "app.nope", "nope.merchants", "Merchants", "merchants_pkey", "", "."])
def test_a_missing_name_is_none(shop: Session, name: str) -> None:
    """No exception; an index is no table."""
    assert catalog.find(shop, [name]).tables == {name: None}


def test_nothing_asked_is_nothing_found(session: Session) -> None:
    """A plan of edits only names no table."""
    found = catalog.find(session, [], [])
    assert found == Found(tables={}, functions={}, server_version=session.identity.server_version)


def test_functions_have_the_worst_volatility_of_their_overloads(shop: Session) -> None:
    """Which one is called depends on types that analysis does not know."""
    found = catalog.find(shop, [], ["price", "app.price", "now", "random", "pg_catalog.lower", "nope", "other.price"])
    assert found.functions == {"price": "v", "app.price": "v", "now": "s", "random": "v", "pg_catalog.lower": "i"}


# ---------------------------------------------------------------------- what a table is


def test_columns_tell_type_identity_and_generation(shop: Session) -> None:
    """In their order, dropped ones left out."""
    shop.run("ALTER TABLE merchants DROP COLUMN nick")
    columns = one(shop, "merchants").columns
    assert [(c.name, c.type, c.nullable, c.identity, c.generated) for c in columns] == [
        ("id", "bigint", False, "a", ""),
        ("code", "text", False, "", ""),
        ("name", "text", True, "", ""),
        ("upper", "text", True, "", "s"),
    ]


@pytest.mark.parametrize(
    ("name", "key", "unique"),
    [
        ("merchants", ("id",), {("id",), ("code",), ("nick",)}),
        ("two_keys", ("b",), {("a", "b"), ("b",), ("c",)}),
        ("no_key", None, set()),
        ("ledger", ("id", "day"), {("id", "day")}),
        ("open_merchants", None, set()),
    ],
)
def test_the_key_is_primary_or_unique_and_never_null(
    shop: Session, name: str, key: tuple[str, ...] | None, unique: set[tuple[str, ...]]
) -> None:
    """The shortest unique key where there is no primary one; partial and expression indexes are no keys."""
    table = one(shop, name)
    assert table.key == key
    assert set(table.unique) == unique


def test_relations_triggers_and_rules_are_listed(shop: Session) -> None:
    """Tables whose foreign keys point here, what fires; not what is disabled."""
    assert one(shop, "settlements").referenced_by == ("app.items", "app.notes")
    assert one(shop, "merchants").triggers == ("stamp",)
    assert one(shop, "no_key").rules == ("keep",)
    assert one(shop, "two_keys").row_security
    kinds = {name: one(shop, name).kind for name in ("merchants", "ledger", "open_merchants", "totals")}
    assert kinds == {"merchants": "r", "ledger": "p", "open_merchants": "v", "totals": "m"}


def test_estimates_are_unknown_until_analysed_and_then_summed_over_partitions(shop: Session) -> None:
    """-1 says: nobody knows."""
    assert one(shop, "ledger").estimated_rows == -1
    shop.run("INSERT INTO ledger SELECT g, date '2026-01-01' + g FROM generate_series(0, 49) g")
    shop.run("ANALYZE ledger_1; ANALYZE ledger_2_rest")
    assert one(shop, "ledger_1").estimated_rows == 31
    assert one(shop, "ledger").estimated_rows == 50


# ---------------------------------------------------------------------- where a change can spread


def test_deletes_spread_by_cascade_and_updates_by_theirs(shop: Session) -> None:
    """A cascaded delete sets null further down; plain references stop what they are pointed at by."""
    assert reached(shop, "merchants") == {"merchants", "settlements", "items"}
    assert reached(shop, "merchants", delete=False) == {"merchants"}
    assert reached(shop, "settlements", delete=False) == {"settlements", "items"}
    assert reached(shop, "items") == {"items"}


def test_changes_spread_to_children_behind_views_and_by_rules(shop: Session) -> None:
    """A view that cannot be written stays alone."""
    assert reached(shop, "ledger") == {"ledger", "ledger_1", "ledger_2", "ledger_2_rest"}
    assert reached(shop, "open_merchants") == {"open_merchants", "merchants", "settlements", "items"}
    assert reached(shop, "joined") == {"joined"}
    assert reached(shop, "no_key") == {"no_key", "log"}
    assert catalog.closure(shop, []) == set()


# ---------------------------------------------------------------------- facts


def definition(session: Session, name: str = "merchants") -> Any:
    """Return the fact of one table."""
    return facts.collect(session, [name])["tables"][name]


def test_facts_name_the_database_and_every_table(shop: Session) -> None:
    """They are canonical JSON; missing tables are null."""
    found = facts.collect(shop, ["merchants", "nope", "totals"])
    canonical(found)
    assert found["database"] == shop.identity.database
    assert found["system_identifier"] == shop.identity.system_identifier
    assert found["server_major"] == shop.identity.server_version // 10_000
    assert found["tables"]["nope"] is None
    assert found["tables"]["merchants"]["name"] == "app.merchants"
    assert found["tables"]["totals"]["kind"] == "materialized view"


def test_facts_do_not_depend_on_who_looks_or_when(shop: Session) -> None:
    """Search_path, an open transaction, rows and statistics make no difference, and nothing of ours stays set."""
    before = facts.collect(shop, ["app.merchants", "app.items", "app.open_merchants"])
    shop.run("INSERT INTO merchants (code) VALUES ('x'); ANALYZE merchants; COMMENT ON TABLE merchants IS 'x'")
    shop.run("SET search_path = public")
    shop.begin()
    assert facts.collect(shop, ["app.merchants", "app.items", "app.open_merchants"]) == before
    assert shop.execute("SHOW search_path") == [("public",)]
    shop.rollback()


@pytest.mark.parametrize(
    "ddl",
    [
        "ALTER TABLE merchants ADD COLUMN x int",
        "ALTER TABLE merchants ALTER name SET DEFAULT 'x'",
        "ALTER TABLE merchants ALTER name SET NOT NULL",
        "ALTER TABLE merchants ADD CHECK (code <> '') NOT VALID",
        "ALTER TABLE merchants ENABLE TRIGGER silent",
        "ALTER TABLE merchants ENABLE ROW LEVEL SECURITY",
        "CREATE INDEX ON merchants (name)",
        "CREATE POLICY p ON merchants USING (true)",
        "CREATE RULE r AS ON DELETE TO merchants DO ALSO NOTIFY x",
        "CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN old; END'",
        "ALTER TABLE settlements DROP CONSTRAINT settlements_merchant_fkey",
    ],
)
def test_whatever_changes_the_meaning_changes_the_fingerprint(shop: Session, ddl: str) -> None:
    """Of the table itself, of its triggers' functions, and of the foreign keys that point to it."""
    before = definition(shop)
    shop.run(ddl)
    after = definition(shop)
    assert after["definition"] != before["definition"]
    assert after["oid"] == before["oid"]


def test_a_table_made_anew_is_another_table(shop: Session) -> None:
    """The definition is equal, the identity is not."""
    before = definition(shop, "log")
    shop.run("DROP RULE keep ON no_key; DROP TABLE log; CREATE TABLE log (a int)")
    after = definition(shop, "log")
    assert after["definition"] == before["definition"]
    assert after["oid"] != before["oid"]


def test_a_new_partition_leaves_the_parents_fingerprint(shop: Session) -> None:
    """Partitions come every night; approvals need not die of it."""
    before = definition(shop, "ledger")
    shop.run("CREATE TABLE ledger_3 PARTITION OF ledger FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')")
    assert definition(shop, "ledger") == before
