-- with {"touches": ["settlement"], "tables": {"settlement": {"columns": ["id", "status", "amount", "merchant_id"], "key": ["id"]}, "settlment": null}}
UPDATE settlement SET status = 'RELEASED' WHERE id = 17;
