-- Nobody but the owner: what default privileges of the role or the database gave away is taken back. Safe to run again.

DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT DISTINCT pg_catalog.format('SCHEMA %I', n.nspname) AS object, x.grantee
          FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) AS x
         WHERE n.nspname = 'okto_change' AND x.grantee <> n.nspowner
        UNION
        SELECT pg_catalog.format('%s okto_change.%I', CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.relname), x.grantee
          FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x
         WHERE c.relnamespace = pg_catalog.to_regnamespace('okto_change')::oid AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
           AND x.grantee <> c.relowner
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', given.object,
            CASE WHEN given.grantee = 0::oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(given.grantee)) END);
    END LOOP;
END
$$;
