SELECT 'pg_notify';
