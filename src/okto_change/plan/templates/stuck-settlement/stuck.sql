SELECT count(*)
  FROM settlements
 WHERE status = 'PENDING'
   AND merchant_id = {{ merchant_id }}
   AND requested_at <@ {{ outage }};
