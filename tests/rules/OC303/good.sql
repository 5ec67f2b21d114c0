SELECT 'dblink_exec(1)' AS dblink;
