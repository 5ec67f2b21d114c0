-- Capturing, accounting for and restoring rows. unnest with several arrays is grammar: it takes no schema.

-- name: image_names
-- Relations by name as the search_path shows them, or as schema.name; names are folded already, dots may be part of either.
SELECT w.name, c.oid
  FROM pg_catalog.unnest(%(names)s::text[]) AS w (name)
  JOIN pg_catalog.pg_class AS c
    ON c.relname = w.name AND pg_catalog.pg_table_is_visible(c.oid)
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
UNION
SELECT w.name, c.oid
  FROM pg_catalog.unnest(%(names)s::text[]) AS w (name)
  JOIN pg_catalog.pg_namespace AS n ON pg_catalog.starts_with(w.name, n.nspname::text || '.')
  JOIN pg_catalog.pg_class AS c
    ON c.relnamespace = n.oid AND c.relname = pg_catalog.substr(w.name, pg_catalog.length(n.nspname::text) + 2)
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')

-- name: image_leaves
-- The tables among these that hold rows of their own and can be captured.
SELECT c.oid, n.nspname::text, c.relname::text
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= 16384::oid
   AND n.nspname NOT IN ('okto_change', 'information_schema')
 ORDER BY c.oid

-- name: image_obstacles
-- What stands in the way of capturing or restoring rows of these relations, in words.
SELECT pg_catalog.format('%%s is a foreign table: its rows live elsewhere', o.name)
  FROM (SELECT c.*, n.nspname, pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name
          FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE c.oid = ANY (%(oids)s::oid[])) AS o
 WHERE o.relkind = 'f'
UNION ALL
SELECT pg_catalog.format('%%I.%%I is a system catalogue', n.nspname, c.relname)
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND n.nspname IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT pg_catalog.format('%%I.%%I belongs to okto-change itself', n.nspname, c.relname)
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND n.nspname = 'okto_change'
UNION ALL
SELECT pg_catalog.format('%%I.%%I is a view that nothing can be written through', n.nspname, c.relname)
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind = 'v' AND n.nspname <> 'information_schema'
   AND pg_catalog.pg_relation_is_updatable(c.oid, true) = 0
UNION ALL
SELECT pg_catalog.format('%%I.%%I belongs to %%s: capturing and restoring its rows needs its owner', n.nspname, c.relname,
                         pg_catalog.pg_get_userbyid(c.relowner))
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind = 'r' AND c.relpersistence <> 't'
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'okto_change')
   AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
UNION ALL
SELECT pg_catalog.format('row security of %%I.%%I applies to this role: it does not see every row', n.nspname, c.relname)
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind = 'r' AND pg_catalog.row_security_active(c.oid)
UNION ALL
SELECT pg_catalog.format('rule %%I of %%I.%%I stands in the way of what a foreign key to %%s carries on, and %%s alone may switch it off',
                         w.rulename, n.nspname, c.relname, f.confrelid::pg_catalog.regclass, pg_catalog.pg_get_userbyid(c.relowner))
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_rewrite AS w ON w.ev_class = c.oid AND w.ev_enabled <> 'D'
 WHERE f.contype = 'f' AND f.confrelid = ANY (%(oids)s::oid[])
   AND (w.ev_type = '4' AND f.confdeltype = 'c'
        OR w.ev_type = '2' AND (f.confdeltype IN ('n', 'd') OR f.confupdtype IN ('c', 'n', 'd')))
UNION ALL
SELECT 'this role may not create temporary tables, which restoring needs'
 WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')

-- name: image_begin
-- What an earlier capture of this transaction was told about the role of a replica does not concern this one.
INSERT INTO okto_change.capture (run, unit, undoes)
SELECT %(run)s::text, %(unit)s::text, %(undoes)s::integer
  FROM pg_catalog.set_config('okto_change.unchecked', '', true)
RETURNING id, xid

-- name: image_origin
-- The first capture of a unit of a run: what came later under the same name took it back.
SELECT c.id FROM okto_change.capture AS c WHERE c.run = %(run)s AND c.unit = %(unit)s ORDER BY c.id LIMIT 1

-- name: image_captures
-- The captures of a run that applied its plan.
SELECT c.id FROM okto_change.capture AS c WHERE c.run = %(run)s AND c.undoes IS NULL ORDER BY c.id

-- name: image_undo_captures
-- The captures of a run that took something back, or put it back.
SELECT c.id FROM okto_change.capture AS c WHERE c.run = %(run)s AND c.undoes IS NOT NULL ORDER BY c.id

