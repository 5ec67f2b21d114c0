-- How long images are kept, and what is left of them.

-- name: retention_now
SELECT pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => %(keep)s)

-- name: retention_families
-- Captures that have images, each with all that took it back: they tell only together what stands. Nothing younger than the limit.
WITH RECURSIVE family (root, id) AS (
    SELECT c.id, c.id FROM okto_change.capture AS c WHERE c.undoes IS NULL
    UNION ALL
    SELECT f.root, c.id FROM family AS f JOIN okto_change.capture AS c ON c.undoes = f.id
)
SELECT o.run, pg_catalog.array_agg(c.id ORDER BY c.id), pg_catalog.array_agg(DISTINCT pg_catalog.split_part(c.run, '/', 1))
  FROM family AS f
  JOIN okto_change.capture AS c ON c.id = f.id
  JOIN okto_change.capture AS o ON o.id = f.root
 GROUP BY f.root, o.run
HAVING pg_catalog.max(c.at) < %(before)s
   AND pg_catalog.bool_or(EXISTS (SELECT FROM okto_change.image AS i WHERE i.capture = c.id)
                       OR EXISTS (SELECT FROM okto_change.image_native AS n WHERE n.capture = c.id))
 ORDER BY f.root

-- name: retention_texts
-- Images in the shared table: count and digest by capture and table.
SELECT h.capture, h.relid, pg_catalog.count(*),
       'sha256:' || pg_catalog.encode(pg_catalog.sha256(pg_catalog.string_agg(h.one, ''::bytea ORDER BY h.one)), 'hex')
  FROM (SELECT i.capture, i.relid,
               pg_catalog.sha256(pg_catalog.convert_to(ROW(i.op, i.before, i.after)::text, 'UTF8')) AS one
          FROM okto_change.image AS i WHERE i.capture = ANY (%(captures)s)) AS h
 GROUP BY h.capture, h.relid
 ORDER BY h.capture, h.relid

-- name: retention_natives
-- Tables of their own that hold images of these captures: name, capture, table, part; and whether other chunks share them.
SELECT c.relname::text, m.part[1]::integer, m.part[2]::bigint, m.part[3], false
  FROM pg_catalog.pg_class AS c
 CROSS JOIN LATERAL pg_catalog.regexp_match(c.relname, '^rows_([0-9]+)_([0-9]+)_(old|new)$') AS m (part)
 WHERE c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relkind = 'r'
   AND m.part[1]::integer = ANY (%(captures)s)
   AND NOT EXISTS (SELECT FROM okto_change.image_native AS n WHERE n.home = m.part[1]::integer)
UNION ALL
SELECT c.relname::text, n.source, n.relid::bigint, p.part, true
  FROM okto_change.image_native AS n
 CROSS JOIN LATERAL (VALUES ('new'), ('old')) AS p (part)
  JOIN pg_catalog.pg_class AS c ON c.relname = pg_catalog.concat('rows_', n.home, '_', n.relid, '_', p.part)
   AND c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relkind = 'r'
 WHERE n.capture = ANY (%(captures)s) AND n.home IS NOT NULL AND n.capture = n.source AND (p.part = 'old' OR NOT n.foreseen)
 ORDER BY 2, 3, 4

-- name: retention_note
INSERT INTO okto_change.purged (target, origin, capture, run, unit, object, part, rows, digest)
SELECT %(target)s, %(origin)s, c.id, c.run, c.unit,
       coalesce((SELECT (k.shape ->> 'schema'::text) || '.' || (k.shape ->> 'name'::text) FROM okto_change.captured_table AS k
                  WHERE k.capture = c.id AND k.relid = %(relid)s::bigint::oid), pg_catalog.concat('table ', %(relid)s::bigint)),
       %(part)s, %(rows)s, %(digest)s
  FROM okto_change.capture AS c WHERE c.id = %(capture)s
RETURNING run, unit, object, part, rows, digest

-- name: retention_remove
WITH natives AS (DELETE FROM okto_change.image_native AS n WHERE n.capture = ANY (%(captures)s)),
     unchecked AS (DELETE FROM okto_change.unchecked_row AS u WHERE u.capture = ANY (%(captures)s))
DELETE FROM okto_change.image AS i WHERE i.capture = ANY (%(captures)s)

-- name: retention_empty
-- Tables of images that chunks of a batch shared, and of which none has any more.
SELECT c.relname::text
  FROM pg_catalog.pg_class AS c
 CROSS JOIN LATERAL pg_catalog.regexp_match(c.relname, '^rows_([0-9]+)_([0-9]+)_(old|new)$') AS m (part)
 WHERE c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relkind = 'r'
   AND m.part[1]::integer = ANY (%(homes)s)
   AND NOT EXISTS (SELECT FROM okto_change.image_native AS n WHERE n.home = m.part[1]::integer)

-- name: retention_homes
SELECT DISTINCT n.home FROM okto_change.image_native AS n WHERE n.capture = ANY (%(captures)s) AND n.home IS NOT NULL

-- name: retention_edits
-- Runs whose images of config edits are all older than the limit.
SELECT e.run FROM okto_change.edit_image AS e GROUP BY e.run HAVING pg_catalog.max(e.at) < %(before)s ORDER BY e.run

-- name: retention_remove_edits
WITH gone AS (DELETE FROM okto_change.edit_image AS e WHERE e.run = %(run)s RETURNING e.*)
INSERT INTO okto_change.purged (target, origin, run, unit, object, part, rows, digest)
SELECT %(target)s, g.run, g.run, g.unit::text, g.target || ':' || g.file, c.part, 1,
       'sha256:' || pg_catalog.encode(pg_catalog.sha256(c.content), 'hex')
  FROM gone AS g CROSS JOIN LATERAL (VALUES ('before', g.before), ('after', g.after)) AS c (part, content)
RETURNING run, unit, object, part, rows, digest

-- name: retention_purged
SELECT p.origin, p.run, p.unit, p.object, p.part, p.rows, p.digest FROM okto_change.purged AS p WHERE p.target = %(target)s ORDER BY p.number

-- name: retention_purged_at
-- When the images of a unit of a run were taken away; no row if they were not.
SELECT pg_catalog.max(p.at) FROM okto_change.purged AS p WHERE p.run = %(run)s AND p.unit = %(unit)s HAVING pg_catalog.count(*) > 0

-- name: retention_there
SELECT pg_catalog.to_regclass('okto_change.purged') IS NOT NULL
