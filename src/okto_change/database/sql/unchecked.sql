-- Foreign keys where nobody checked them: changes made in the role of a replica, and what taking them back and doing them again needs.

-- name: unchecked_mark
-- A change has no snapshot of its own kept: it is asked of undos only.
INSERT INTO okto_change.unchecked (capture, snapshot)
SELECT %(capture)s, CASE WHEN %(undo)s THEN pg_catalog.pg_current_snapshot() END
ON CONFLICT (capture) DO NOTHING

-- name: unchecked_any
-- Whether these captures are such; and the tables to which foreign keys carry on what happens in these, where a trigger or a rule
-- of others can keep that from happening.
SELECT EXISTS (SELECT FROM okto_change.unchecked AS u WHERE u.capture = ANY (%(captures)s)),
       ARRAY(SELECT DISTINCT f.conrelid::bigint
               FROM pg_catalog.pg_constraint AS f
              WHERE f.contype = 'f' AND f.confrelid = ANY (%(oids)s::oid[])
                AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))
                AND (EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                              WHERE t.tgrelid = f.conrelid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 3 = 3)
                     OR EXISTS (SELECT FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class = f.conrelid AND w.ev_type IN ('2', '4'))))

-- name: unchecked_keys
-- Foreign keys of these tables: number, table, whether the other table is partitioned, its name, and for each pair of columns
-- the parent's name, the child's number, and the operator that compares them. Those that serve a partition of the other
-- table only belong to one that is listed.
SELECT f.oid, f.conrelid, r.relkind = 'p', n.nspname::text, r.relname::text,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(p.attname, k.child, s.nspname, o.oprname) ORDER BY k.position)
          FROM unnest(f.confkey, f.conkey, f.conpfeqop) WITH ORDINALITY AS k (parent, child, op, position)
          JOIN pg_catalog.pg_attribute AS p ON p.attrelid = f.confrelid AND p.attnum = k.parent
          JOIN pg_catalog.pg_operator AS o ON o.oid = k.op
          JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace)
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS r ON r.oid = f.confrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
 WHERE f.contype = 'f' AND f.conrelid = ANY (%(oids)s::oid[]) AND coalesce(pg_catalog.to_jsonb(f) ->> 'conenforced', 'true') = 'true'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS g WHERE g.oid = f.conparentid AND g.conrelid = f.conrelid)
 ORDER BY f.oid

-- name: unchecked_children
-- Tables with rows that refer to these.
SELECT DISTINCT n.nspname::text, r.relname::text
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS r ON r.oid = f.conrelid AND r.relkind = 'r'
  JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
 WHERE f.contype = 'f' AND f.confrelid = ANY (%(oids)s::oid[])
 ORDER BY 1, 2

-- name: unchecked_unfit
-- Whether the role of a replica leaves more undone there than can be looked at afterwards: deferred exclusion constraints,
-- and foreign keys over a period.
SELECT EXISTS (SELECT FROM pg_catalog.pg_constraint AS x
                WHERE (x.conrelid = ANY (%(oids)s::oid[]) OR x.confrelid = ANY (%(oids)s::oid[]))
                  AND (x.condeferrable AND x.contype = 'x' OR coalesce(pg_catalog.to_jsonb(x) ->> 'conperiod', '') = 'true'))

-- name: unchecked_role
-- Be a replica until the transaction ends, or until image_unpin.
SELECT pg_catalog.set_config('session_replication_role', 'replica', true)
