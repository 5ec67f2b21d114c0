SELECT count(*)
  FROM transactions AS t
 WHERE t.status = 'CAPTURED'
   AND NOT EXISTS (SELECT FROM ledger_entries AS e WHERE e.transaction_id = t.id)
