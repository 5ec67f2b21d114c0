-- with {"touches": ["settlement"]}
DELETE FROM settlement_event WHERE settlement_id = 17;
