-- with {"rows": [1]}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
DELETE FROM settlement WHERE id = 18;
