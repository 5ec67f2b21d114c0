UPDATE pg_catalog.pg_class SET relname = 'settlements' WHERE oid = 4711;
