-- What a transaction leaves behind even when it is rolled back.

-- name: sequences
-- last_value is NULL for a sequence that was never used, or that this role may not read.
SELECT pg_catalog.format('%I.%I', s.schemaname, s.sequencename), s.last_value
  FROM pg_catalog.pg_sequences AS s
 WHERE s.schemaname <> 'okto_change'
 ORDER BY 1

-- name: wal_position
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint
