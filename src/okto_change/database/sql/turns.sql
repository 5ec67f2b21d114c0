-- Whose turn it is: one command at a time may change a change's standing in an environment.

-- name: turn_take
-- Session-level on purpose: it ends with the connection, so with the process, however that ends.
SELECT pg_catalog.pg_try_advisory_lock(%(key)s)

-- name: turn_keepalive
-- Has the server notice within a minute that the machine at the other end is gone. Without effect on Unix sockets.
SELECT pg_catalog.set_config('tcp_keepalives_idle', '30', false), pg_catalog.set_config('tcp_keepalives_interval', '10', false),
       pg_catalog.set_config('tcp_keepalives_count', '3', false)

-- name: turn_holder
SELECT l.pid, a.usename::text, pg_catalog.host(a.client_addr), a.backend_start
  FROM pg_catalog.pg_locks AS l
  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
   AND l.classid::bigint = %(high)s AND l.objid::bigint = %(low)s
