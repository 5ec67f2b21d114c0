-- What okto-change keeps in a target: the installed schema, what is applied, who holds the target.

-- name: schema_installed
SELECT pg_catalog.to_regclass('okto_change.installed') IS NOT NULL

-- name: schema_version
SELECT version, digest FROM okto_change.installed

-- name: schema_lock
-- Two first runs at once would both create the schema. The key spells "okto-ins" and is never changed.
SELECT pg_catalog.pg_advisory_xact_lock(8028085246060623475)

-- name: schema_record
INSERT INTO okto_change.installed AS i (only_row, version, digest)
VALUES (true, %(version)s, %(digest)s)
ON CONFLICT (only_row) DO UPDATE SET version = EXCLUDED.version, digest = EXCLUDED.digest, at = pg_catalog.clock_timestamp()

-- name: record_applied
INSERT INTO okto_change.applied (run, unit, change, environment, digest, executor, xid)
VALUES (%(run)s, %(unit)s, %(change)s, %(environment)s, %(digest)s, %(executor)s,
        pg_catalog.pg_current_xact_id()::text::bigint)

-- name: record_undone
UPDATE okto_change.applied
   SET undone_by = %(undone_by)s, undone_xid = pg_catalog.pg_current_xact_id()::text::bigint,
       undone_at = pg_catalog.clock_timestamp(), left_rows = %(left)s
 WHERE run = %(run)s AND unit = %(unit)s AND (undone_by IS NULL OR left_rows > 0)
RETURNING run

-- name: record_redone
UPDATE okto_change.applied
   SET undone_by = NULL, undone_xid = NULL, undone_at = NULL, left_rows = 0,
       redone_by = %(redone_by)s, redone_xid = pg_catalog.pg_current_xact_id()::text::bigint
 WHERE run = %(run)s AND unit = %(unit)s AND undone_by IS NOT NULL
RETURNING run

-- name: keep_altered
INSERT INTO okto_change.altered (run, unit, objects) VALUES (%(run)s, %(unit)s, %(objects)s::jsonb)

-- name: altered
SELECT a.objects FROM okto_change.altered AS a WHERE a.run = %(run)s AND a.unit = %(unit)s

-- name: applied
SELECT run, unit, change, environment, digest, xid, at, undone_by
  FROM okto_change.applied
 WHERE change = %(change)s AND environment = %(environment)s
 ORDER BY at, xid, unit COLLATE "C"

-- name: first_environment
-- Whose database this is: the environment that was the first to have a change applied here.
SELECT a.environment FROM okto_change.applied AS a ORDER BY a.at, a.xid LIMIT 1

-- name: recorded_runs
-- Every run that committed or took back something here.
SELECT DISTINCT r.run
  FROM okto_change.applied AS a
 CROSS JOIN LATERAL (VALUES (a.run), (a.undone_by), (a.redone_by)) AS r (run)
 WHERE a.environment = %(environment)s AND r.run IS NOT NULL

-- name: backend
-- The transaction id is assigned here if it was not yet, so that it can be written down before any effect.
SELECT pg_catalog.pg_current_xact_id()::text::bigint, a.pid,
       pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.pid = pg_catalog.pg_backend_pid()

-- name: target_holder
-- Everybody may read pid and application_name of everybody; the times only of the own role.
SELECT l.pid, a.application_name, a.usename::text, a.client_addr::text, a.xact_start
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND l.mode = 'ExclusiveLock'
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
   AND l.relation = 'okto_change.target'::pg_catalog.regclass::oid

-- name: xact_status
-- NULL when the transaction is too old to be known; an error (22023) when its id is from the future.
SELECT pg_catalog.pg_xact_status(%(xid)s::text::xid8)

-- name: xid_recorded
SELECT EXISTS (SELECT FROM okto_change.applied AS a
                WHERE (a.xid = %(xid)s AND a.run = %(run)s) OR (a.undone_xid = %(xid)s AND a.undone_by = %(run)s)
                   OR (a.redone_xid = %(xid)s AND a.redone_by = %(run)s))
    OR EXISTS (SELECT FROM okto_change.chunk AS c WHERE c.run = %(run)s AND c.xid = %(xid)s)
    OR EXISTS (SELECT FROM okto_change.batch AS b WHERE b.run = %(run)s AND b.closed_xid = %(xid)s)
    OR EXISTS (SELECT FROM okto_change.chunk AS c WHERE c.undone_by = %(run)s AND c.undone_xid = %(xid)s)
    OR EXISTS (SELECT FROM okto_change.chunk AS c WHERE c.redone_by = %(run)s AND c.redone_xid = %(xid)s)
