-- Large fixes in chunks: where a batch stands, its chunks, pauses, and what it should wait for.

-- name: batch_load
SELECT b.upper, b.chunks, b.invariants FROM okto_change.batch AS b WHERE b.run = %(run)s AND b.unit = %(unit)s

-- name: batch_open
INSERT INTO okto_change.batch (run, unit, upper, chunks, invariants)
VALUES (%(run)s, %(unit)s, %(upper)s, %(chunks)s, %(invariants)s::jsonb)

-- name: batch_close
UPDATE okto_change.batch
   SET closed_xid = pg_catalog.pg_current_xact_id()::text::bigint
 WHERE run = %(run)s AND unit = %(unit)s

-- name: batch_closed
SELECT b.closed_xid IS NOT NULL FROM okto_change.batch AS b WHERE b.run = %(run)s AND b.unit = %(unit)s

-- name: batch_rows
-- Rows of a table as its statistics say, those of partitions and children together; null when it was never analysed.
WITH RECURSIVE tree (oid) AS (
    SELECT %(oid)s::oid
    UNION
    SELECT i.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
)
SELECT CASE WHEN pg_catalog.bool_or(c.reltuples >= 0::real AND c.relkind = 'r')
            THEN pg_catalog.sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind = 'r') END::bigint
  FROM tree AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.oid

-- name: batch_leaves
-- The tables that hold the rows of a batch's table: itself, its partitions and children.
WITH RECURSIVE tree (oid) AS (
    SELECT %(oid)s::oid
    UNION
    SELECT i.inhrelid FROM tree AS t JOIN pg_catalog.pg_inherits AS i ON i.inhparent = t.oid
)
SELECT t.oid FROM tree AS t

-- name: batch_name
SELECT n.nspname::text, c.relname::text
  FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = %(oid)s::oid

-- name: batch_enter
SELECT pg_catalog.set_config('okto_change.batch_first', %(first)s, true),
       pg_catalog.set_config('okto_change.batch_last', %(last)s, true)

-- name: chunk_record
INSERT INTO okto_change.chunk (run, unit, number, first, last, rows, writes, xid)
VALUES (%(run)s, %(unit)s, %(number)s, %(first)s, %(last)s, %(rows)s::jsonb, %(writes)s::jsonb,
        pg_catalog.pg_current_xact_id()::text::bigint)

-- name: chunk_undone
UPDATE okto_change.chunk
   SET undone_by = %(undone_by)s, undone_xid = pg_catalog.pg_current_xact_id()::text::bigint,
       undone_at = pg_catalog.clock_timestamp(), left_rows = %(left)s
 WHERE run = %(run)s AND unit = %(unit)s AND number = %(number)s AND (undone_by IS NULL OR left_rows > 0)
RETURNING number

-- name: chunk_ahead
-- The next chunk to take back, below the one before: the latest that stands, or with %%(rest)s of which rows were left; how many
-- there are of these; how many chunks stand, and how many there are at all; how many rows were left of the other ones.
WITH known AS MATERIALIZED (
    SELECT c.number, c.undone_by IS NULL AS stands, c.left_rows,
           (c.undone_by IS NULL OR (%(rest)s AND c.left_rows > 0)) AND coalesce(c.number < %(below)s::bigint, true) AS due
      FROM okto_change.chunk AS c WHERE c.run = %(run)s AND c.unit = %(unit)s
), following (number) AS (
    SELECT pg_catalog.max(k.number) FROM known AS k WHERE k.due
)
SELECT (SELECT f.number FROM following AS f), pg_catalog.count(*) FILTER (WHERE k.due), pg_catalog.count(*) FILTER (WHERE k.stands),
       pg_catalog.count(*), coalesce(pg_catalog.bool_or(k.stands) FILTER (WHERE k.number = (SELECT f.number FROM following AS f)), false),
       coalesce(pg_catalog.sum(k.left_rows) FILTER (WHERE k.number IS DISTINCT FROM (SELECT f.number FROM following AS f)), 0)::bigint
  FROM known AS k

-- name: chunk_standing
-- How many chunks stand, the number and the last key of the latest, how many were taken back.
SELECT pg_catalog.count(*) FILTER (WHERE c.undone_by IS NULL), coalesce(pg_catalog.max(c.number) FILTER (WHERE c.undone_by IS NULL), 0),
       (SELECT l.last FROM okto_change.chunk AS l
         WHERE l.run = %(run)s AND l.unit = %(unit)s AND l.undone_by IS NULL ORDER BY l.number DESC LIMIT 1),
       pg_catalog.count(*) FILTER (WHERE c.undone_by IS NOT NULL)
  FROM okto_change.chunk AS c WHERE c.run = %(run)s AND c.unit = %(unit)s

