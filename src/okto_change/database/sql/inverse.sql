-- The catalogue object by object, in parts that the server has quoted, so that an inverse can be put together from them.
-- To be run with an empty search_path, which qualifies every name.

-- name: inverse_settings
-- What the inverse runs under: names as they were read, function bodies not looked into, nothing placed by habit.
SELECT s.name, pg_catalog.current_setting(s.name), pg_catalog.set_config(s.name, s.value, true)
  FROM (VALUES ('search_path', ''), ('check_function_bodies', 'off'), ('default_tablespace', ''),
               ('default_table_access_method', 'heap'), ('xmloption', 'content')) AS s (name, value)

-- name: inverse_settings_back
SELECT pg_catalog.set_config(s.name, s.value, true) FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)

-- name: inverse_catalogue
-- Class, oid and column number name an object; ``parent`` is what it goes with. Parts without meaning for a kind are left out.
-- ``given`` are columns whose rows of before hold one value without having been written, in the table itself or in a part of it.
WITH RECURSIVE given (relid, attname) AS (
    SELECT a.attrelid, a.attname FROM pg_catalog.pg_attribute AS a WHERE a.atthasmissing
    UNION
    SELECT h.inhparent, g.attname FROM given AS g JOIN pg_catalog.pg_inherits AS h ON h.inhrelid = g.relid
), space AS (
    SELECT n.* FROM pg_catalog.pg_namespace AS n
     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'okto_change')
), rel AS (
    SELECT c.*, s.nspname, pg_catalog.format('%I.%I', s.nspname, c.relname) AS ref,
           CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view'
                WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence'
                WHEN 'c' THEN 'composite type' ELSE 'index' END AS kind
      FROM pg_catalog.pg_class AS c JOIN space AS s ON s.oid = c.relnamespace
), sequence AS (
    SELECT r.oid, r.ref, d.refobjid, d.refobjsubid, d.deptype,
           pg_catalog.jsonb_build_object('as', q.seqtypid::regtype::text, 'increment', q.seqincrement::text, 'minvalue', q.seqmin::text,
                                         'maxvalue', q.seqmax::text, 'start', q.seqstart::text, 'cache', q.seqcache::text, 'cycle', q.seqcycle) AS parts
      FROM rel AS r JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = r.oid
      LEFT JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid AND d.objsubid = 0
       AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
), line (class, oid, sub, kind, object, word, ref, parent, acl, facets) AS (
    SELECT 'pg_namespace', s.oid, 0, 'schema', pg_catalog.format('schema %I', s.nspname), 'SCHEMA', pg_catalog.quote_ident(s.nspname), NULL,
           coalesce(s.nspacl, pg_catalog.acldefault('n', s.nspowner)),
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(s.nspname), 'owner', s.nspowner::regrole)
      FROM space AS s WHERE s.nspname <> 'okto_trash'
    UNION ALL
    SELECT 'pg_class', r.oid, 0, r.kind, r.kind || ' ' || r.ref,
           CASE r.kind WHEN 'partitioned table' THEN 'TABLE' ELSE pg_catalog.upper(r.kind) END, r.ref,
           CASE r.kind WHEN 'index' THEN (SELECT 'pg_class:' || i.indrelid || ':0' FROM pg_catalog.pg_index AS i WHERE i.indexrelid = r.oid)
                WHEN 'sequence' THEN (SELECT 'pg_class:' || q.refobjid || ':' || q.refobjsubid FROM sequence AS q WHERE q.oid = r.oid) END,
           CASE WHEN r.kind <> 'index' THEN coalesce(r.relacl, pg_catalog.acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner)) END,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(r.relname), 'schema', pg_catalog.quote_ident(r.nspname), 'schema_id', r.relnamespace::text,
               'persistence', r.relpersistence,
               'options', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(pg_catalog.quote_ident(o.option_name), pg_catalog.quote_literal(o.option_value)))
                             FROM pg_catalog.pg_options_to_table(r.reloptions) AS o))
           || CASE WHEN r.kind = 'index' THEN '{}' ELSE pg_catalog.jsonb_build_object('owner', r.relowner::regrole) END
           || CASE WHEN r.relkind NOT IN ('r', 'p', 'm', 'i', 'I') THEN '{}' ELSE pg_catalog.jsonb_build_object('tablespace',
                  (SELECT pg_catalog.quote_ident(t.spcname) FROM pg_catalog.pg_tablespace AS t
                    WHERE t.oid = coalesce(nullif(r.reltablespace, 0), (SELECT b.dattablespace FROM pg_catalog.pg_database AS b
                                                                         WHERE b.datname = pg_catalog.current_database())))) END
           || CASE WHEN r.relkind NOT IN ('v', 'm') THEN '{}' ELSE pg_catalog.jsonb_build_object('def', pg_catalog.pg_get_viewdef(r.oid),
                  'populated', r.relispopulated) END
           || CASE WHEN r.relkind NOT IN ('r', 'm') THEN '{}' ELSE pg_catalog.jsonb_build_object(
                  'am', (SELECT pg_catalog.quote_ident(m.amname) FROM pg_catalog.pg_am AS m WHERE m.oid = r.relam),
                  'toast', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array('toast.' || pg_catalog.quote_ident(o.option_name), pg_catalog.quote_literal(o.option_value)))
                              FROM pg_catalog.pg_class AS t CROSS JOIN LATERAL pg_catalog.pg_options_to_table(t.reloptions) AS o
                             WHERE t.oid = r.reltoastrelid),
                  'clustered', (SELECT pg_catalog.quote_ident(x.relname) FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid
                                 WHERE i.indrelid = r.oid AND i.indisclustered)) END
           || CASE WHEN r.relkind NOT IN ('r', 'p', 'f') THEN '{}' ELSE pg_catalog.jsonb_build_object(
                  'row_security', r.relrowsecurity, 'forced', r.relforcerowsecurity, 'partition_key', pg_catalog.pg_get_partkeydef(r.oid),
                  'of_type', nullif(r.reloftype, 0)::regtype, 'bound', pg_catalog.pg_get_expr(r.relpartbound, r.oid),
                  'parents', (SELECT pg_catalog.jsonb_agg(h.inhparent::regclass::text ORDER BY h.inhseqno)
                                FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = r.oid),
                  'replica_identity', CASE r.relreplident WHEN 'd' THEN 'DEFAULT' WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE
                      (SELECT 'USING INDEX ' || pg_catalog.quote_ident(x.relname) FROM pg_catalog.pg_index AS i
                         JOIN pg_catalog.pg_class AS x ON x.oid = i.indexrelid WHERE i.indrelid = r.oid AND i.indisreplident) END,
                  'silenced', (SELECT pg_catalog.jsonb_agg(k.conname || ' ' || g.tgenabled::text || ' ' || g.tgtype ORDER BY k.conname, g.tgtype)
                                 FROM pg_catalog.pg_trigger AS g LEFT JOIN pg_catalog.pg_constraint AS k ON k.oid = g.tgconstraint
                                WHERE g.tgrelid = r.oid AND g.tgisinternal AND g.tgenabled <> 'O'),
                  'foreign', (SELECT pg_catalog.jsonb_build_object('server', f.ftserver, 'options', f.ftoptions)
                                FROM pg_catalog.pg_foreign_table AS f WHERE f.ftrelid = r.oid)) END
           || CASE WHEN r.kind <> 'sequence' THEN '{}' ELSE (SELECT pg_catalog.jsonb_build_object('sequence', q.parts, 'filenode', r.relfilenode,
                  'readable', pg_catalog.has_sequence_privilege(r.oid, 'SELECT'), 'internal', coalesce(q.deptype = 'i', false),
                  'owned_by', CASE WHEN q.deptype = 'a' THEN q.refobjid::regclass || '.' || (SELECT pg_catalog.quote_ident(a.attname)
                      FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = q.refobjid AND a.attnum = q.refobjsubid) END)
                  FROM sequence AS q WHERE q.oid = r.oid) END
           || CASE WHEN r.kind <> 'index' THEN '{}' ELSE (SELECT pg_catalog.jsonb_build_object('def', pg_catalog.pg_get_indexdef(i.indexrelid),
                  'valid', i.indisvalid, 'inherited', EXISTS (SELECT FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = r.oid),
                  'constrains', EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conindid = r.oid AND k.contype IN ('p', 'u', 'x')),
                  'statistics', (SELECT pg_catalog.jsonb_object_agg(a.attnum, a.attstattarget) FROM pg_catalog.pg_attribute AS a
                                  WHERE a.attrelid = r.oid AND coalesce(a.attstattarget, -1) <> -1))
                  FROM pg_catalog.pg_index AS i WHERE i.indexrelid = r.oid) END
      FROM rel AS r WHERE r.kind <> 'composite type'
    UNION ALL
    SELECT 'pg_class', r.oid, a.attnum, CASE r.kind WHEN 'composite type' THEN 'attribute' ELSE 'column' END,
           pg_catalog.format('column %s.%I', r.ref, a.attname), 'COLUMN', pg_catalog.format('%s.%I', r.ref, a.attname),
           CASE r.kind WHEN 'composite type' THEN 'pg_type:' || r.reltype ELSE 'pg_class:' || r.oid END || ':0', a.attacl,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(a.attname), 'table', r.ref, 'of', r.kind,
               'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'type_id', a.atttypid || ' ' || a.atttypmod,
               'element', (SELECT t.typelem::text FROM pg_catalog.pg_type AS t WHERE t.oid = a.atttypid AND t.typcategory = 'A' AND t.typelem <> 0),
               'collation', (SELECT a.attcollation::regcollation::text FROM pg_catalog.pg_type AS t
                              WHERE t.oid = a.atttypid AND a.attcollation <> 0 AND t.typcollation <> a.attcollation),
               'not_null', CASE WHEN r.relkind NOT IN ('r', 'p') OR pg_catalog.current_setting('server_version_num')::integer < 180000 THEN a.attnotnull END,
               'default', CASE WHEN a.attgenerated = '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
               'generated', CASE WHEN a.attgenerated <> '' THEN a.attgenerated::text || ' ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
               'identity', CASE a.attidentity WHEN 'a' THEN 'ALWAYS' WHEN 'd' THEN 'BY DEFAULT' END,
               'sequence', (SELECT q.parts || pg_catalog.jsonb_build_object('name', q.ref) FROM sequence AS q
                             WHERE q.refobjid = r.oid AND q.refobjsubid = a.attnum AND q.deptype = 'i'),
               'storage', a.attstorage, 'compression', pg_catalog.to_jsonb(a) ->> 'attcompression', 'statistics', nullif(a.attstattarget, -1),
               'options', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(pg_catalog.quote_ident(o.option_name), pg_catalog.quote_literal(o.option_value)))
                             FROM pg_catalog.pg_options_to_table(a.attoptions) AS o),
               'foreign', a.attfdwoptions, 'inherited', a.attinhcount > 0,
               'constant', g.relid IS NOT NULL)
      FROM rel AS r
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND r.kind NOT IN ('index', 'sequence')
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      LEFT JOIN given AS g ON g.relid = a.attrelid AND g.attname = a.attname
    UNION ALL
    SELECT 'pg_constraint', k.oid, 0, 'constraint', pg_catalog.format('constraint %I on %s', k.conname, o.ref), 'CONSTRAINT',
           pg_catalog.format('%I ON %s%s', k.conname, CASE WHEN k.conrelid = 0 THEN 'DOMAIN ' END, o.ref),
           CASE WHEN k.conrelid <> 0 THEN 'pg_class:' || k.conrelid ELSE 'pg_type:' || k.contypid END || ':0', NULL,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(k.conname), 'table', o.ref, 'domain', k.conrelid = 0, 'type', k.contype,
               'def', pg_catalog.pg_get_constraintdef(k.oid), 'inherited', k.conparentid <> 0 OR k.coninhcount > 0,
               'index', CASE WHEN k.contype IN ('p', 'u', 'x') THEN (SELECT pg_catalog.quote_ident(x.relname) FROM pg_catalog.pg_class AS x WHERE x.oid = k.conindid) END)
      FROM pg_catalog.pg_constraint AS k JOIN space AS s ON s.oid = k.connamespace
     CROSS JOIN LATERAL (SELECT CASE WHEN k.conrelid <> 0 THEN k.conrelid::regclass::text ELSE k.contypid::regtype::text END) AS o (ref)
     WHERE k.contype <> 't' AND NOT (k.contype = 'n' AND k.contypid <> 0)
    UNION ALL
    SELECT 'pg_trigger', g.oid, 0, 'trigger', pg_catalog.format('trigger %I on %s', g.tgname, r.ref), 'TRIGGER', pg_catalog.format('%I ON %s', g.tgname, r.ref),
           'pg_class:' || r.oid || ':0', NULL,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(g.tgname), 'table', r.ref, 'def', pg_catalog.pg_get_triggerdef(g.oid),
                                         'enabled', g.tgenabled, 'inherited', g.tgparentid <> 0)
      FROM rel AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid AND NOT g.tgisinternal
      JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
       AND p.pronamespace IS DISTINCT FROM pg_catalog.to_regnamespace('okto_change')
    UNION ALL
    SELECT 'pg_rewrite', u.oid, 0, 'rule', pg_catalog.format('rule %I on %s', u.rulename, r.ref), 'RULE', pg_catalog.format('%I ON %s', u.rulename, r.ref),
           'pg_class:' || r.oid || ':0', NULL,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(u.rulename), 'table', r.ref, 'def', pg_catalog.pg_get_ruledef(u.oid), 'enabled', u.ev_enabled)
      FROM rel AS r JOIN pg_catalog.pg_rewrite AS u ON u.ev_class = r.oid AND u.rulename <> '_RETURN'
    UNION ALL
    SELECT 'pg_policy', p.oid, 0, 'policy', pg_catalog.format('policy %I on %s', p.polname, r.ref), 'POLICY', pg_catalog.format('%I ON %s', p.polname, r.ref),
           'pg_class:' || r.oid || ':0', NULL,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(p.polname), 'table', r.ref, 'def',
               pg_catalog.format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, r.ref,
                   CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                   CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                   (SELECT pg_catalog.string_agg(CASE WHEN o = 0 THEN 'PUBLIC' ELSE o::regrole::text END, ', ' ORDER BY o::regrole::text COLLATE "C")
                      FROM pg_catalog.unnest(p.polroles) AS o))
               || coalesce(' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
               || coalesce(' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''))
      FROM rel AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
    UNION ALL
    SELECT 'pg_proc', p.oid, 0, 'routine', 'routine ' || o.ref,
           CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, o.ref, NULL,
           coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)),
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(p.proname), 'schema', pg_catalog.quote_ident(s.nspname), 'schema_id', s.oid::text, 'owner', p.proowner::regrole,
               'def', CASE WHEN p.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(p.oid) END,
               'aggregate', (SELECT a::text FROM pg_catalog.pg_aggregate AS a WHERE a.aggfnoid = p.oid))
      FROM pg_catalog.pg_proc AS p JOIN space AS s ON s.oid = p.pronamespace
     CROSS JOIN LATERAL (SELECT pg_catalog.format('%I.%I(%s)', s.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid))) AS o (ref)
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i')
    UNION ALL
    SELECT 'pg_type', t.oid, 0, CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' WHEN 'c' THEN 'composite type' ELSE 'base type' END,
           pg_catalog.format('type %I.%I', s.nspname, t.typname), CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
           pg_catalog.format('%I.%I', s.nspname, t.typname), NULL, coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner)),
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(t.typname), 'schema', pg_catalog.quote_ident(s.nspname), 'schema_id', s.oid::text, 'owner', t.typowner::regrole,
               'labels', (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(e.oid, pg_catalog.quote_literal(e.enumlabel)) ORDER BY e.enumsortorder)
                            FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid),
               'base', CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END,
               'collation', (SELECT t.typcollation::regcollation::text FROM pg_catalog.pg_type AS b
                              WHERE b.oid = t.typbasetype AND t.typcollation <> 0 AND b.typcollation <> t.typcollation),
               'not_null', t.typnotnull, 'default', CASE WHEN t.typtype = 'd' THEN t.typdefault END,
               'attributes', (SELECT pg_catalog.jsonb_agg(pg_catalog.concat_ws(' ', pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod),
                                         CASE WHEN a.attcollation <> 0 AND b.typcollation <> a.attcollation THEN 'COLLATE ' || a.attcollation::regcollation END) ORDER BY a.attnum)
                                FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS b ON b.oid = a.atttypid
                               WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
               'range', (SELECT pg_catalog.concat_ws(', ', 'SUBTYPE = ' || g.rngsubtype::regtype,
                                    'SUBTYPE_OPCLASS = ' || (SELECT pg_catalog.format('%I.%I', n.nspname, o.opcname) FROM pg_catalog.pg_opclass AS o
                                                               JOIN pg_catalog.pg_namespace AS n ON n.oid = o.opcnamespace WHERE o.oid = g.rngsubopc),
                                    'MULTIRANGE_TYPE_NAME = ' || (pg_catalog.to_jsonb(g) ->> 'rngmultitypid')::oid::regtype,
                                    'COLLATION = ' || nullif(g.rngcollation, 0)::regcollation,
                                    'SUBTYPE_DIFF = ' || nullif(g.rngsubdiff, 0)::regproc, 'CANONICAL = ' || nullif(g.rngcanonical, 0)::regproc)
                           FROM pg_catalog.pg_range AS g WHERE g.rngtypid = t.oid))
      FROM pg_catalog.pg_type AS t JOIN space AS s ON s.oid = t.typnamespace
     WHERE t.typtype <> 'm' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = t.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
    UNION ALL
    SELECT 'pg_statistic_ext', x.oid, 0, 'statistics', pg_catalog.format('statistics %I.%I', s.nspname, x.stxname), 'STATISTICS',
           pg_catalog.format('%I.%I', s.nspname, x.stxname), 'pg_class:' || x.stxrelid || ':0', NULL,
           pg_catalog.jsonb_build_object('name', pg_catalog.quote_ident(x.stxname), 'schema', pg_catalog.quote_ident(s.nspname), 'schema_id', s.oid::text, 'owner', x.stxowner::regrole,
               'def', pg_catalog.pg_get_statisticsobjdef(x.oid), 'statistics', nullif((pg_catalog.to_jsonb(x) ->> 'stxstattarget')::integer, -1))
      FROM pg_catalog.pg_statistic_ext AS x JOIN space AS s ON s.oid = x.stxnamespace
    UNION ALL
    SELECT 'pg_extension', e.oid, 0, 'extension', pg_catalog.format('extension %I', e.extname), 'EXTENSION', pg_catalog.quote_ident(e.extname), NULL, NULL,
           pg_catalog.jsonb_build_object('version', e.extversion, 'schema', e.extnamespace::regnamespace, 'owner', e.extowner::regrole)
      FROM pg_catalog.pg_extension AS e
    UNION ALL
    SELECT 'pg_publication_rel', p.oid, 0, 'published table', pg_catalog.format('publication %I of %s', b.pubname, p.prrelid::regclass), '', pg_catalog.quote_ident(b.pubname),
           NULL, NULL, pg_catalog.jsonb_build_object('table', p.prrelid::regclass,
               'partly', (pg_catalog.to_jsonb(p) ->> 'prattrs') IS NOT NULL OR (pg_catalog.to_jsonb(p) ->> 'prqual') IS NOT NULL)
      FROM pg_catalog.pg_publication_rel AS p JOIN pg_catalog.pg_publication AS b ON b.oid = p.prpubid
    UNION ALL
    SELECT 'pg_default_acl', d.oid, 0, 'default privileges',
           pg_catalog.format('default privileges of %s in %s on %s', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace, d.defaclobjtype), '',
           pg_catalog.format('FOR ROLE %s', d.defaclrole::regrole) || coalesce(' IN SCHEMA ' || nullif(d.defaclnamespace, 0)::regnamespace, ''),
           NULL, d.defaclacl,
           pg_catalog.jsonb_build_object(
               'objects', CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
               'standard', CASE WHEN d.defaclnamespace = 0 THEN (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(g.grantor::regrole,
                       CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.privilege_type, g.is_grantable))
                   FROM pg_catalog.aclexplode(pg_catalog.acldefault(CASE d.defaclobjtype WHEN 'S' THEN 's' ELSE d.defaclobjtype END::"char", d.defaclrole)) AS g) END)
      FROM pg_catalog.pg_default_acl AS d
), member AS (
    SELECT d.classid, d.objid, 'pg_extension:' || d.refobjid || ':0' AS extension
      FROM pg_catalog.pg_depend AS d WHERE d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::regclass
)
SELECT l.class || ':' || l.oid || ':' || l.sub, l.kind, l.object, l.word, l.ref, coalesce(m.extension, l.parent, ''),
       l.facets || pg_catalog.jsonb_build_object('comment', c.description, 'acl',
           (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(g.grantor::regrole,
                       CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, g.privilege_type, g.is_grantable)
                       ORDER BY g.grantor::regrole::text, g.grantee::regrole::text, g.privilege_type)
              FROM pg_catalog.aclexplode(l.acl) AS g))
  FROM line AS l
  LEFT JOIN member AS m ON m.classid = ('pg_catalog.' || l.class)::regclass AND m.objid = l.oid AND l.sub = 0
  LEFT JOIN pg_catalog.pg_description AS c ON c.classoid = ('pg_catalog.' || l.class)::regclass AND c.objoid = l.oid AND c.objsubid = l.sub

