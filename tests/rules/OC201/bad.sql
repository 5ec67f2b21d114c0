-- with {"tables": {"settlement": {"columns": ["id", "status", "amount", "merchant_id"], "key": ["id"]}, "settlment": null}}
UPDATE settlment SET status = 'RELEASED' WHERE id = 17;
