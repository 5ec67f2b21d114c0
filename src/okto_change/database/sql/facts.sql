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
