SELECT public.dblink_exec('service=archive', 'DELETE FROM settlement');
