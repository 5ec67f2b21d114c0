-- The events first: afterwards nothing tells the stuck ones from those that were released in time.
INSERT INTO settlement_events (settlement_id, kind)
SELECT id, 'released'
  FROM settlements
 WHERE status = 'PENDING'
   AND merchant_id = {{ merchant_id }}
   AND requested_at <@ {{ outage }};

UPDATE settlements
   SET status = 'RELEASED', released_at = now()
 WHERE status = 'PENDING'
   AND merchant_id = {{ merchant_id }}
   AND requested_at <@ {{ outage }};
