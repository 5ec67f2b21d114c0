-- with {"demand_touches": true, "touches": ["settlement"]}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
