-- Imaging rows ahead of a statement: what stands in the way, and how many rows to expect.

-- name: optimistic_obstacles
-- Why the rows that an UPDATE, DELETE or INSERT of this relation changes could be others than those its WHERE finds, in words.
-- %%(event)s is the bit of pg_trigger.tgtype: 4 insert, 8 delete, 16 update; %%(columns)s are the columns assigned.
WITH RECURSIVE tree (oid) AS (
    SELECT %(oid)s::oid
    UNION
    SELECT i.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
), member AS (
    SELECT c.*, pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS name
      FROM tree AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
      JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
)
SELECT pg_catalog.format('%%s is no table that holds rows itself', m.name) FROM member AS m WHERE m.relkind NOT IN ('r', 'p')
UNION ALL
SELECT pg_catalog.format('%%s is temporary', m.name) FROM member AS m WHERE m.relpersistence = 't'
UNION ALL
SELECT pg_catalog.format('row security of %%s applies', m.name) FROM member AS m WHERE pg_catalog.row_security_active(m.oid)
UNION ALL
SELECT pg_catalog.format('the trigger %%I of %%s fires', t.tgname, m.name)
  FROM member AS m JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = m.oid
 WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & %(event)s <> 0
   AND t.tgfoid IS DISTINCT FROM pg_catalog.to_regprocedure('okto_change.capture_row()')::oid
UNION ALL
SELECT pg_catalog.format('the rule %%I of %%s rewrites statements', r.rulename, m.name)
  FROM member AS m JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = m.oid
 WHERE m.relkind <> 'v' AND r.ev_enabled <> 'D'
UNION ALL
SELECT pg_catalog.format('the foreign key %%I of %%s follows', f.conname, f.conrelid::pg_catalog.regclass)
  FROM member AS m JOIN pg_catalog.pg_constraint AS f ON f.confrelid = m.oid AND f.contype = 'f'
 WHERE (%(event)s = 8 AND f.confdeltype IN ('c', 'n', 'd'))
    OR (%(event)s = 16 AND f.confupdtype IN ('c', 'n', 'd')
        AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                     WHERE a.attrelid = m.oid AND a.attnum = ANY (f.confkey) AND a.attname::text = ANY (%(columns)s)))

-- name: optimistic_volatile
-- Which of these functions give another value at every call. Names are folded, with or without schema.
SELECT DISTINCT w.name
  FROM pg_catalog.unnest(%(names)s::text[]) AS w (name)
  JOIN pg_catalog.pg_proc AS p
    ON p.proname = pg_catalog.substring(w.name, '[^.]*$') AND p.provolatile = 'v'
 ORDER BY 1

-- name: optimistic_size
SELECT pg_catalog.pg_relation_size(%(oid)s::oid::pg_catalog.regclass)

-- name: optimistic_xid
SELECT pg_catalog.pg_current_xact_id()::pg_catalog.xid::text

-- name: native_standing
-- Native images of which something stands, by table: %%(captures)s add up to 1 (as changed), -1 (as taken back) or nothing.
SELECT n.relid, n.source, n.op::text, n.rows, n.columns::integer[], pg_catalog.sum(n.sign)::integer, n.home, n.foreseen, n.uniform
  FROM okto_change.image_native AS n
 WHERE n.capture = ANY (%(captures)s) AND NOT n.spread
 GROUP BY n.relid, n.source, n.op, n.rows, n.columns, n.home, n.foreseen, n.uniform
HAVING pg_catalog.sum(n.sign) <> 0
 ORDER BY n.relid

-- name: native_all
SELECT n.capture, n.relid, n.source, n.op::text, n.rows, n.columns::integer[], n.sign::integer, n.home, n.foreseen, n.uniform
  FROM okto_change.image_native AS n
 WHERE n.capture = ANY (%(captures)s) AND NOT n.spread
 ORDER BY n.capture, n.relid

-- name: native_keep
-- The row of the capture was written by the (sub)transaction that wrote the rows.
INSERT INTO okto_change.image_native (capture, relid, source, sign, op, rows, columns, writer, home, foreseen, uniform)
SELECT c.id, %(relid)s, %(source)s, %(sign)s, %(op)s, %(rows)s, %(columns)s::smallint[], c.xmin, %(home)s, %(foreseen)s, %(uniform)s
  FROM okto_change.capture AS c WHERE c.id = %(capture)s

-- name: native_spread
UPDATE okto_change.image_native AS n SET spread = true WHERE n.capture = ANY (%(captures)s) AND NOT n.spread