-- name: image_family
-- A capture, what took it back, what took that back, and so on: together they tell what still stands of it.
WITH RECURSIVE family (id) AS (
    SELECT %(capture)s::integer
    UNION
    SELECT c.id FROM family AS f JOIN okto_change.capture AS c ON c.undoes = f.id
)
SELECT id FROM family ORDER BY id

-- name: image_trusted
-- Captures, by table, whose writes leave rows as the undo in hand expects them: its own, other undos, and what was taken
-- back since, by images or by a script.
SELECT t.relid, pg_catalog.array_agg(DISTINCT c.id)
  FROM okto_change.capture AS c
  JOIN okto_change.captured_table AS t ON t.capture = c.id AND t.relid = ANY (%(relids)s::oid[])
 WHERE c.id >= %(first)s
   AND (c.id = ANY (%(captures)s) OR c.undoes IS NOT NULL
        OR EXISTS (SELECT FROM okto_change.capture AS u WHERE u.undoes = c.id)
        OR EXISTS (SELECT FROM okto_change.applied AS a WHERE a.run = c.run AND a.unit = c.unit AND a.undone_xid IS NOT NULL))
 GROUP BY t.relid

-- name: image_undone_by_script
-- Transactions, as xmin shows them, that took something back since this capture: an undo script leaves no images.
SELECT (a.undone_xid %% 4294967296)::text
  FROM okto_change.applied AS a
 WHERE a.undone_xid >= (SELECT c.xid FROM okto_change.capture AS c WHERE c.id = %(first)s)

-- name: image_mark
-- The last command of this transaction that wrote an image, and whether any was written in the role of a replica.
SELECT coalesce(pg_catalog.max(i.cmin::text::bigint), 0), coalesce(pg_catalog.current_setting('okto_change.unchecked', true), '') = 'on'
  FROM okto_change.image AS i WHERE i.capture = %(capture)s

-- name: image_counts
SELECT i.relid, i.op::text, pg_catalog.count(*) FROM okto_change.image AS i WHERE i.capture = %(capture)s GROUP BY 1, 2
UNION ALL
SELECT n.relid, CASE WHEN n.sign = 1 THEN n.op::text ELSE pg_catalog.translate(n.op::text, 'ID', 'DI') END, n.rows
  FROM okto_change.image_native AS n WHERE n.capture = %(capture)s AND NOT n.spread

-- name: image_outstanding
-- What still stands of these captures: rows that are there in excess (n < 0) or missing (n > 0), by table. Order plays no role.
SELECT o.relid, o.image, o.n
  FROM (SELECT e.relid, e.image, pg_catalog.sum(e.n)::integer AS n
          FROM (SELECT i.relid, i.before COLLATE "C" AS image, 1 AS n
                  FROM okto_change.image AS i
                 WHERE i.capture = ANY (%(captures)s) AND i.before IS NOT NULL
                UNION ALL
                SELECT i.relid, i.after COLLATE "C", -1
                  FROM okto_change.image AS i
                 WHERE i.capture = ANY (%(captures)s) AND i.after IS NOT NULL) AS e
         GROUP BY e.relid, e.image) AS o
 WHERE o.n <> 0
 ORDER BY o.relid, o.image
 LIMIT %(limit)s

-- name: image_outstanding_counts
-- How many rows still stand of these captures: in excess and missing, by table; and how many images are of a row rewritten.
-- With a mark, of what this transaction has written up to that command.
SELECT o.relid, pg_catalog.sum(-o.n) FILTER (WHERE o.n < 0), pg_catalog.sum(o.n) FILTER (WHERE o.n > 0),
       pg_catalog.sum(o.rewritten)
  FROM (SELECT e.relid, e.image, pg_catalog.sum(e.n)::integer AS n, pg_catalog.sum(e.rewritten) AS rewritten
          FROM (SELECT i.relid, i.before COLLATE "C" AS image, 1 AS n, (i.op = 'U')::integer AS rewritten
                  FROM okto_change.image AS i
                 WHERE i.capture = ANY (%(captures)s) AND i.before IS NOT NULL AND (%(mark)s::bigint IS NULL OR i.cmin::text::bigint <= %(mark)s)
                UNION ALL
                SELECT i.relid, i.after COLLATE "C", -1, 0
                  FROM okto_change.image AS i
                 WHERE i.capture = ANY (%(captures)s) AND i.after IS NOT NULL AND (%(mark)s::bigint IS NULL OR i.cmin::text::bigint <= %(mark)s)) AS e
         GROUP BY e.relid, e.image) AS o
 GROUP BY o.relid
