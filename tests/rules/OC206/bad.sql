-- with {"tables": {"settlement": {"columns": ["id", "status"], "key": ["id"], "row_security": true}}}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