-- name: native_readers
-- Our own tables of images, and who else may do anything with them; NULL is PUBLIC.
SELECT DISTINCT c.relname::text, g.rolname::text
  FROM pg_catalog.pg_class AS c
 CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
  LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = x.grantee
 WHERE c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relname::text LIKE 'rows\_%%' AND x.grantee <> c.relowner

-- name: native_inserted
-- Rows that this transaction has inserted into one of our own tables.
SELECT pg_catalog.pg_stat_get_xact_tuples_inserted(pg_catalog.to_regclass(%(name)s))

-- name: native_text
-- Whether any images of these captures are in the shared table.
SELECT EXISTS (SELECT FROM okto_change.image AS i WHERE i.capture = ANY (%(captures)s))

-- name: native_fits
-- Whether a table can have native images: it holds rows, has no children, and its types come with the server.
SELECT c.relkind = 'r'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits AS i WHERE i.inhparent = c.oid)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384::oid)
  FROM pg_catalog.pg_class AS c WHERE c.oid = %(oid)s::oid

-- name: native_memory
-- More memory and no compiling for our own joins; what was set comes back.
SELECT pg_catalog.current_setting('work_mem'), pg_catalog.current_setting('jit'),
       pg_catalog.set_config('work_mem', greatest(s.setting::bigint, %(kilobytes)s)::text || 'kB', true),
       pg_catalog.set_config('jit', 'off', true)
  FROM pg_catalog.pg_settings AS s WHERE s.name = 'work_mem'

-- name: native_own
-- Tables that captures of this transaction made for native images.
SELECT c.oid
  FROM okto_change.capture AS k
  JOIN pg_catalog.pg_class AS c ON pg_catalog.starts_with(c.relname::text, 'rows_' || k.id || '_')
 WHERE k.xid = pg_catalog.pg_current_xact_id()::text::bigint
   AND c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relkind = 'r'

-- name: series_fresh
-- Whether this transaction has written nothing yet.
SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NULL

-- name: series_seal
-- A digest of what defines these tables: the rows of the catalogue that say so, by the transaction that wrote each; the functions
-- of these names; and whether our own tables are there. Where it is %%(seal)s, a capture begins as by image_begin, and its number and
-- transaction follow.
WITH seal (found) AS (
  SELECT pg_catalog.md5(coalesce(pg_catalog.string_agg(f.fact, ' ' ORDER BY f.fact COLLATE "C"), ''))
  FROM (
    SELECT pg_catalog.concat('c', c.oid, ' ', c.xmin, ' ', n.nspname, '.', c.relname)
      FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('a', a.attrelid, ' ', a.attnum, ' ', a.xmin) FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('i', i.indexrelid, ' ', i.xmin) FROM pg_catalog.pg_index AS i WHERE i.indrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('t', t.oid, ' ', t.xmin) FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('r', r.oid, ' ', r.xmin) FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('p', p.oid, ' ', p.xmin) FROM pg_catalog.pg_policy AS p WHERE p.polrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('h', h.inhrelid, ' ', h.inhparent) FROM pg_catalog.pg_inherits AS h
     WHERE h.inhparent = ANY (%(oids)s::oid[]) OR h.inhrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT pg_catalog.concat('f', p.oid, ' ', p.xmin) FROM pg_catalog.pg_proc AS p WHERE p.proname = ANY (%(functions)s::text[])
    UNION ALL
    SELECT pg_catalog.concat('o', c.oid) FROM pg_catalog.unnest(%(names)s::text[]) AS w (name)
      JOIN pg_catalog.pg_class AS c ON c.relname = w.name AND c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid
       AND c.relkind = 'r'
  ) AS f (fact)
), begun AS (
    INSERT INTO okto_change.capture (run, unit, undoes)
    SELECT %(run)s::text, %(unit)s::text, NULL::integer
      FROM seal AS s CROSS JOIN pg_catalog.set_config('okto_change.unchecked', '', true)
     WHERE s.found = %(seal)s::text
    RETURNING id, xid
)
SELECT s.found, b.id, b.xid FROM seal AS s LEFT JOIN begun AS b ON true

-- name: series_planning
-- What is asked again and again is planned once, whatever is asked for; what was set comes back.
SELECT 'plan_cache_mode', pg_catalog.current_setting('plan_cache_mode'),
       pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', true)