HAVING pg_catalog.bool_or(o.n <> 0)
 ORDER BY o.relid

-- name: image_keep_shape
-- With its file, which another one means that the table was rewritten, and with what names in its rows mean.
INSERT INTO okto_change.captured_table (capture, relid, shape)
VALUES (%(capture)s, %(relid)s, %(shape)s::jsonb || pg_catalog.jsonb_build_object(
            'file', pg_catalog.pg_relation_filenode(%(relid)s::oid::pg_catalog.regclass)::bigint, 'named', %(named)s::jsonb))
ON CONFLICT (capture, relid) DO NOTHING

-- name: image_rewritten
-- Tables among these whose rows lie in another file than when they were captured: whoever rewrote them may have put a
-- transaction of its own into xmin of every row.
SELECT DISTINCT t.relid
  FROM okto_change.captured_table AS t
 WHERE t.capture = ANY (%(captures)s) AND t.relid = ANY (%(relids)s::oid[])
   AND (t.shape ->> 'file')::bigint <> pg_catalog.pg_relation_filenode(t.relid::pg_catalog.regclass)::bigint

-- name: image_name_of
SELECT n.kind, n.id, CASE n.kind
           WHEN 'regproc' THEN n.id::oid::pg_catalog.regproc::text
           WHEN 'regprocedure' THEN n.id::oid::pg_catalog.regprocedure::text
           WHEN 'regoper' THEN n.id::oid::pg_catalog.regoper::text
           WHEN 'regoperator' THEN n.id::oid::pg_catalog.regoperator::text
           WHEN 'regclass' THEN n.id::oid::pg_catalog.regclass::text
           WHEN 'regtype' THEN n.id::oid::pg_catalog.regtype::text
           WHEN 'regrole' THEN n.id::oid::pg_catalog.regrole::text
           WHEN 'regnamespace' THEN n.id::oid::pg_catalog.regnamespace::text
           WHEN 'regconfig' THEN n.id::oid::pg_catalog.regconfig::text
           WHEN 'regdictionary' THEN n.id::oid::pg_catalog.regdictionary::text
           WHEN 'regcollation' THEN n.id::oid::pg_catalog.regcollation::text END
  FROM unnest(%(kinds)s::text[], %(ids)s::bigint[]) AS n (kind, id)

-- name: image_moved_names
-- What the names that rows of these captures hold meant, and what the objects are called now.
SELECT DISTINCT m.relation, m.kind, m.was, m.now
  FROM (SELECT pg_catalog.format('%%s.%%s', t.shape ->> 'schema', t.shape ->> 'name') AS relation, n.kind, n.was,
               CASE n.kind
                   WHEN 'regproc' THEN n.id::oid::pg_catalog.regproc::text
                   WHEN 'regprocedure' THEN n.id::oid::pg_catalog.regprocedure::text
                   WHEN 'regoper' THEN n.id::oid::pg_catalog.regoper::text
                   WHEN 'regoperator' THEN n.id::oid::pg_catalog.regoperator::text
                   WHEN 'regclass' THEN n.id::oid::pg_catalog.regclass::text
                   WHEN 'regtype' THEN n.id::oid::pg_catalog.regtype::text
                   WHEN 'regrole' THEN n.id::oid::pg_catalog.regrole::text
                   WHEN 'regnamespace' THEN n.id::oid::pg_catalog.regnamespace::text
                   WHEN 'regconfig' THEN n.id::oid::pg_catalog.regconfig::text
                   WHEN 'regdictionary' THEN n.id::oid::pg_catalog.regdictionary::text
                   WHEN 'regcollation' THEN n.id::oid::pg_catalog.regcollation::text END AS now
          FROM okto_change.captured_table AS t
         CROSS JOIN LATERAL pg_catalog.jsonb_to_recordset(t.shape -> 'named') AS n (kind text, id bigint, was text)
         WHERE t.capture = ANY (%(captures)s)) AS m
 WHERE m.now <> m.was
 ORDER BY 1, 2, 3

-- name: image_kept_shapes
SELECT DISTINCT ON (t.relid) t.relid, t.shape
  FROM okto_change.captured_table AS t WHERE t.capture = ANY (%(captures)s) ORDER BY t.relid, t.capture

