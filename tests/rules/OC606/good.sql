UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
