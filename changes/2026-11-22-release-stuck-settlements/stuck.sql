SELECT count(*)
  FROM settlements
 WHERE status = 'PENDING'
   AND acquirer_id = (SELECT id FROM acquirers WHERE code = {{ acquirer }})
   AND requested_at <@ {{ outage }}
