DELETE FROM settlement WHERE id IN (SELECT id FROM settlement WHERE status = 'STUCK' LIMIT 10);