-- name: image_shapes
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
       coalesce((SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(
                            a.attnum, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::bigint,
                            a.attgenerated, a.attidentity) ORDER BY a.attnum)
                   FROM pg_catalog.pg_attribute AS a
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'::jsonb)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind IN ('r', 'm')

-- name: image_types
-- What the values of user-made types in these tables are made of, down to built-in types: each type with whether it lies inside
-- another one; in words the labels of enums and the attributes of rows. As long as those are so, a value's text means the same.
WITH RECURSIVE used (relid, typid, inside) AS (
    SELECT a.attrelid, a.atttypid, false
      FROM pg_catalog.pg_attribute AS a
     WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384::oid
    UNION
    SELECT u.relid, n.typid, true
      FROM used AS u
     CROSS JOIN LATERAL (
        SELECT t.typelem FROM pg_catalog.pg_type AS t WHERE t.oid = u.typid
        UNION ALL
        SELECT t.typbasetype FROM pg_catalog.pg_type AS t WHERE t.oid = u.typid
        UNION ALL
        SELECT r.rngsubtype
          FROM pg_catalog.pg_range AS r
         WHERE u.typid IN (r.rngtypid, (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::oid)
        UNION ALL
        SELECT a.atttypid
          FROM pg_catalog.pg_type AS t
          JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE t.oid = u.typid
     ) AS n (typid)
     WHERE u.typid >= 16384::oid AND n.typid <> 0
)
SELECT u.relid, u.typid::bigint, u.inside, NULL FROM used AS u
UNION
SELECT u.relid, NULL, NULL, pg_catalog.format('%%s: label %%s is %%s', pg_catalog.format_type(u.typid, NULL), e.oid, e.enumlabel)
  FROM used AS u JOIN pg_catalog.pg_enum AS e ON e.enumtypid = u.typid
UNION
SELECT u.relid, NULL, NULL, pg_catalog.format('%%s: attribute %%s is %%s %%s', pg_catalog.format_type(u.typid, NULL), a.attnum, a.attname,
                                              pg_catalog.format_type(a.atttypid, a.atttypmod))
  FROM used AS u
  JOIN pg_catalog.pg_type AS t ON t.oid = u.typid
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE u.typid >= 16384::oid

-- name: image_unique
-- Whole-table unique indexes on plain columns, each column with the operator that the index takes for equal; best first.
-- Rows are compared in the collation of the column: an index in another one does not tell apart what that takes for equal.
-- 403 is btree; a join less is milliseconds less of planning, four times a run.
SELECT i.indrelid, i.indexrelid::bigint,
       pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.attnum, a.attname, n.nspname, o.oprname) ORDER BY k.position),
       pg_catalog.bool_and(a.attnotnull)
  FROM pg_catalog.pg_index AS i
 CROSS JOIN LATERAL unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[]) WITH ORDINALITY AS k (attnum, opclass, coll, position)
  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  JOIN pg_catalog.pg_opclass AS c ON c.oid = k.opclass AND c.opcmethod = 403
  JOIN pg_catalog.pg_amop AS m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
                              AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
  JOIN pg_catalog.pg_operator AS o ON o.oid = m.amopopr
  JOIN pg_catalog.pg_namespace AS n ON n.oid = o.oprnamespace
 WHERE i.indrelid = ANY (%(oids)s::oid[]) AND i.indisunique AND i.indisvalid AND i.indisready
   AND i.indpred IS NULL AND i.indexprs IS NULL AND k.position <= i.indnkeyatts
   AND (k.coll = a.attcollation OR NOT EXISTS (SELECT FROM pg_catalog.pg_collation AS l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic))
 GROUP BY i.indrelid, i.indexrelid, i.indisprimary, i.indnkeyatts
HAVING pg_catalog.count(*) = i.indnkeyatts
 ORDER BY i.indrelid, i.indisprimary DESC, i.indnkeyatts, i.indexrelid

