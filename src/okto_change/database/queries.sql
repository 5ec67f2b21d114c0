-- Every query of ours that is not composed at run time. A block is "-- name: x", a line of comment, the statement.

-- name: identity
-- Which database this is, and as whom we are here. pg_control_system needs no privilege since PostgreSQL 10's default grants.
SELECT (SELECT system_identifier::text FROM pg_catalog.pg_control_system()),
       pg_catalog.current_database(),
       pg_catalog.current_setting('server_version_num')::int,
       current_user::text,
       NOT pg_catalog.pg_is_in_recovery(),
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)