-- name: inverse_turn
-- Some DDL (ALTER DOMAIN ... DROP CONSTRAINT) leaves the server with news of the catalogue that no DDL in a savepoint may
-- follow; a command that could write, although it does not, has it read them.
UPDATE okto_change.inverse SET text = text WHERE false

-- name: inverse_keep
INSERT INTO okto_change.inverse (run, unit, position, kind, text, message)
SELECT %(run)s, %(unit)s, i.position, i.kind, i.text, i.message
  FROM unnest(%(kinds)s::text[], %(texts)s::text[], %(messages)s::text[]) WITH ORDINALITY AS i (kind, text, message, position)

-- name: inverse_kept
SELECT i.kind, i.text, i.message FROM okto_change.inverse AS i WHERE i.run = %(run)s AND i.unit = %(unit)s ORDER BY i.position

-- name: inverse_keep_definitions
INSERT INTO okto_change.definition (run, unit, object, before, after)
SELECT %(run)s, %(unit)s, d.object, d.before, d.after
  FROM unnest(%(objects)s::text[], %(before)s::text[], %(after)s::text[]) AS d (object, before, after)

-- name: inverse_kept_definitions
SELECT d.object, d.before, d.after FROM okto_change.definition AS d WHERE d.run = %(run)s AND d.unit = %(unit)s ORDER BY d.object

