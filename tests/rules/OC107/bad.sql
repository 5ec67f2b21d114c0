UPDATE settlement SET status = 'EXPIRED' WHERE created_at < now() - interval '30 days';
