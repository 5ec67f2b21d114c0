-- with {"batch": {}}
UPDATE settlement SET status = 'RELEASED' WHERE status = 'PENDING' AND (id BETWEEN current_setting('okto_change.batch_first')::bigint AND current_setting('okto_change.batch_last')::bigint);