-- name: inverse_trash
-- Made when first needed; nobody but its owner may look into it.
DO $$
BEGIN
    IF pg_catalog.to_regnamespace('okto_trash') IS NULL THEN
        CREATE SCHEMA okto_trash;
        COMMENT ON SCHEMA okto_trash IS 'Tables that okto-change put aside instead of dropping them; okto_change.trash says which.';
    END IF;
    IF (SELECT NOT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'okto_trash') THEN
        RAISE EXCEPTION 'schema okto_trash belongs to somebody else' USING ERRCODE = 'insufficient_privilege';
    END IF;
    REVOKE ALL ON SCHEMA okto_trash FROM PUBLIC;
END
$$

-- name: inverse_trash_names
-- Names that nothing else has: oids are unique, and what is put aside keeps its own.
SELECT n.id, pg_catalog.quote_ident(n.name::name::text)
  FROM (SELECT pg_catalog.concat('pg_class:', c.oid, ':0'), pg_catalog.concat(c.oid, '_', c.relname) FROM pg_catalog.pg_class AS c
        UNION ALL
        SELECT pg_catalog.concat('pg_class:', a.attrelid, ':', a.attnum), pg_catalog.concat('okto_gone_', a.attnum, '_', a.attname) FROM pg_catalog.pg_attribute AS a
        UNION ALL
        SELECT pg_catalog.concat('pg_namespace:', s.oid, ':0'), pg_catalog.concat('okto_trash_', s.oid, '_', s.nspname) FROM pg_catalog.pg_namespace AS s) AS n (id, name)
 WHERE n.id = ANY (%(ids)s)

