-- Sensitive columns: what the policy names, and every column that shows the same.

-- name: veil_columns
-- Partitions, children and parents have the column by its name. A view that reads a sensitive column, or the whole row,
-- is sensitive as a whole: nobody knows which of its columns shows what.
WITH RECURSIVE wanted AS (
    SELECT w.number, c.oid AS relid, a.attnum
      FROM ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(tables)s::text[]),
                      pg_catalog.unnest(%(columns)s::text[])) WITH ORDINALITY AS w (space, relation, name, number)
      JOIN pg_catalog.pg_class AS c ON c.relname = w.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
       AND CASE WHEN w.space = '' THEN n.nspname NOT IN ('pg_catalog', 'information_schema', 'okto_change') ELSE n.nspname = w.space END
      JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       AND (w.name = '*' OR a.attname = w.name)
), reached (relid, attnum) AS (
    SELECT w.relid, w.attnum FROM wanted AS w
    UNION
    SELECT f.relid, f.attnum
      FROM reached AS r
     CROSS JOIN LATERAL (
           SELECT k.attrelid AS relid, k.attnum
             FROM pg_catalog.pg_inherits AS i
             JOIN pg_catalog.pg_attribute AS own ON own.attrelid = r.relid AND own.attnum = r.attnum
             JOIN pg_catalog.pg_attribute AS k
               ON k.attrelid = CASE WHEN i.inhparent = r.relid THEN i.inhrelid ELSE i.inhparent END
              AND k.attname = own.attname AND k.attnum > 0 AND NOT k.attisdropped
            WHERE r.relid IN (i.inhparent, i.inhrelid)
           UNION ALL
           SELECT v.oid, k.attnum
             FROM pg_catalog.pg_depend AS d
             JOIN pg_catalog.pg_rewrite AS w ON w.oid = d.objid
             JOIN pg_catalog.pg_class AS v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm') AND v.oid <> r.relid
             JOIN pg_catalog.pg_attribute AS k ON k.attrelid = v.oid AND k.attnum > 0 AND NOT k.attisdropped
            WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid
              AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass::oid
              AND d.refobjid = r.relid AND d.refobjsubid IN (0, r.attnum)
     ) AS f
)
SELECT r.relid::bigint, r.attnum::integer, a.attname::text, t.typcategory = 'S',
       ARRAY(SELECT w.number::integer FROM wanted AS w WHERE w.relid = r.relid AND w.attnum = r.attnum)
  FROM reached AS r
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = r.relid AND a.attnum = r.attnum
  JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
 ORDER BY 1, 2
