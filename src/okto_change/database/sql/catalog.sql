-- What the live catalogue says of the relations and functions that a plan names. Only catalogue reads: no privilege needed.
-- unnest with several arrays is grammar that the server resolves to its own function, whatever the search_path.

-- name: resolve_relations
-- A name without schema (empty, since array_nulls may be off) is what the search_path shows; one with a schema needs no USAGE on it.
SELECT w.name, c.oid
  FROM unnest(%(names)s::text[], %(schemas)s::text[], %(relations)s::text[]) AS w (name, schema, relation)
  JOIN pg_catalog.pg_class AS c ON c.relname = w.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE CASE WHEN w.schema = '' THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname = w.schema END
 ORDER BY w.schema

-- name: resolve_functions
-- The worst volatility among the overloads: volatile, then stable, then immutable.
SELECT w.name, pg_catalog.max(CASE p.provolatile WHEN 'v' THEN '3v' WHEN 's' THEN '2s' ELSE '1i' END)
  FROM unnest(%(names)s::text[], %(schemas)s::text[], %(relations)s::text[]) AS w (name, schema, relation)
  JOIN pg_catalog.pg_proc AS p ON p.proname = w.relation
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
 WHERE CASE WHEN w.schema = '' THEN pg_catalog.pg_function_is_visible(p.oid) ELSE n.nspname = w.schema END
 GROUP BY w.name

-- name: relations
-- A partitioned table often has no estimate of its own: then the sum of its leaves, -1 when none is known.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text, pg_catalog.pg_get_userbyid(c.relowner)::text,
       c.relrowsecurity,
       CASE WHEN c.reltuples > 0::real OR (c.reltuples = 0::real AND c.relpages > 0) THEN c.reltuples::bigint
            WHEN c.relkind = 'p' THEN coalesce(
                (SELECT pg_catalog.sum(l.reltuples)::bigint
                   FROM pg_catalog.pg_partition_tree(c.oid) AS t
                   JOIN pg_catalog.pg_class AS l ON l.oid = t.relid
                  WHERE t.isleaf AND (l.reltuples > 0::real OR (l.reltuples = 0::real AND l.relpages > 0))), -1)
            ELSE -1 END
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[])

-- name: columns
SELECT a.attrelid, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnum::int, NOT a.attnotnull,
       a.attgenerated::text, a.attidentity::text
  FROM pg_catalog.pg_attribute AS a
 WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum

-- name: unique_indexes
-- Whole-table uniqueness on plain columns only; the best key first: primary, then checked at once and never null, then short.
SELECT i.indrelid, pg_catalog.array_agg(a.attname::text ORDER BY k.position),
       i.indisprimary OR (i.indimmediate AND pg_catalog.bool_and(a.attnotnull))
  FROM pg_catalog.pg_index AS i
  JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
 CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
 WHERE i.indrelid = ANY (%(oids)s::oid[]) AND i.indisunique AND i.indisvalid AND i.indisready
   AND i.indpred IS NULL AND i.indexprs IS NULL AND k.position <= i.indnkeyatts
 GROUP BY i.indrelid, i.indexrelid, i.indisprimary, i.indimmediate, i.indnkeyatts, c.relname
 ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, c.relname COLLATE "C"

-- name: referencing
-- The copies that partitions have of a foreign key of their parent are left out.
SELECT DISTINCT f.confrelid, (n.nspname::text || '.' || c.relname::text) COLLATE "C"
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE f.contype = 'f' AND f.confrelid = ANY (%(oids)s::oid[]) AND (f.conparentid = 0::oid OR NOT c.relispartition)
 ORDER BY 1, 2

-- name: triggers
-- Those that can fire; ours are not part of the table as its owner made it.
SELECT t.tgrelid, t.tgname::text
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
   AND p.pronamespace IS DISTINCT FROM pg_catalog.to_regnamespace('okto_change')::oid
 ORDER BY t.tgrelid, t.tgname

-- name: trigger_functions
-- Of these relations and of their partitions, where the rows end up.
SELECT DISTINCT t.tgfoid
  FROM pg_catalog.unnest(%(oids)s::oid[]) AS r (oid)
 CROSS JOIN LATERAL (SELECT r.oid UNION SELECT p.relid FROM pg_catalog.pg_partition_tree(r.oid) AS p) AS w (oid)
  JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = w.oid
 WHERE t.tgtype & %(events)s <> 0 AND NOT t.tgisinternal AND t.tgenabled <> 'D'

-- name: function_bodies
-- Functions with a text of somebody's own: by oid, or by name in any schema. A body of SQL standard is kept parsed: its definition.
SELECT p.oid, n.nspname::text || '.' || p.proname::text, p.proname::text, coalesce(nullif(p.prosrc, ''), pg_catalog.pg_get_functiondef(p.oid))
  FROM pg_catalog.pg_proc AS p
  JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
  JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
 WHERE (p.oid = ANY (%(oids)s::oid[]) OR p.proname = ANY (%(names)s::text[])) AND l.lanname IN ('sql', 'plpgsql') AND p.prokind IN ('f', 'p')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'okto_change')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                    WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass::oid AND d.objid = p.oid AND d.deptype = 'e')
 ORDER BY p.oid

-- name: rules
SELECT r.ev_class, r.rulename::text
  FROM pg_catalog.pg_rewrite AS r
 WHERE r.ev_class = ANY (%(oids)s::oid[]) AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'D'
 ORDER BY r.ev_class, r.rulename

-- name: closure
-- Where a delete (d) or an update (u) of rows here can end: children, the tables behind views and rules, and what foreign
-- keys carry on: ON DELETE CASCADE deletes there, SET NULL, SET DEFAULT and every ON UPDATE action update there.
WITH RECURSIVE reached (oid, op) AS (
    SELECT r.oid, o.op
      FROM pg_catalog.unnest(%(oids)s::oid[]) AS r (oid)
     CROSS JOIN pg_catalog.unnest(%(operations)s::text[]) AS o (op)
    UNION
    SELECT e.oid, e.op
      FROM reached AS r
     CROSS JOIN LATERAL (
        SELECT h.inhrelid, r.op FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = r.oid
        UNION ALL
        SELECT f.conrelid, CASE WHEN r.op = 'd' AND f.confdeltype = 'c' THEN 'd' ELSE 'u' END
          FROM pg_catalog.pg_constraint AS f
         WHERE f.contype = 'f' AND f.confrelid = r.oid
           AND ((r.op = 'd' AND f.confdeltype IN ('c', 'n', 'd')) OR (r.op = 'u' AND f.confupdtype IN ('c', 'n', 'd')))
        UNION ALL
        SELECT d.refobjid, o.op
          FROM pg_catalog.pg_rewrite AS w
          JOIN pg_catalog.pg_class AS c ON c.oid = w.ev_class
          JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid AND d.objid = w.oid
                                        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::oid
                                        AND d.refobjid <> w.ev_class
         CROSS JOIN pg_catalog.unnest(ARRAY['d', 'u']) AS o (op)
         WHERE w.ev_class = r.oid AND w.ev_enabled <> 'D'
           AND (c.relkind <> 'v' OR w.rulename <> '_RETURN' OR pg_catalog.pg_relation_is_updatable(c.oid, false) <> 0)
     ) AS e (oid, op)
)
SELECT DISTINCT r.oid
  FROM reached AS r
  JOIN pg_catalog.pg_class AS c ON c.oid = r.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