-- name: image_foreign_keys
-- Foreign keys that point to these tables from tables that hold rows: child, parent, and for each pair of columns
-- the parent's, the child's, the operator that compares them and the one that compares two parents.
SELECT f.conname::text, f.conrelid, n.nspname::text, r.relname::text, f.confrelid,
       (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(p.attnum, c.attname, s.nspname, o.oprname, ps.nspname, po.oprname)
                                      ORDER BY k.position)
          FROM unnest(f.confkey, f.conkey, f.conpfeqop, f.conppeqop) WITH ORDINALITY AS k (parent, child, op, pop, position)
          JOIN pg_catalog.pg_attribute AS p ON p.attrelid = f.confrelid AND p.attnum = k.parent
          JOIN pg_catalog.pg_attribute AS c ON c.attrelid = f.conrelid AND c.attnum = k.child
          JOIN pg_catalog.pg_operator AS o ON o.oid = k.op
          JOIN pg_catalog.pg_namespace AS s ON s.oid = o.oprnamespace
          JOIN pg_catalog.pg_operator AS po ON po.oid = k.pop
          JOIN pg_catalog.pg_namespace AS ps ON ps.oid = po.oprnamespace)
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS r ON r.oid = f.conrelid AND r.relkind = 'r'
  JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
 WHERE f.contype = 'f' AND f.confrelid = ANY (%(oids)s::oid[])
 ORDER BY f.conrelid, f.conname

-- name: image_referred
-- The columns of this table that foreign keys refer to.
SELECT DISTINCT f.confkey FROM pg_catalog.pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = %(relid)s::oid ORDER BY 1

-- name: image_alone
-- The tables among these that no statement can write through another table: no partitions, neither parents nor children.
-- Without virtual generated columns: PostgreSQL 18 cannot read those from a transition table. Without xml, which is written
-- out column by column.
SELECT c.oid FROM pg_catalog.pg_class AS c
 WHERE c.oid = ANY (%(oids)s::oid[]) AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent))
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid = c.oid AND (a.attgenerated = 'v' OR a.atttypid IN (142, 143)))

-- name: image_documents
-- The tables among these that hold xml (142) or arrays of it (143).
SELECT DISTINCT a.attrelid FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = ANY (%(oids)s::oid[]) AND a.attnum > 0 AND a.atttypid IN (142, 143)

-- name: image_triggers
-- Rows of pg_trigger that belong to a capture; their place tells whether anybody touched them.
SELECT t.tgrelid, t.tgname::text, t.ctid::text, t.tgenabled::text
  FROM pg_catalog.pg_trigger AS t
 WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND t.tgname = ANY (%(names)s)

-- name: image_user_triggers
-- Triggers of others that can fire on these tables, with their mode: O, R (replica) or A (always).
SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
 WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND NOT t.tgisinternal AND t.tgenabled <> 'D'
   AND p.pronamespace IS DISTINCT FROM pg_catalog.to_regnamespace('okto_change')::oid
 ORDER BY t.tgrelid, t.tgname

-- name: image_reached_triggers
-- Triggers of others that fire once a statement, on tables of this role to which foreign keys carry on what happens in these:
-- they fire even where no row is concerned.
SELECT DISTINCT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text
  FROM pg_catalog.pg_constraint AS f
  JOIN pg_catalog.pg_class AS c ON c.oid = f.conrelid AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = c.oid
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
 WHERE f.contype = 'f' AND f.confrelid = ANY (%(oids)s::oid[]) AND f.conrelid <> ALL (%(oids)s::oid[])
   AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))
   AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & 1 = 0
   AND p.pronamespace IS DISTINCT FROM pg_catalog.to_regnamespace('okto_change')::oid
 ORDER BY 1, 2, 3

-- name: image_user_rules
-- Rules on these tables, and on tables of this role to which foreign keys carry on what happens in these: the server refuses a
-- cascade that a rule rewrote, even where no row is concerned.
SELECT n.nspname::text, c.relname::text, r.rulename::text, r.ev_enabled::text
  FROM pg_catalog.pg_rewrite AS r
  JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE r.ev_type IN ('2', '3', '4') AND r.ev_enabled <> 'D'
   AND (r.ev_class = ANY (%(oids)s::oid[])
        OR pg_catalog.pg_has_role(c.relowner, 'USAGE')
           AND EXISTS (SELECT FROM pg_catalog.pg_constraint AS f
                        WHERE f.contype = 'f' AND f.conrelid = r.ev_class AND f.confrelid = ANY (%(oids)s::oid[])
                          AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))))
 ORDER BY r.ev_class, r.rulename

-- name: image_live_triggers
-- Capture triggers that record what this transaction writes.
SELECT n.nspname::text, c.relname::text, t.tgname::text
  FROM okto_change.capture AS k
  JOIN pg_catalog.pg_trigger AS t
    ON t.tgname IN ('okto_change_' || k.id, 'okto_change_' || k.id || '_insert', 'okto_change_' || k.id || '_update',
                    'okto_change_' || k.id || '_delete', '~okto_change_' || k.id)
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE k.xid = pg_catalog.pg_current_xact_id()::text::bigint AND t.tgenabled <> 'D'
 ORDER BY 1, 2, 3

