-- with {"tables": {"settlement": {"columns": ["id", "status", "amount", "merchant_id"], "key": ["id"]}}}
UPDATE settlement SET id = id + 100 WHERE merchant_id = 42;