-- name: inverse_trash_keep
INSERT INTO okto_change.trash (run, unit, object, place)
SELECT %(run)s, %(unit)s, t.object, t.place FROM unnest(%(objects)s::text[], %(places)s::text[]) AS t (object, place)

-- name: inverse_trash_there
SELECT pg_catalog.to_regclass('okto_change.trash') IS NOT NULL

-- name: inverse_trash_list
-- What runs of this environment put aside, that was not brought back and is still where it was put; with what drops it for good.
SELECT a.change, t.run, t.object, t.place, t.at, p.bytes, p.statement
  FROM okto_change.trash AS t
  JOIN okto_change.applied AS a ON a.run = t.run AND a.unit = t.unit AND a.undone_by IS NULL
 CROSS JOIN LATERAL (
    SELECT pg_catalog.pg_total_relation_size(c.oid),
           pg_catalog.format('DROP %%s %%I.%%I', CASE c.relkind WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, n.nspname, c.relname)
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = 'okto_trash' AND c.relkind IN ('r', 'p', 'f') AND t.place LIKE '%%TABLE ' || pg_catalog.format('%%I.%%I', n.nspname, c.relname)
    UNION ALL
    SELECT NULL, pg_catalog.format('ALTER TABLE %%I.%%I DROP COLUMN %%I', n.nspname, c.relname, b.attname)
      FROM pg_catalog.pg_attribute AS b JOIN pg_catalog.pg_class AS c ON c.oid = b.attrelid
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
     WHERE b.attname::text LIKE 'okto\_gone\_%%' AND NOT b.attisdropped AND c.relkind IN ('r', 'p', 'f')
       AND t.place = 'COLUMN ' || pg_catalog.format('%%I.%%I.%%I', n.nspname, c.relname, b.attname)
    UNION ALL
    SELECT (SELECT pg_catalog.sum(pg_catalog.pg_total_relation_size(c.oid))::bigint FROM pg_catalog.pg_class AS c
             WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'm')), pg_catalog.format('DROP SCHEMA %%I CASCADE', n.nspname)
      FROM pg_catalog.pg_namespace AS n WHERE t.place = 'SCHEMA ' || pg_catalog.quote_ident(n.nspname)
 ) AS p (bytes, statement)
 WHERE a.environment = %(environment)s
 ORDER BY t.at, t.object
