-- with {"tables": {"settlement": {"columns": ["id", "amount", "merchant_id"], "key": ["id"]}, "merchant": {"columns": ["id", "acquirer_id", "fee"], "key": ["id"]}, "acquirer": {"columns": ["id", "fee"], "key": ["id"]}}}
UPDATE settlement s SET amount = s.amount - m.fee FROM merchant m WHERE m.acquirer_id = s.merchant_id;
