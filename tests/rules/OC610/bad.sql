-- with {"batch": {}, "tables": {"settlement": {"columns": ["id", "status"], "key": ["id"], "types": {"id": "integer"}}}}
UPDATE settlement SET status = 'RELEASED' WHERE id BETWEEN current_setting('okto_change.batch_first')::bigint AND current_setting('okto_change.batch_last')::bigint;
