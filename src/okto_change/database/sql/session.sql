-- Who and where we are. In every file here a query is a line "-- name: x", lines of comment, one statement.

-- name: identity
-- Which database this is, and as whom we are here. The system identifier is read apart, since reading it can be forbidden.
SELECT pg_catalog.current_database()::text,
       pg_catalog.current_setting('server_version_num')::int,
       current_user::text,
       NOT pg_catalog.pg_is_in_recovery(),
       (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user),
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE'),
       pg_catalog.pg_backend_pid()

-- name: system_identifier
SELECT system_identifier::text FROM pg_catalog.pg_control_system()

-- name: session_prepared
-- Statements that were prepared by PREPARE; a driver prepares its own by the protocol.
SELECT p.name FROM pg_catalog.pg_prepared_statements AS p WHERE p.from_sql
