DO $$ BEGIN UPDATE settlement SET status = 'RELEASED' WHERE id = 17; END $$;
