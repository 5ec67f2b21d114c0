-- with {"tables": {"settlement": {"columns": ["id", "status", "amount", "merchant_id"], "key": ["id"]}}}
UPDATE settlement SET state = 'RELEASED' WHERE id = 17;
