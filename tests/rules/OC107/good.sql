UPDATE settlement SET status = 'EXPIRED' WHERE created_at < timestamptz '2026-10-23 00:00Z';
