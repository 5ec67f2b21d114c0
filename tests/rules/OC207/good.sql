-- with {"touches": ["settlement", "public.settlement_event"]}
DELETE FROM settlement_event WHERE settlement_id = 17;
