-- with {"demand_touches": true}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
