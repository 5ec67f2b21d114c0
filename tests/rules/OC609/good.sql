-- with {"batch": {}}
UPDATE settlement SET status = 'RELEASED' WHERE id BETWEEN current_setting('okto_change.batch_first')::bigint AND current_setting('okto_change.batch_last')::bigint;
DELETE FROM settlement WHERE id BETWEEN current_setting('okto_change.batch_first')::bigint AND current_setting('okto_change.batch_last')::bigint;