-- name: series_keep
-- A chunk's images and the shape that they have, with the file of its table. The row of the capture was written by the
-- (sub)transaction that wrote the rows.
WITH images AS (
    INSERT INTO okto_change.image_native (capture, relid, source, sign, op, rows, columns, writer, home, foreseen)
    SELECT c.id, %(relid)s, %(source)s, %(sign)s, %(op)s, %(rows)s, %(columns)s::smallint[], c.xmin, %(home)s, %(foreseen)s
      FROM okto_change.capture AS c WHERE c.id = %(capture)s
)
INSERT INTO okto_change.captured_table (capture, relid, shape)
VALUES (%(capture)s, %(relid)s,
        %(shape)s::jsonb || pg_catalog.jsonb_build_object(
            'file', pg_catalog.pg_relation_filenode(%(relid)s::oid::pg_catalog.regclass)::bigint, 'named', '[]'::jsonb))

-- name: series_settings
-- More memory and no compiling for our own joins; whole sets are joined, so row by row is never the way. What was set comes back.
SELECT s.name, s.value, pg_catalog.set_config(s.name, s.now, true)
  FROM (VALUES ('work_mem', pg_catalog.current_setting('work_mem'), %(kilobytes)s::text || 'kB'),
               ('jit', pg_catalog.current_setting('jit'), 'off'),
               ('enable_nestloop', pg_catalog.current_setting('enable_nestloop'), 'off')) AS s (name, value, now)

-- name: series_proving
-- The same for the proof of a chunk as it is made. Where %%(ranged)s all its joins begin with a range of keys: a bitmap reads each page
-- of that once, an index scan each row.
SELECT s.name, s.value, pg_catalog.set_config(s.name, s.now, true)
  FROM (VALUES ('work_mem', pg_catalog.current_setting('work_mem'), %(kilobytes)s::text || 'kB'),
               ('jit', pg_catalog.current_setting('jit'), 'off'),
               ('enable_nestloop', pg_catalog.current_setting('enable_nestloop'), 'off'),
               ('enable_indexscan', pg_catalog.current_setting('enable_indexscan'),
                CASE WHEN %(ranged)s THEN 'off' ELSE pg_catalog.current_setting('enable_indexscan') END)) AS s (name, value, now)

-- name: series_ends
-- How many pages these tables of ours have.
SELECT w.name, pg_catalog.pg_relation_size(pg_catalog.to_regclass('okto_change.' || w.name))
             / pg_catalog.current_setting('block_size')::bigint
  FROM pg_catalog.unnest(%(names)s::text[]) AS w (name)

-- name: series_trusted
-- As image_trusted, without the other chunks of the same batch: none of them can have written a row of these.
SELECT c.id
  FROM okto_change.capture AS c
  JOIN okto_change.captured_table AS t ON t.capture = c.id AND t.relid = %(relid)s::oid
 WHERE c.id >= %(first)s
   AND (c.undoes IS NOT NULL OR EXISTS (SELECT FROM okto_change.capture AS u WHERE u.undoes = c.id)
        OR EXISTS (SELECT FROM okto_change.applied AS a WHERE a.run = c.run AND a.unit = c.unit AND a.undone_xid IS NOT NULL))
   AND (c.run, pg_catalog.split_part(c.unit, '/', 1)) NOT IN (
        SELECT k.run, pg_catalog.split_part(k.unit, '/', 1) FROM okto_change.capture AS k WHERE k.id = ANY (%(captures)s))

-- name: series_writers
-- The transactions that moved the rows of chunks of one table.
SELECT DISTINCT n.writer::text FROM okto_change.image_native AS n WHERE n.capture = ANY (%(captures)s) AND n.relid = %(relid)s::oid

-- name: series_family
-- The captures of chunks of a batch, each with what took it back, what took that back, and so on.
WITH RECURSIVE family (root, id) AS (
    SELECT c.id, c.id FROM okto_change.capture AS c WHERE c.run = %(run)s AND c.unit = ANY (%(units)s::text[]) AND c.undoes IS NULL
    UNION ALL
    SELECT f.root, c.id FROM family AS f JOIN okto_change.capture AS c ON c.undoes = f.id
)
SELECT r.unit, pg_catalog.array_agg(f.id ORDER BY f.id)
  FROM family AS f JOIN okto_change.capture AS r ON r.id = f.root
 GROUP BY r.unit, f.root ORDER BY f.root

-- name: series_texts
-- Captures among these that have images as text.
SELECT w.capture FROM pg_catalog.unnest(%(captures)s::integer[]) AS w (capture)
 WHERE EXISTS (SELECT FROM okto_change.image AS i WHERE i.capture = w.capture)