-- name: image_own_triggers
-- Every capture trigger there is. Outside a transaction of ours all of them are leftovers.
SELECT n.nspname::text, c.relname::text, pg_catalog.array_agg(t.tgname::text ORDER BY t.tgname)
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE t.tgfoid IN (pg_catalog.to_regprocedure('okto_change.capture_row()'),
                    pg_catalog.to_regprocedure('okto_change.capture_rows()'),
                    pg_catalog.to_regprocedure('okto_change.capture_columns()'),
                    pg_catalog.to_regprocedure('okto_change.capture_truncate()'))
 GROUP BY 1, 2
 ORDER BY 1, 2

-- name: image_sequences_kept
-- Sequences that stood somewhere before a TRUNCATE and were restarted by it.
SELECT s.seqid FROM okto_change.image_sequence AS s
 WHERE s.capture = %(capture)s AND s.filenode <> pg_catalog.pg_relation_filenode(s.seqid)

-- name: image_restarted_sequences
-- Sequences that TRUNCATE RESTART IDENTITY set back, and that have not gone beyond their old place by themselves since.
SELECT n.nspname::text, c.relname::text, s.last_value, s.is_called
  FROM okto_change.image_sequence AS s
  JOIN pg_catalog.pg_class AS c ON c.oid = s.seqid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = s.seqid
 CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.pg_sequence_last_value(s.seqid), q.seqstart) AS position) AS here
 WHERE s.capture = %(capture)s AND s.filenode <> pg_catalog.pg_relation_filenode(s.seqid)
   AND CASE WHEN q.seqincrement > 0 THEN here.position <= s.last_value ELSE here.position >= s.last_value END
 ORDER BY 1, 2

-- name: image_pin
-- The settings that row text depends on, pinned for this transaction; what they were comes back.
SELECT s.name, pg_catalog.current_setting(s.name), pg_catalog.set_config(s.name, s.value, true)
  FROM (VALUES ('search_path', 'pg_catalog, pg_temp'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'),
               ('timezone', 'UTC'), ('extra_float_digits', '1'), ('bytea_output', 'hex'), ('lc_monetary', 'C'),
               ('xmloption', 'content'), ('quote_all_identifiers', 'off'), ('array_nulls', 'on'), ('row_security', 'off'),
               ('session_replication_role', 'origin')) AS s (name, value)
 WHERE s.name OPERATOR(pg_catalog.<>) 'session_replication_role' OR pg_catalog.current_setting(s.name) OPERATOR(pg_catalog.<>) 'origin'

-- name: image_resolve
-- The search_path that RESET would give, after the built-in schema and before temporary objects; it may be empty.
SELECT pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', nullif(s.reset_val, ''), 'pg_temp'), true)
  FROM pg_catalog.pg_settings AS s WHERE s.name = 'search_path'

-- name: event_triggers_listen
-- Whether there are event triggers that fire for DDL of ours and do not in the role of a replica, and none that only do there.
SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e WHERE e.evtenabled = 'O')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e WHERE e.evtenabled = 'R')

-- name: event_triggers_mute
SELECT pg_catalog.current_setting('session_replication_role'), pg_catalog.set_config('session_replication_role', 'replica', true)

-- name: event_triggers_hear
SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger AS e WHERE e.evtenabled IN ('O', 'A'))

-- name: event_triggers_probe
-- DDL of every kind that capturing and putting back do themselves, to be rolled back.
DO $$
BEGIN
    CREATE TEMPORARY TABLE okto_change_heard (id integer) ON COMMIT DROP;
    CREATE TRIGGER okto_change_heard BEFORE TRUNCATE ON okto_change_heard FOR EACH STATEMENT EXECUTE FUNCTION okto_change.capture_truncate();
    ALTER TABLE okto_change_heard ENABLE ALWAYS TRIGGER okto_change_heard;
    DROP TRIGGER okto_change_heard ON okto_change_heard;
    DROP TABLE okto_change_heard;
    CREATE TABLE okto_change.okto_change_heard (id integer);
END
$$

-- name: image_unpin
SELECT pg_catalog.set_config(s.name, s.value, true)
  FROM unnest(%(names)s::text[], %(values)s::text[]) AS s (name, value)

