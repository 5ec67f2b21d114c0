-- What ends with a transaction.

-- name: afresh_settings
-- The role first: another one might not be allowed to set the others back.
SELECT 'role', pg_catalog.current_setting('role')
UNION ALL
SELECT s.name, s.setting FROM pg_catalog.pg_settings AS s
 WHERE s.context IN ('user', 'superuser') AND s.name::text NOT LIKE 'transaction\_%%'

-- name: afresh_deferred
-- Constraints that are deferred unless somebody says otherwise. A name that stands for others in its schema as well is left out.
SELECT n.nspname::text, c.conname::text
  FROM pg_catalog.pg_constraint AS c
  JOIN pg_catalog.pg_namespace AS n ON n.oid = c.connamespace AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
 WHERE c.condeferrable
 GROUP BY 1, 2
HAVING pg_catalog.bool_and(c.condeferred)
