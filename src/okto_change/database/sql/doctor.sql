-- What doctor looks at. Reads only.

-- name: doctor_settings
SELECT pg_catalog.current_setting('server_version'), pg_catalog.current_setting('default_transaction_read_only'),
       pg_catalog.current_setting('track_counts'), pg_catalog.current_setting('synchronous_commit'),
       pg_catalog.current_setting('session_replication_role'), pg_catalog.current_setting('search_path'),
       pg_catalog.clock_timestamp()

-- name: doctor_schema
-- Privileges on a schema that is not there would raise: the owner is NULL then.
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),
       (SELECT pg_catalog.pg_get_userbyid(n.nspowner)::text FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'okto_change'),
       (SELECT pg_catalog.pg_has_role(n.nspowner, 'USAGE') FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'okto_change')

-- name: doctor_readers
-- Rights of others on schema okto_change and what is in it; 0 is PUBLIC.
SELECT coalesce(g.rolname::text, 'everybody'), r.privilege_type, r.name
  FROM (SELECT n.nspowner AS owner, n.nspname::text AS name, x.grantee, x.privilege_type
          FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS x
         WHERE n.nspname = 'okto_change'
        UNION ALL
        SELECT c.relowner, 'okto_change.' || c.relname::text, x.grantee, x.privilege_type
          FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
         WHERE c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
       ) AS r
  LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = r.grantee
 WHERE r.grantee <> r.owner
 ORDER BY 1, 3, 2

-- name: doctor_table
SELECT pg_catalog.pg_has_role(c.relowner, 'USAGE'),
       pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE'),
       pg_catalog.row_security_active(c.oid),
       ARRAY(SELECT p.name
               FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRIGGER']) AS p (name)
              WHERE NOT pg_catalog.has_table_privilege(c.oid, p.name))
  FROM pg_catalog.pg_class AS c
 WHERE c.oid = %(oid)s::oid

-- name: doctor_leftovers
SELECT DISTINCT (n.nspname::text || '.' || c.relname::text) COLLATE "C"
  FROM pg_catalog.pg_trigger AS t
  JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
  JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
 WHERE p.pronamespace = pg_catalog.to_regnamespace('okto_change')::oid AND n.nspname <> 'okto_change' AND NOT t.tgisinternal
 ORDER BY 1

-- name: doctor_idle
-- Old open transactions in this database, ours excepted; of other roles only what this role may see.
SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''),
       pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() - a.xact_start)::bigint
  FROM pg_catalog.pg_stat_activity AS a
 WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
   AND a.xact_start < pg_catalog.clock_timestamp() - interval '60 seconds'
 ORDER BY a.xact_start
 LIMIT 5

-- name: doctor_prepared
SELECT pg_catalog.count(*), pg_catalog.min(p.prepared)
  FROM pg_catalog.pg_prepared_xacts AS p
 WHERE p.database = pg_catalog.current_database()
