-- with {"demand_rows": true}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
