-- with {"tables": {"settlement": {"columns": ["id", "status"], "key": null}}}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
