-- The events first: afterwards nothing tells the stuck ones from those that were released in time.
INSERT INTO settlement_events (settlement_id, kind, detail)
SELECT id, 'released', '{"incident": "INC-2031"}'
  FROM settlements
 WHERE status = 'PENDING'
   AND acquirer_id = (SELECT id FROM acquirers WHERE code = {{ acquirer }})
   AND requested_at <@ {{ outage }};

UPDATE settlements
   SET status = 'RELEASED', released_at = now()
 WHERE status = 'PENDING'
   AND acquirer_id = (SELECT id FROM acquirers WHERE code = {{ acquirer }})
   AND requested_at <@ {{ outage }};
