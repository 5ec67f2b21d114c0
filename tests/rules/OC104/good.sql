-- with {"tables": {"settlement": {"columns": ["id", "status", "amount", "merchant_id"], "key": ["id"]}}}
UPDATE settlement SET amount = amount + 100 WHERE merchant_id = 42;