-- name: account_counters
-- Rows written so far by this transaction, and by earlier ones of this session that are not reported yet. Indexes of
-- TOAST tables go with their tables.
SELECT c.oid, k.inserted, k.updated, k.deleted
  FROM pg_catalog.pg_class AS c
 CROSS JOIN LATERAL (SELECT pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
                            pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) AS updated,
                            pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS deleted) AS k
 WHERE c.relkind IN ('r', 'm', 'f') AND k.inserted + k.updated + k.deleted <> 0

-- name: account_locks
-- Relations on which this transaction holds a lock that lets it write, with the strongest first.
SELECT l.relation, pg_catalog.array_agg(DISTINCT l.mode)
  FROM pg_catalog.pg_locks AS l
 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
   AND l.database IN (0, (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database()))
   AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
 GROUP BY l.relation

-- name: account_relations
-- What these relations are: kind, whether temporary, and the partitioned tables above.
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
       c.relpersistence = 't',
       ARRAY(SELECT p.relid::oid FROM pg_catalog.pg_partition_ancestors(c.oid) AS p)
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[])

-- name: account_roots
SELECT c.oid, n.nspname::text || '.' || c.relname::text
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s::oid[])

-- name: account_tops
-- The partitioned table at the top of each of these relations; a relation that is no partition is its own.
SELECT c.oid, coalesce(pg_catalog.pg_partition_root(c.oid), c.oid)::oid FROM pg_catalog.pg_class AS c WHERE c.oid = ANY (%(oids)s::oid[])

-- name: account_world
-- The settings that counters depend on, the permanent relations there are: none may come or go in a data fix, but for tables
-- of TOAST, which a refreshed materialized view gets anew and which have no life of their own. And the catalogues
-- that this transaction has locked for writing, and what is gone that it had locked: some DDL keeps such locks (COMMENT
-- that of pg_description; what rewrites a table that of its new file).
SELECT s.setting, s.source, t.relations, t.total,
       ARRAY(SELECT l.relation::bigint FROM pg_catalog.pg_locks AS l
              WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
                AND (l.relation < 16384::oid OR NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = l.relation))
                AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
  FROM pg_catalog.pg_settings AS s
 CROSS JOIN (SELECT pg_catalog.count(*) AS relations, pg_catalog.sum(c.oid::bigint)::text AS total FROM pg_catalog.pg_class AS c
              WHERE c.relpersistence <> 't' AND c.relnamespace <> 'pg_toast'::pg_catalog.regnamespace::oid) AS t
 WHERE s.name = 'track_counts'

-- name: account_there
-- The permanent relations there are, as account_world tells them.
SELECT pg_catalog.count(*), pg_catalog.sum(c.oid::bigint)::text FROM pg_catalog.pg_class AS c
 WHERE c.relpersistence <> 't' AND c.relnamespace <> 'pg_toast'::pg_catalog.regnamespace::oid

-- name: account_tables
-- Everything that holds rows, or may hold them: a materialized view WITH NO DATA holds none. Whether a table is new cannot be
-- told from its age: transaction ids come round again.
SELECT c.oid, c.relispopulated FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384::oid

-- name: account_definitions
-- A digest of what pg_class says of these tables and their indexes, but for what TRUNCATE, ANALYZE and triggers of ours change.
SELECT coalesce(pg_catalog.md5(pg_catalog.string_agg((pg_catalog.to_jsonb(c) - ARRAY[
           'relfilenode', 'relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid', 'relhastriggers'
       ])::text, '' ORDER BY c.oid)), '')
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = ANY (%(oids)s::oid[])
    OR c.oid IN (SELECT i.indexrelid FROM pg_catalog.pg_index AS i WHERE i.indrelid = ANY (%(oids)s::oid[]))

-- name: account_latest
-- The transaction id of a new subtransaction: none that this transaction has had is later. Its row is rolled back.
INSERT INTO okto_change.captured_table (capture, relid, shape) VALUES (%(capture)s, 0, '{}')
RETURNING xmin::text::bigint, pg_catalog.pg_current_xact_id()::text::bigint %% 4294967296

-- name: account_sequences
-- Positions of sequences; null when never used, or not readable by this role.
SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname),
       CASE WHEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE') THEN pg_catalog.pg_sequence_last_value(c.oid) END,
       pg_catalog.pg_relation_filenode(c.oid)::bigint, q.seqincrement > 0, q.seqcycle
  FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_sequence AS q ON q.seqrelid = c.oid
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname <> 'okto_change'

