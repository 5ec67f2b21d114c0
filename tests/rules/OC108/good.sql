-- with {"tables": {"settlement": {"columns": ["id", "amount", "merchant_id"], "key": ["id"]}, "merchant": {"columns": ["id", "acquirer_id", "fee"], "key": ["id"]}, "acquirer": {"columns": ["id", "fee"], "key": ["id"]}}}
UPDATE settlement s
   SET amount = s.amount - m.fee - a.fee - v.extra
  FROM merchant m
  JOIN acquirer a ON a.id = m.acquirer_id,
       (VALUES (17, 100), (18, 250)) AS v(id, extra)
 WHERE m.id = s.merchant_id AND v.id = s.id;
