-- What okto-change keeps in a target: the installed schema, what is applied.

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
