"""More of inverse DDL: rarer objects, combinations in one step. Each form is byte-equal in the server's own dump after its undo, or refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from okto_change.database.session import Session, connect
from okto_change.errors import NotReversible
from tests.integration import test_inverse_ddl
from tests.integration.ddl_driver import apply, dump, take_back
from tests.plugins.server import Cluster

WORLD = r"""
CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER srv FOREIGN DATA WRAPPER nothing OPTIONS (h 'x');
CREATE FOREIGN TABLE app.ft (a integer OPTIONS (n 'z') NOT NULL, b text DEFAULT 'q') SERVER srv OPTIONS (t 'u'); COMMENT ON FOREIGN TABLE app.ft IS 'ftc';
CREATE TYPE app.rt AS RANGE (subtype = text, subtype_opclass = text_pattern_ops, collation = "C", multirange_type_name = app.many);
CREATE TYPE app.rt2 AS RANGE (subtype = integer);
CREATE COLLATION app.coll FROM "C"; CREATE TEXT SEARCH DICTIONARY app.dict (TEMPLATE = simple); CREATE TEXT SEARCH CONFIGURATION app.conf (COPY = simple);
CREATE AGGREGATE app.agg (integer) (sfunc = int4pl, stype = integer, initcond = '0');
CREATE DOMAIN app.dd AS text COLLATE "C" DEFAULT 'x' NOT NULL CONSTRAINT a1 CHECK (VALUE <> 'a') CONSTRAINT b1 CHECK (VALUE <> 'b'); COMMENT ON CONSTRAINT a1 ON DOMAIN app.dd IS 'a1c';
ALTER DOMAIN app.dd ADD CONSTRAINT nvd CHECK (VALUE <> 'c') NOT VALID;
CREATE TABLE app.g (id integer, v app.dd, r int4range, a integer[], t tsvector, EXCLUDE USING gist (r WITH &&) WHERE (id > 0));
CREATE TABLE app.k (id integer CONSTRAINT k_pk PRIMARY KEY WITH (fillfactor = 71), a integer, b integer, CONSTRAINT k_u UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b) DEFERRABLE INITIALLY DEFERRED);
COMMENT ON CONSTRAINT k_pk ON app.k IS 'kpc'; COMMENT ON INDEX app.k_pk IS 'kpi'; ALTER TABLE app.k CLUSTER ON k_pk; ALTER TABLE app.k REPLICA IDENTITY USING INDEX k_pk;
CREATE TABLE app.kc (id integer, k integer CONSTRAINT kc_fk REFERENCES app.k ON DELETE SET NULL (k) DEFERRABLE INITIALLY DEFERRED); COMMENT ON CONSTRAINT kc_fk ON app.kc IS 'fkc';
CREATE FUNCTION app.low(t text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(t)';
CREATE TABLE app.fd (t text DEFAULT app.low('X') CHECK (app.low(t) <> 'y'), u text GENERATED ALWAYS AS (app.low(t)) STORED); CREATE INDEX fdi ON app.fd (app.low(t));
CREATE VIEW app.fv AS SELECT app.low(t) AS l FROM app.fd; COMMENT ON COLUMN app.fv.l IS 'lc';
CREATE FUNCTION app.atom() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM app.fd; END;
CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON app.k DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.trg(); COMMENT ON TRIGGER ct ON app.k IS 'ctc';
CREATE TRIGGER tt AFTER UPDATE ON app.k REFERENCING OLD TABLE AS o NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION app.trg();
CREATE TRIGGER pt AFTER INSERT ON app.part FOR EACH ROW EXECUTE FUNCTION app.trg(); ALTER TABLE app.part1 DISABLE TRIGGER pt;
CREATE RULE r2 AS ON UPDATE TO app.k DO ALSO (INSERT INTO app.kc VALUES (1, NULL); DELETE FROM app.kc WHERE id = 99); COMMENT ON RULE r2 ON app.k IS 'r2c';
CREATE RULE vr AS ON INSERT TO app.fv DO INSTEAD INSERT INTO app.fd VALUES (NEW.l);
CREATE RECURSIVE VIEW app.rv (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM rv WHERE n < 3;
CREATE VIEW app.vv1 AS SELECT id, a FROM app.k; CREATE VIEW app.vv2 AS SELECT a FROM app.vv1; CREATE MATERIALIZED VIEW app.vv3 AS SELECT a FROM app.vv2 WITH NO DATA; CREATE UNIQUE INDEX vv3i ON app.vv3 (a); GRANT SELECT ON app.vv3 TO okto_r1;
CREATE TABLE app.m1 (z integer); CREATE TABLE app.m2 (z integer, y integer); CREATE TABLE app.mm (x integer) INHERITS (app.m1, app.m2);
CREATE TABLE app.pk (k integer, w integer, PRIMARY KEY (k, w)) PARTITION BY LIST (k); CREATE TABLE app.pk1 PARTITION OF app.pk FOR VALUES IN (1) PARTITION BY HASH (w); CREATE TABLE app.pk11 PARTITION OF app.pk1 FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE app.pk12 PARTITION OF app.pk1 FOR VALUES WITH (MODULUS 2, REMAINDER 1); CREATE TABLE app.pkd PARTITION OF app.pk DEFAULT;
INSERT INTO app.pk VALUES (1, 1), (1, 2), (5, 5); CREATE TABLE app.pkf (k integer, w integer, CONSTRAINT pkff FOREIGN KEY (k, w) REFERENCES app.pk);
CREATE INDEX pki ON app.pk (w); ALTER INDEX app.pk11_w_idx RENAME TO other; COMMENT ON INDEX app.other IS 'oc';
ALTER SEQUENCE app.p_id_seq INCREMENT 5 CACHE 3; COMMENT ON SEQUENCE app.p_id_seq IS 'pis'; GRANT USAGE ON SEQUENCE app.p_id_seq TO okto_r2;
CREATE TYPE app.ct AS (a integer, b text); COMMENT ON COLUMN app.ct.a IS 'cta'; CREATE TABLE app.typed OF app.ct (PRIMARY KEY (a));
CREATE STATISTICS app.se (mcv) ON (a + b), a FROM app.k; ALTER STATISTICS app.se SET STATISTICS 44;
ALTER DEFAULT PRIVILEGES FOR ROLE okto_r1 REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE UNLOGGED TABLE app.ul (a integer); CREATE UNLOGGED SEQUENCE app.us;
CREATE VIEW app.inv WITH (security_invoker = true) AS SELECT 1 AS a;
ALTER INDEX app.fdi DEPENDS ON EXTENSION plpgsql;
CREATE PUBLICATION pub2 FOR TABLE app.k (id, a) WHERE (id > 1) WITH (publish = 'insert'); CREATE PUBLICATION pub3 FOR TABLES IN SCHEMA app;
"""
EQUAL = {
    "views": r"""
DROP MATERIALIZED VIEW app.mv; CREATE MATERIALIZED VIEW app.mv AS SELECT a + 1 AS a FROM app.c; CREATE INDEX mvi ON app.mv (a DESC)
ALTER VIEW app.vv1 RENAME COLUMN a TO aaa
ALTER VIEW app.fv RENAME TO fv2; ALTER VIEW app.fv2 SET SCHEMA public
DROP VIEW app.vv1 CASCADE
DROP VIEW app.rv
DROP VIEW app.fv
DROP MATERIALIZED VIEW app.vv3
REFRESH MATERIALIZED VIEW app.vv3
ALTER VIEW app.inv SET (security_invoker = false)
ALTER VIEW app.fv ALTER COLUMN l SET DEFAULT 'x'
ALTER MATERIALIZED VIEW app.mv RENAME TO mv2; ALTER MATERIALIZED VIEW app.mv2 SET (fillfactor = 50); ALTER MATERIALIZED VIEW app.mv2 ALTER a SET STATISTICS 5
ALTER MATERIALIZED VIEW app.mv CLUSTER ON mvi
""",
    "replaced": r"""
CREATE OR REPLACE VIEW app.vv1 AS SELECT id, a, b FROM app.k
CREATE OR REPLACE VIEW app.vw WITH (security_barrier = true, check_option = local) AS SELECT id, name, note FROM app.p WHERE id > 0
CREATE OR REPLACE VIEW app.vv1 AS SELECT id, a FROM app.k WHERE id > 2
CREATE OR REPLACE FUNCTION app.low(t text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT lower(t) || 1'
CREATE OR REPLACE TRIGGER tt BEFORE UPDATE ON app.k FOR EACH ROW EXECUTE FUNCTION app.trg()
CREATE OR REPLACE RULE r2 AS ON UPDATE TO app.k DO ALSO NOTHING
""",
    "foreign": r"""
ALTER FOREIGN TABLE app.ft RENAME COLUMN a TO aa
ALTER FOREIGN TABLE app.ft ALTER b SET DEFAULT 'r'; ALTER FOREIGN TABLE app.ft ALTER a DROP NOT NULL; COMMENT ON FOREIGN TABLE app.ft IS NULL
CREATE FOREIGN TABLE app.ft2 (a integer) SERVER srv
ALTER FOREIGN TABLE app.ft OWNER TO okto_r1
""",
    "types": r"""
ALTER DOMAIN app.dd DROP CONSTRAINT a1
ALTER DOMAIN app.dd DROP CONSTRAINT nvd
DROP TYPE app.rt
DROP TYPE app.rt2
ALTER TYPE app.rt RENAME TO rtt
ALTER TYPE app.rt SET SCHEMA public
CREATE TYPE app.rt3 AS RANGE (subtype = date)
ALTER DOMAIN app.dd VALIDATE CONSTRAINT nvd
ALTER DOMAIN app.dd DROP NOT NULL; ALTER DOMAIN app.dd DROP DEFAULT; ALTER DOMAIN app.dd RENAME CONSTRAINT b1 TO b2
ALTER DOMAIN app.dd RENAME TO ddd; ALTER DOMAIN app.ddd OWNER TO okto_r1
ALTER DOMAIN app.dd ADD CONSTRAINT more CHECK (VALUE <> 'zz')
CREATE DOMAIN app.d3 AS app.posint CHECK (VALUE < 10)
""",
    "routines": r"""
CREATE AGGREGATE app.agg2 (integer) (sfunc = int4pl, stype = integer)
ALTER AGGREGATE app.agg(integer) OWNER TO okto_r1
ALTER FUNCTION app.low(text) PARALLEL SAFE LEAKPROOF SET work_mem = '5MB'
ALTER FUNCTION app.low(text) SET SCHEMA public
DROP FUNCTION app.atom()
DROP FUNCTION app.trg() CASCADE
""",
    "others": r"""
COMMENT ON AGGREGATE app.agg(integer) IS 'x'
CLUSTER app.k USING k_pk
CREATE SCHEMA n1; CREATE TABLE n1.t (id serial); ALTER TABLE n1.t SET SCHEMA app
GRANT SELECT ON ALL TABLES IN SCHEMA app TO okto_r1
GRANT SELECT (id), UPDATE (id) ON app.p TO okto_r1; REVOKE SELECT (note) ON app.p FROM PUBLIC
COMMENT ON EXTENSION plpgsql IS 'x'
COMMENT ON COLUMN app.ct.a IS NULL; COMMENT ON RULE r2 ON app.k IS 'n'; COMMENT ON CONSTRAINT a1 ON DOMAIN app.dd IS NULL; COMMENT ON SEQUENCE app.s IS 'n'; COMMENT ON COLUMN app.mv.a IS 'n'; COMMENT ON INDEX app.k_pk IS NULL
""",
    "indexes": r"""
ALTER INDEX app.k_pk RENAME TO k_pk3
ALTER INDEX app.k_pk SET (fillfactor = 50)
CREATE INDEX ON ONLY app.pk (k, w); CREATE INDEX x1 ON app.pkd (k, w); ALTER INDEX app.pk_k_w_idx ATTACH PARTITION app.x1
DROP INDEX app.p_v
""",
    "triggers and rules": r"""
DROP TRIGGER ct ON app.k
DROP TRIGGER tt ON app.k
DROP TRIGGER pt ON app.part
ALTER TRIGGER pt ON app.part RENAME TO pt2
DROP RULE r2 ON app.k
DROP RULE vr ON app.fv
ALTER RULE vr ON app.fv RENAME TO vr2
""",
    "sequences": r"""
ALTER SEQUENCE app.p_id_seq RENAME TO other_seq
ALTER SEQUENCE app.c_id_seq OWNED BY NONE
ALTER SEQUENCE app.s OWNED BY app.c.a
ALTER SEQUENCE app.s AS bigint MAXVALUE 9000000000 NO CYCLE
ALTER SEQUENCE app.s SET SCHEMA public
ALTER SEQUENCE app.us SET LOGGED
""",
    "statistics": r"""
ALTER STATISTICS app.se RENAME TO se2; ALTER STATISTICS app.se2 SET SCHEMA public; ALTER STATISTICS public.se2 SET STATISTICS 7
DROP STATISTICS app.se
ALTER STATISTICS app.se OWNER TO okto_r1
CREATE STATISTICS app.n1 ON (a % 2), b FROM app.k; ALTER STATISTICS app.n1 SET STATISTICS 9
""",
    "privileges": r"""
ALTER DEFAULT PRIVILEGES FOR ROLE okto_r1 GRANT EXECUTE ON FUNCTIONS TO PUBLIC
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO okto_r2 WITH GRANT OPTION
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO okto_r1; ALTER DEFAULT PRIVILEGES GRANT USAGE ON TYPES TO okto_r1
""",
    "publications": r"""
ALTER PUBLICATION pub ADD TABLE app.k
ALTER PUBLICATION pub DROP TABLE app.c
ALTER PUBLICATION pub SET TABLE app.k, app.c
ALTER PUBLICATION pub ADD TABLE app.k (id, a) WHERE (id > 4)
""",
    "policies": r"""
ALTER POLICY pol ON app.p USING (id > 5)
ALTER POLICY pol ON app.p TO PUBLIC
ALTER POLICY pol ON app.p RENAME TO pol2; CREATE POLICY pol ON app.p FOR SELECT USING (EXISTS (SELECT FROM app.c WHERE c.p = p.id))
""",
    "tables 1": r"""
ALTER TABLE app.p RENAME TO q; ALTER TABLE app.q ALTER note TYPE varchar(50); DROP INDEX app.p_name
ALTER TABLE app.k RENAME COLUMN a TO aa; ALTER TABLE app.k ALTER aa SET DEFAULT 4; ALTER TABLE app.k ADD COLUMN a text
ALTER TABLE app.p ADD COLUMN note2 text; ALTER TABLE app.p RENAME COLUMN note TO x1; ALTER TABLE app.p RENAME COLUMN note2 TO note
ALTER TABLE app.g DROP CONSTRAINT g_r_excl
ALTER TABLE app.g ALTER v TYPE text
ALTER TABLE app.k DROP CONSTRAINT k_pk CASCADE
ALTER TABLE app.k DROP CONSTRAINT k_u
ALTER TABLE app.k RENAME CONSTRAINT k_pk TO k_pk2
ALTER TABLE app.kc DROP CONSTRAINT kc_fk
ALTER TABLE app.kc ALTER CONSTRAINT kc_fk NOT DEFERRABLE
ALTER TABLE app.part ENABLE ALWAYS TRIGGER pt
ALTER TABLE app.part1 ENABLE TRIGGER pt
ALTER TABLE app.k ENABLE ALWAYS TRIGGER ct; ALTER TABLE app.k ENABLE REPLICA TRIGGER tt
ALTER TABLE app.m2 INHERIT app.m1
ALTER TABLE app.m1 ADD COLUMN y integer
ALTER TABLE app.m1 ALTER z SET NOT NULL
ALTER TABLE app.m1 ADD CONSTRAINT mc CHECK (z > 0)
ALTER TABLE app.m1 ADD CONSTRAINT mc CHECK (z > 0) NO INHERIT
""",
    "tables 2": r"""
ALTER TABLE ONLY app.m1 ALTER z SET DEFAULT 4
ALTER TABLE app.pk DETACH PARTITION app.pk1
ALTER TABLE app.pk1 DETACH PARTITION app.pk11
ALTER TABLE app.pk DETACH PARTITION app.pkd
CREATE TABLE app.pk2 (k integer NOT NULL, w integer NOT NULL); ALTER TABLE app.pk ATTACH PARTITION app.pk2 FOR VALUES IN (2)
ALTER TABLE app.pk DROP CONSTRAINT pk_pkey CASCADE
ALTER TABLE app.pkf DROP CONSTRAINT pkff
ALTER TABLE app.pkf ADD CONSTRAINT pkf2 FOREIGN KEY (k, w) REFERENCES app.pk NOT VALID
ALTER TABLE app.pk ALTER w SET DEFAULT 4; ALTER TABLE ONLY app.pk1 ALTER w SET DEFAULT 5
ALTER TABLE app.pk ADD COLUMN x text DEFAULT 'x'
ALTER TABLE app.pk ADD CONSTRAINT pkc CHECK (w > 0)
ALTER TABLE app.pk RENAME COLUMN w TO ww
ALTER TABLE app.part ALTER w TYPE varchar(30)
ALTER TABLE app.p ALTER id SET GENERATED ALWAYS SET INCREMENT 7 RESTART WITH 500
ALTER TABLE app.p ALTER id RESTART
ALTER TABLE app.c SET SCHEMA public
ALTER TABLE app.p SET SCHEMA public
ALTER TABLE app.ul SET LOGGED
""",
    "tables 3": r"""
ALTER TABLE app.p ALTER id DROP IDENTITY; ALTER TABLE app.p ALTER id ADD GENERATED ALWAYS AS IDENTITY (START 90 INCREMENT 2)
ALTER TABLE app.typed NOT OF
ALTER TABLE app.c ENABLE ROW LEVEL SECURITY; CREATE POLICY pc ON app.c WITH CHECK (true)
ALTER TABLE app.p REPLICA IDENTITY FULL; ALTER TABLE app.c REPLICA IDENTITY NOTHING
ALTER TABLE app.k REPLICA IDENTITY DEFAULT; ALTER TABLE app.k SET WITHOUT CLUSTER
ALTER TABLE app.p ALTER name SET STORAGE PLAIN, ALTER name SET COMPRESSION lz4
ALTER TABLE app.p ALTER v SET (n_distinct = 7, n_distinct_inherited = 3)
ALTER TABLE app.c SET (toast_tuple_target = 200, parallel_workers = 3, toast.autovacuum_vacuum_threshold = 5)
ALTER TABLE app.k ADD COLUMN c app.posint; COMMENT ON COLUMN app.k.c IS 'x'; CREATE INDEX ki ON app.k (c); ALTER TABLE app.k ALTER c DROP DEFAULT
CREATE TABLE app.n (id integer); CREATE TRIGGER x AFTER INSERT ON app.n EXECUTE FUNCTION app.trg(); GRANT ALL ON app.n TO PUBLIC; ALTER TABLE app.n OWNER TO okto_r1
CREATE TABLE app.n AS SELECT * FROM app.p; ALTER TABLE app.n RENAME TO n2; CREATE VIEW app.nv AS SELECT * FROM app.n2
ALTER TABLE app.p RENAME TO tmp; ALTER TABLE app.c RENAME TO p; ALTER TABLE app.tmp RENAME TO c; ALTER INDEX app.p_pkey RENAME TO x9
ALTER TABLE app.fd ALTER t DROP DEFAULT
ALTER TABLE app.c ADD COLUMN big numeric DEFAULT random()
ALTER TABLE app.part ADD PRIMARY KEY (k)
ALTER TABLE app.kc DROP CONSTRAINT kc_fk; ALTER TABLE app.k ADD CONSTRAINT k_again UNIQUE (id); ALTER TABLE app.k DROP CONSTRAINT k_pk; ALTER TABLE app.kc ADD CONSTRAINT kc_fk FOREIGN KEY (k) REFERENCES app.k (id) ON DELETE SET NULL (k) DEFERRABLE INITIALLY DEFERRED
ALTER TABLE app.c DROP CONSTRAINT ca, ADD CONSTRAINT ca CHECK (a >= -1)
ALTER TABLE app.c DROP CONSTRAINT c_p_fk, ADD CONSTRAINT c_p_fk FOREIGN KEY (p) REFERENCES app.p (id)
ALTER TABLE app.c ADD CONSTRAINT n1 UNIQUE (id); ALTER TABLE app.c CLUSTER ON n1; ALTER TABLE app.c REPLICA IDENTITY USING INDEX n1
""",
    "names taken again": r"""
ALTER TYPE app.mood RENAME TO mood_old; CREATE TYPE app.mood AS ENUM ('good', 'bad', 'worse'); ALTER TABLE app.p ALTER how DROP DEFAULT; ALTER TABLE app.p ALTER how TYPE app.mood USING how::text::app.mood; ALTER TABLE app.p ALTER how SET DEFAULT 'good'
ALTER TYPE app.mood RENAME TO mood_old; CREATE TYPE app.mood AS ENUM ('good', 'bad', 'worse'); ALTER TABLE app.p ALTER how DROP DEFAULT, ALTER how TYPE app.mood USING how::text::app.mood; DROP TYPE app.mood_old; COMMENT ON TYPE app.mood IS 'new'
ALTER TABLE app.p ALTER how DROP DEFAULT; ALTER TABLE app.p ALTER how TYPE text; DROP TYPE app.mood
ALTER TYPE app.mood RENAME TO mood2; ALTER TABLE app.p ALTER how DROP DEFAULT; ALTER TABLE app.p ALTER how TYPE varchar(9)
ALTER TABLE app.g ALTER v TYPE text; DROP DOMAIN app.dd
ALTER DOMAIN app.dd RENAME TO d0; CREATE DOMAIN app.dd AS varchar(90); ALTER TABLE app.g ALTER v TYPE app.dd
ALTER TABLE app.g ADD COLUMN moods app.mood[]; ALTER TYPE app.mood RENAME TO m0; CREATE TYPE app.mood AS ENUM ('good'); ALTER TABLE app.g ALTER moods TYPE app.mood[] USING moods::text::app.mood[]
ALTER SCHEMA app RENAME TO app9; CREATE SCHEMA app
ALTER SCHEMA app RENAME TO app9; CREATE SCHEMA app; ALTER TABLE app9.c SET SCHEMA app; CREATE TABLE app.own (id integer)
CREATE TABLE app.t1 (id integer PRIMARY KEY); CREATE TABLE app.t2 (id integer PRIMARY KEY REFERENCES app.t1); ALTER TABLE app.t1 ADD FOREIGN KEY (id) REFERENCES app.t2 DEFERRABLE
""",
}
"""forms by what they are about, one a line; the server's dump is the same after all of them and their undos"""
REFUSED = r"""
ALTER TYPE app.mood ADD VALUE 'x'
DROP FOREIGN TABLE app.ft
ALTER FOREIGN TABLE app.ft OPTIONS (SET t 'w')
ALTER FOREIGN TABLE app.ft ALTER a OPTIONS (SET n 'y')
GRANT USAGE ON FOREIGN SERVER srv TO okto_r1
GRANT USAGE ON FOREIGN DATA WRAPPER nothing TO okto_r1
GRANT USAGE ON LANGUAGE plpgsql TO okto_r1
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC
ALTER SERVER srv OPTIONS (SET h 'y')
ALTER SERVER srv OWNER TO okto_r1
ALTER TYPE app.many RENAME TO many2
ALTER COLLATION app.coll RENAME TO coll2
CREATE COLLATION app.coll3 FROM "C"
ALTER TEXT SEARCH DICTIONARY app.dict (accept = false)
COMMENT ON TEXT SEARCH CONFIGURATION app.conf IS 'x'
COMMENT ON COLLATION app.coll IS 'x'
DROP AGGREGATE app.agg(integer)
CREATE OR REPLACE AGGREGATE app.agg (integer) (sfunc = int4mul, stype = integer, initcond = '1')
ALTER TABLE app.kc DISABLE TRIGGER ALL
DROP FUNCTION app.low(text) CASCADE
ALTER FUNCTION app.low(text) DEPENDS ON EXTENSION plpgsql
ALTER INDEX app.fdi NO DEPENDS ON EXTENSION plpgsql
DROP INDEX app.fdi
ALTER TABLE app.mm NO INHERIT app.m1
ALTER TABLE app.mm NO INHERIT app.m2
CREATE TABLE app.n (LIKE app.pk11 INCLUDING ALL); ALTER TABLE app.pk DETACH PARTITION app.pkd; ALTER TABLE app.pk ATTACH PARTITION app.n FOR VALUES IN (7); ALTER TABLE app.pk ATTACH PARTITION app.pkd DEFAULT
DROP INDEX app.pki
ALTER TYPE app.ct ADD ATTRIBUTE c integer CASCADE
ALTER TYPE app.ct RENAME ATTRIBUTE b TO bb CASCADE
ALTER TYPE app.ct ALTER ATTRIBUTE a TYPE bigint CASCADE
ALTER TYPE app.comp ADD ATTRIBUTE zz integer, DROP ATTRIBUTE y
ALTER TYPE app.comp DROP ATTRIBUTE x
DROP TYPE app.comp; CREATE TYPE app.comp AS (x bigint)
ALTER PUBLICATION pub2 DROP TABLE app.k
ALTER PUBLICATION pub2 SET TABLE app.k
ALTER PUBLICATION pub2 SET (publish = 'insert, update')
ALTER PUBLICATION pub RENAME TO pubx
ALTER PUBLICATION pub OWNER TO okto_r1
COMMENT ON PUBLICATION pub IS 'x'
CREATE PUBLICATION pub4 FOR TABLE app.c
DROP PUBLICATION pub
GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO okto_r1
REVOKE EXECUTE ON FUNCTION pg_catalog.pg_sleep(double precision) FROM PUBLIC
GRANT SELECT ON pg_catalog.pg_authid TO okto_r1
COMMENT ON TABLE pg_catalog.pg_class IS 'x'
COMMENT ON OPERATOR = (integer, integer) IS 'x'
COMMENT ON LANGUAGE plpgsql IS 'x'
COMMENT ON SERVER srv IS 'x'
CREATE CAST (app.comp AS text) WITH INOUT
CREATE OPERATOR app.=== (leftarg = integer, rightarg = integer, function = int4eq)
ALTER TABLE app.fd ALTER u DROP EXPRESSION
"""
"""forms without an inverse, one a line"""


@pytest.fixture(scope="module")
def template(server: Cluster) -> Iterator[str]:
    """Return the name of a database with rarer objects beside the usual ones, for copying."""
    if server.major < 15:
        pytest.skip("some of these objects are new in PostgreSQL 15")
    yield from test_inverse_ddl.made(server, test_inverse_ddl.WORLD + WORLD)


@pytest.fixture
def world(server: Cluster, template: str) -> Iterator[str]:
    """Return the connection string of a fresh world."""
    name = server.create(template)
    yield server.conninfo(name)
    server.drop(name)


@pytest.fixture
def session(world: str) -> Iterator[Session]:
    """Return a session on the world."""
    with connect("ledger", world) as session:
        yield session


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", EQUAL)
def test_each_form_is_taken_back(session: Session, world: str, group: str) -> None:
    """One after the other in one database; every undo finds things as its change left them."""
    before = dump(world)
    for number, change in enumerate(EQUAL[group].strip().splitlines()):
        apply(session, f"run {number}", *change.split(";"))
        take_back(session, f"run {number}")
    now = dump(world)
    assert now == before, sorted(set(now) ^ set(before))


@pytest.mark.timeout(600)
def test_forms_without_an_inverse_are_refused(session: Session, world: str) -> None:
    """Before COMMIT, with nothing changed."""
    before = dump(world)
    taken = []
    for change in REFUSED.strip().splitlines():
        try:
            apply(session, "run", *change.split(";"))
            taken.append(change)
        except NotReversible:
            pass
    assert not taken
    assert dump(world) == before