-- name: account_strays
-- Rows of the catalogue that this transaction wrote and that truncating or refreshing the relations in %%(allowed)s, our
-- own triggers, and temporary tables do not explain. Under REPEATABLE READ a visible row of a transaction id between the first
-- and the latest of this transaction is ours; %%(span)s is how far they are apart, since ids come round again.
WITH allowed (oid) AS (
    SELECT pg_catalog.unnest(%(allowed)s::oid[])
    UNION SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relpersistence = 't'
), family (oid) AS (
    SELECT a.oid FROM allowed AS a
    UNION SELECT i.indexrelid FROM allowed AS a JOIN pg_catalog.pg_index AS i ON i.indrelid = a.oid
    UNION SELECT c.reltoastrelid FROM allowed AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.oid
    UNION SELECT i.indexrelid FROM allowed AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.oid
                                                JOIN pg_catalog.pg_index AS i ON i.indrelid = c.reltoastrelid
    UNION SELECT d.objid FROM allowed AS a JOIN pg_catalog.pg_depend AS d
                    ON d.refobjid = a.oid AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass::oid AND d.deptype IN ('a', 'i')
), ours (oid) AS (
    SELECT t.oid FROM pg_catalog.pg_trigger AS t
     WHERE t.tgfoid IN ('okto_change.capture_row()'::pg_catalog.regprocedure, 'okto_change.capture_rows()'::pg_catalog.regprocedure,
                        'okto_change.capture_columns()'::pg_catalog.regprocedure, 'okto_change.capture_truncate()'::pg_catalog.regprocedure)
), temporary_types (oid) AS (
    SELECT t.oid FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
     WHERE n.nspname::text ~ '^pg_temp_'
)
SELECT 'pg_class', c.oid::text FROM pg_catalog.pg_class AS c
 WHERE (c.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND c.oid NOT IN (SELECT oid FROM family WHERE oid IS NOT NULL)
   AND c.oid <> ALL (%(covered)s)
UNION ALL
SELECT 'pg_attribute', a.attrelid::text FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
 WHERE (a.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND c.relpersistence <> 't'
   AND NOT (c.relnamespace = 'pg_toast'::pg_catalog.regnamespace::oid AND c.oid IN (SELECT oid FROM family WHERE oid IS NOT NULL))
UNION ALL
SELECT 'pg_type', t.oid::text FROM pg_catalog.pg_type AS t
 WHERE (t.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND t.oid NOT IN (SELECT oid FROM temporary_types)
UNION ALL
SELECT 'pg_index', i.indexrelid::text FROM pg_catalog.pg_index AS i
 WHERE (i.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND i.indrelid NOT IN (SELECT oid FROM family WHERE oid IS NOT NULL)
UNION ALL
SELECT 'pg_constraint', k.oid::text FROM pg_catalog.pg_constraint AS k LEFT JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
 WHERE (k.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND c.relpersistence IS DISTINCT FROM 't'
UNION ALL
SELECT 'pg_attrdef', d.oid::text FROM pg_catalog.pg_attrdef AS d JOIN pg_catalog.pg_class AS c ON c.oid = d.adrelid
 WHERE (d.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND c.relpersistence <> 't'
UNION ALL
SELECT 'pg_trigger', t.oid::text FROM pg_catalog.pg_trigger AS t
 WHERE (t.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND t.oid NOT IN (SELECT oid FROM ours)
   AND t.tgrelid NOT IN (SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relpersistence = 't')
UNION ALL
SELECT 'pg_rewrite', r.oid::text FROM pg_catalog.pg_rewrite AS r JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class
 WHERE (r.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND c.relpersistence <> 't'
UNION ALL
SELECT 'pg_sequence', s.seqrelid::text FROM pg_catalog.pg_sequence AS s
 WHERE (s.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND s.seqrelid NOT IN (SELECT oid FROM family WHERE oid IS NOT NULL)
UNION ALL
SELECT 'pg_namespace', n.oid::text FROM pg_catalog.pg_namespace AS n
 WHERE (n.xmin::text::bigint - %(first)s + 4294967296) %% 4294967296 <= %(span)s AND n.nspname::text !~ '^pg_(toast_)?temp_'

-- name: account_statement_locks
-- Locks of this transaction on relations that people know, for showing which statement took them.
SELECT n.nspname::text || '.' || c.relname::text, l.mode
  FROM pg_catalog.pg_locks AS l
  JOIN pg_catalog.pg_class AS c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE l.pid = pg_catalog.pg_backend_pid() AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
   AND n.nspname NOT IN ('pg_catalog', 'okto_change')