-- name: chunk_rows
-- Rows of each statement over the chunks that stand, by its place; null where one does not tell.
SELECT CASE WHEN pg_catalog.bool_and(pg_catalog.jsonb_typeof(r.rows) = 'number') THEN pg_catalog.sum((r.rows #>> '{}'::text[])::bigint) END::bigint
  FROM okto_change.chunk AS c CROSS JOIN LATERAL pg_catalog.jsonb_array_elements(c.rows) WITH ORDINALITY AS r (rows, place)
 WHERE c.run = %(run)s AND c.unit = %(unit)s AND c.undone_by IS NULL
 GROUP BY r.place ORDER BY r.place

-- name: chunk_writes
SELECT w.key, pg_catalog.sum((w.value ->> 0)::bigint)::bigint, pg_catalog.sum((w.value ->> 1)::bigint)::bigint,
       pg_catalog.sum((w.value ->> 2)::bigint)::bigint, pg_catalog.sum((w.value ->> 3)::bigint)::bigint
  FROM okto_change.chunk AS c CROSS JOIN LATERAL pg_catalog.jsonb_each(c.writes) AS w
 WHERE c.run = %(run)s AND c.unit = %(unit)s
   AND CASE WHEN %(numbers)s::bigint[] IS NULL THEN c.undone_by IS NULL ELSE c.number = ANY (%(numbers)s::bigint[]) END
 GROUP BY w.key ORDER BY w.key COLLATE "C"

-- name: chunk_done
-- Every chunk: its keys, how many rows it imaged, whether it stands; else how many rows were left of it, and the names of the
-- images that tell how it was taken back, the last ones first: those that nothing has put back.
SELECT c.number, c.first, c.last,
       (SELECT coalesce(pg_catalog.sum((w.value ->> 3)::bigint), 0)::bigint FROM pg_catalog.jsonb_each(c.writes) AS w),
       c.undone_by IS NULL, c.left_rows, ARRAY(
        SELECT u.run FROM okto_change.capture AS o JOIN okto_change.capture AS u ON u.undoes = o.id
         WHERE c.undone_by IS NOT NULL AND o.run = c.run AND o.unit = c.unit || '/' || c.number::text AND o.undoes IS NULL
           AND NOT EXISTS (SELECT FROM okto_change.capture AS r WHERE r.undoes = u.id)
         ORDER BY u.id DESC)
  FROM okto_change.chunk AS c
 WHERE c.run = %(run)s AND c.unit = %(unit)s
 ORDER BY c.number

-- name: chunk_redone
UPDATE okto_change.chunk
   SET undone_by = NULL, undone_xid = NULL, undone_at = NULL, left_rows = 0,
       redone_by = %(redone_by)s, redone_xid = pg_catalog.pg_current_xact_id()::text::bigint
 WHERE run = %(run)s AND unit = %(unit)s AND number = %(number)s AND undone_by IS NOT NULL
RETURNING number

-- name: batch_redone
UPDATE okto_change.applied
   SET redone_by = %(redone_by)s, redone_xid = pg_catalog.pg_current_xact_id()::text::bigint
 WHERE run = %(run)s AND unit = %(unit)s AND undone_by IS NULL

-- name: pause_ask
INSERT INTO okto_change.pause AS p (run, person) VALUES (%(run)s, %(person)s)
ON CONFLICT (run) DO UPDATE SET person = EXCLUDED.person, at = pg_catalog.clock_timestamp()

-- name: pause_asked
SELECT p.person, p.at FROM okto_change.pause AS p WHERE p.run = %(run)s

-- name: pause_end
DELETE FROM okto_change.pause AS p WHERE p.run = %(run)s

-- name: blocked_by_us
SELECT pg_catalog.count(*)
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.wait_event_type = 'Lock' AND pg_catalog.pg_backend_pid() = ANY (pg_catalog.pg_blocking_pids(a.pid))

-- name: replica_lag
-- How far the slowest replica is behind, in milliseconds: 0 without replicas, null where this role may not see it.
-- A replica that answers no more has an old replay_lag, so the time since its last answer counts while it lacks something.
SELECT CASE WHEN pg_catalog.count(*) = 0 THEN 0
            WHEN pg_catalog.bool_or(r.state IS NULL) THEN NULL
            ELSE coalesce(pg_catalog.max(greatest(
                     extract(epoch FROM r.replay_lag)::double precision,
                     CASE WHEN r.replay_lsn IS DISTINCT FROM pg_catalog.pg_current_wal_lsn()
                          THEN extract(epoch FROM pg_catalog.clock_timestamp() - r.reply_time)::double precision END)) * 1000::double precision, 0)
       END::bigint
  FROM pg_catalog.pg_stat_replication AS r
