INSERT INTO ledger_entries (booked_on, account, currency, amount, transaction_id)
SELECT t.captured_at::date, 'acquirer:' || t.acquirer_id, t.currency, t.amount, t.id
  FROM transactions AS t
 WHERE t.status = 'CAPTURED'
   AND NOT EXISTS (SELECT FROM ledger_entries AS e WHERE e.transaction_id = t.id);

INSERT INTO ledger_entries (booked_on, account, currency, amount, transaction_id)
SELECT t.captured_at::date, 'merchant:' || t.merchant_id, t.currency, -t.net, t.id
  FROM transactions AS t
 WHERE t.status = 'CAPTURED'
   AND NOT EXISTS (SELECT FROM ledger_entries AS e WHERE e.transaction_id = t.id AND e.account LIKE 'merchant:%');
