SET LOCAL work_mem = '1GB';
SET CONSTRAINTS ALL DEFERRED;
SELECT set_config('work_mem', '1GB', true);
