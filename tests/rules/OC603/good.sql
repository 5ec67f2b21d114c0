-- with {"demand_rows": true, "rows": [1]}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
