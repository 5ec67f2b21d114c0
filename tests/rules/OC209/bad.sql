-- with {"tables": {"settlement": {"columns": ["id", "status"], "key": ["id"], "kind": "f"}}}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
