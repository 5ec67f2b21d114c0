-- with {"tables": {"settlement": {"columns": ["id", "status"], "key": ["id"], "triggers": ["stamp"]}}}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
