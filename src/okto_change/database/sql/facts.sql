-- What a table is, line by line, for a fingerprint. To be run with an empty search_path, which qualifies every name.

-- name: definitions
-- Only what changes the meaning of a change: no statistics, no storage, no comments, no partitions that come and go.
WITH t AS (
    SELECT c.* FROM pg_catalog.pg_class AS c WHERE c.oid = ANY (%(oids)s)
), line (oid, kind, name, text) AS (
    SELECT t.oid, 'table', '', pg_catalog.concat_ws(' ', t.relkind, t.relpersistence, t.relrowsecurity, t.relforcerowsecurity,
                                         pg_catalog.pg_get_partkeydef(t.oid), pg_catalog.pg_get_expr(t.relpartbound, t.oid),
                                         CASE WHEN t.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(t.oid) END)
      FROM t
    UNION ALL
    SELECT t.oid, 'column', a.attname,
           pg_catalog.concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnum, a.attnotnull, a.attidentity,
                     a.attgenerated, a.attcollation::regcollation, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
      FROM t
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT t.oid, 'constraint', k.conname, pg_catalog.pg_get_constraintdef(k.oid) || ' ' || k.convalidated
      FROM t JOIN pg_catalog.pg_constraint AS k ON k.conrelid = t.oid AND k.contype <> 't'
    UNION ALL
    SELECT t.oid, 'referenced by', k.conrelid::regclass || '.' || k.conname, pg_catalog.pg_get_constraintdef(k.oid)
      FROM t JOIN pg_catalog.pg_constraint AS k ON k.confrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0
    UNION ALL
    SELECT t.oid, 'index', i.indexrelid::regclass::text, pg_catalog.pg_get_indexdef(i.indexrelid) || ' ' || i.indisvalid
      FROM t JOIN pg_catalog.pg_index AS i ON i.indrelid = t.oid
    UNION ALL
    SELECT t.oid, 'trigger', g.tgname,
           pg_catalog.pg_get_triggerdef(g.oid) || ' ' || g.tgenabled::text || ' ' || pg_catalog.md5(pg_catalog.pg_get_functiondef(g.tgfoid))
      FROM t
      JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
      JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
       AND p.pronamespace IS DISTINCT FROM pg_catalog.to_regnamespace('okto_change')
    UNION ALL
    SELECT t.oid, 'rule', r.rulename, pg_catalog.pg_get_ruledef(r.oid) || ' ' || r.ev_enabled::text
      FROM t JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = t.oid AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT t.oid, 'policy', p.polname,
           pg_catalog.concat_ws(' ', p.polcmd, p.polpermissive,
                     (SELECT pg_catalog.string_agg(r::regrole::text, ',' ORDER BY r::regrole::text COLLATE "C")
                        FROM pg_catalog.unnest(p.polroles) AS u (r)),
                     pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
      FROM t JOIN pg_catalog.pg_policy AS p ON p.polrelid = t.oid
)
SELECT l.oid, pg_catalog.string_agg(pg_catalog.concat_ws(' ', l.kind, l.name, l.text), E'\n'
                                    ORDER BY l.kind COLLATE "C", l.name COLLATE "C", l.text COLLATE "C")
  FROM line AS l
 GROUP BY l.oid

-- name: fingerprint
-- Every object of the database but the system's and ours, with all that defines it: what a change and its undo may not leave
-- different. Privileges that were never granted count as their defaults. Capture triggers of ours are left out.
WITH space AS (
    SELECT n.* FROM pg_catalog.pg_namespace AS n
     WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'okto_change')
), rel AS (
    SELECT c.*, s.nspname, pg_catalog.format('%I.%I', s.nspname, c.relname) AS name,
           CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'composite type' ELSE 'index' END AS word
      FROM pg_catalog.pg_class AS c JOIN space AS s ON s.oid = c.relnamespace
), routine AS (
    SELECT p.*, pg_catalog.format('%I.%I(%s)', s.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) AS name
      FROM pg_catalog.pg_proc AS p JOIN space AS s ON s.oid = p.pronamespace
), line (object, definition) AS (
    SELECT pg_catalog.format('schema %I', s.nspname),
           pg_catalog.concat_ws(' ', s.nspowner::regrole, ARRAY(SELECT g::text FROM pg_catalog.unnest(coalesce(s.nspacl, pg_catalog.acldefault('n', s.nspowner))) AS g ORDER BY 1),
                                pg_catalog.obj_description(s.oid, 'pg_namespace'))
      FROM space AS s
    UNION ALL
    SELECT r.word || ' ' || r.name,
           pg_catalog.concat_ws(' | ', r.relpersistence, r.relrowsecurity, r.relforcerowsecurity, r.relreplident, r.reloptions,
               r.relowner::regrole, (SELECT t.spcname FROM pg_catalog.pg_tablespace AS t WHERE t.oid = r.reltablespace),
               (SELECT m.amname FROM pg_catalog.pg_am AS m WHERE m.oid = r.relam), nullif(r.reloftype, 0)::regtype,
               ARRAY(SELECT g::text FROM pg_catalog.unnest(coalesce(r.relacl, pg_catalog.acldefault(CASE r.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", r.relowner))) AS g ORDER BY 1),
               pg_catalog.pg_get_partkeydef(r.oid), pg_catalog.pg_get_expr(r.relpartbound, r.oid),
               CASE WHEN r.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(r.oid) END,
               (SELECT pg_catalog.string_agg(h.inhparent::regclass || ' ' || h.inhseqno, ', ' ORDER BY h.inhseqno)
                  FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid = r.oid),
               (SELECT pg_catalog.concat_ws(' ', q.seqtypid::regtype, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
                  FROM pg_catalog.pg_sequence AS q WHERE q.seqrelid = r.oid),
               (SELECT pg_catalog.string_agg(pg_catalog.pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid), ', ')
                  FROM pg_catalog.pg_depend AS d WHERE r.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = r.oid
                   AND d.deptype IN ('a', 'i')),
               (SELECT pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered, i.indisreplident)
                  FROM pg_catalog.pg_index AS i WHERE i.indexrelid = r.oid),
               (SELECT pg_catalog.concat_ws(' ', f.ftserver, f.ftoptions) FROM pg_catalog.pg_foreign_table AS f WHERE f.ftrelid = r.oid),
               pg_catalog.obj_description(r.oid, 'pg_class'))
      FROM rel AS r
    UNION ALL
    SELECT pg_catalog.format('column %s.%I', r.name, a.attname),
           pg_catalog.concat_ws(' | ', pg_catalog.row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
               pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
               a.attcollation::regcollation, a.attstorage, pg_catalog.to_jsonb(a) ->> 'attcompression', a.attislocal, a.attinhcount,
               nullif(a.attstattarget, -1), a.attoptions, a.attfdwoptions,
               ARRAY(SELECT g::text FROM pg_catalog.unnest(a.attacl) AS g ORDER BY 1), pg_catalog.pg_get_expr(d.adbin, d.adrelid),
               pg_catalog.col_description(r.oid, a.attnum))
      FROM rel AS r
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped AND r.word <> 'index'
      LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT pg_catalog.format('constraint %I on %s', k.conname,
                             CASE WHEN k.conrelid <> 0 THEN k.conrelid::regclass::text ELSE k.contypid::regtype::text END),
           pg_catalog.concat_ws(' | ', pg_catalog.pg_get_constraintdef(k.oid), k.convalidated, k.conislocal, k.coninhcount,
                                pg_catalog.obj_description(k.oid, 'pg_constraint'))
      FROM pg_catalog.pg_constraint AS k JOIN space AS s ON s.oid = k.connamespace
     WHERE k.contype <> 't'
    UNION ALL
    SELECT pg_catalog.format('trigger %I on %s', g.tgname, r.name),
           pg_catalog.concat_ws(' | ', pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled, pg_catalog.obj_description(g.oid, 'pg_trigger'))
      FROM rel AS r JOIN pg_catalog.pg_trigger AS g ON g.tgrelid = r.oid AND NOT g.tgisinternal
      JOIN pg_catalog.pg_proc AS p ON p.oid = g.tgfoid
       AND p.pronamespace IS DISTINCT FROM pg_catalog.to_regnamespace('okto_change')
    UNION ALL
    SELECT pg_catalog.format('rule %I on %s', u.rulename, r.name),
           pg_catalog.concat_ws(' | ', pg_catalog.pg_get_ruledef(u.oid), u.ev_enabled, pg_catalog.obj_description(u.oid, 'pg_rewrite'))
      FROM rel AS r JOIN pg_catalog.pg_rewrite AS u ON u.ev_class = r.oid AND u.rulename <> '_RETURN'
    UNION ALL
    SELECT pg_catalog.format('policy %I on %s', p.polname, r.name),
           pg_catalog.concat_ws(' | ', p.polcmd, p.polpermissive,
               (SELECT pg_catalog.string_agg(o::regrole::text, ',' ORDER BY o::regrole::text COLLATE "C") FROM pg_catalog.unnest(p.polroles) AS o),
               pg_catalog.pg_get_expr(p.polqual, p.polrelid), pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
               pg_catalog.obj_description(p.oid, 'pg_policy'))
      FROM rel AS r JOIN pg_catalog.pg_policy AS p ON p.polrelid = r.oid
    UNION ALL
    SELECT 'routine ' || p.name,
           pg_catalog.concat_ws(' | ', CASE WHEN p.prokind <> 'a' THEN pg_catalog.pg_get_functiondef(p.oid) END,
               (SELECT a::text FROM pg_catalog.pg_aggregate AS a WHERE a.aggfnoid = p.oid), p.proowner::regrole,
               ARRAY(SELECT g::text FROM pg_catalog.unnest(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) AS g ORDER BY 1), pg_catalog.obj_description(p.oid, 'pg_proc'))
      FROM routine AS p
    UNION ALL
    SELECT pg_catalog.format('type %I.%I', s.nspname, t.typname),
           pg_catalog.concat_ws(' | ', t.typtype, t.typowner::regrole, ARRAY(SELECT g::text FROM pg_catalog.unnest(coalesce(t.typacl, pg_catalog.acldefault('T', t.typowner))) AS g ORDER BY 1),
               CASE WHEN t.typtype = 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod) END, t.typnotnull, t.typdefault,
               t.typcollation::regcollation,
               (SELECT pg_catalog.string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum AS e WHERE e.enumtypid = t.oid),
               (SELECT pg_catalog.concat_ws(' ', g.rngsubtype::regtype, g.rngcollation::regcollation, g.rngcanonical, g.rngsubdiff)
                  FROM pg_catalog.pg_range AS g WHERE g.rngtypid = t.oid),
               pg_catalog.obj_description(t.oid, 'pg_type'))
      FROM pg_catalog.pg_type AS t JOIN space AS s ON s.oid = t.typnamespace
     WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_type AS e WHERE e.typarray = t.oid)
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
    UNION ALL
    SELECT pg_catalog.format('statistics %I.%I', s.nspname, x.stxname),
           pg_catalog.concat_ws(' | ', pg_catalog.pg_get_statisticsobjdef(x.oid), x.stxowner::regrole,
                                pg_catalog.obj_description(x.oid, 'pg_statistic_ext'))
      FROM pg_catalog.pg_statistic_ext AS x JOIN space AS s ON s.oid = x.stxnamespace
    UNION ALL
    SELECT pg_catalog.format('extension %I', e.extname), pg_catalog.concat_ws(' ', e.extversion, e.extnamespace::regnamespace, e.extowner::regrole)
      FROM pg_catalog.pg_extension AS e
    UNION ALL
    SELECT pg_catalog.format('event trigger %I', v.evtname),
           pg_catalog.concat_ws(' ', v.evtevent, v.evtfoid::regprocedure, v.evtenabled, v.evttags, v.evtowner::regrole)
      FROM pg_catalog.pg_event_trigger AS v
    UNION ALL
    SELECT pg_catalog.format('default privileges of %s in %s on %s', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace, d.defaclobjtype),
           ARRAY(SELECT g::text FROM pg_catalog.unnest(d.defaclacl) AS g ORDER BY 1)::text
      FROM pg_catalog.pg_default_acl AS d
    UNION ALL
    SELECT i.type || ' ' || i.identity, pg_catalog.obj_description(o.oid, o.catalogue::name)
      FROM (SELECT 'pg_operator', oid FROM pg_catalog.pg_operator UNION ALL SELECT 'pg_opclass', oid FROM pg_catalog.pg_opclass
            UNION ALL SELECT 'pg_opfamily', oid FROM pg_catalog.pg_opfamily UNION ALL SELECT 'pg_cast', oid FROM pg_catalog.pg_cast
            UNION ALL SELECT 'pg_collation', oid FROM pg_catalog.pg_collation UNION ALL SELECT 'pg_conversion', oid FROM pg_catalog.pg_conversion
            UNION ALL SELECT 'pg_ts_config', oid FROM pg_catalog.pg_ts_config UNION ALL SELECT 'pg_ts_dict', oid FROM pg_catalog.pg_ts_dict
            UNION ALL SELECT 'pg_language', oid FROM pg_catalog.pg_language UNION ALL SELECT 'pg_publication', oid FROM pg_catalog.pg_publication
            UNION ALL SELECT 'pg_publication_rel', oid FROM pg_catalog.pg_publication_rel
            UNION ALL SELECT 'pg_foreign_server', oid FROM pg_catalog.pg_foreign_server) AS o (catalogue, oid)
     CROSS JOIN LATERAL pg_catalog.pg_identify_object(('pg_catalog.' || o.catalogue)::regclass, o.oid, 0) AS i
     WHERE o.oid >= 16384
)
SELECT l.object, pg_catalog.string_agg(coalesce(l.definition, ''), E'\n' ORDER BY l.definition COLLATE "C") FROM line AS l GROUP BY l.object

-- name: fingerprint_places
-- Where the rows of each table lie and which columns they have: equal as long as nothing rewrote, dropped or made them anew.
SELECT n.nspname::text, c.relname::text, pg_catalog.concat_ws(' ', c.oid, c.relfilenode,
           (SELECT pg_catalog.string_agg(a.attnum || ':' || a.atttypid || ':' || a.atttypmod, ',' ORDER BY a.attnum)
              FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)),
       (SELECT pg_catalog.array_agg(a.attname::text ORDER BY a.attname)
          FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'okto_change')
