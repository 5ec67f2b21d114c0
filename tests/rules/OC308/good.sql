UPDATE settlement SET status = 'RELEASED' WHERE id IN (SELECT objid FROM pg_catalog.pg_description);
