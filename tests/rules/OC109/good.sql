DELETE FROM settlement WHERE id IN (SELECT id FROM settlement WHERE status = 'STUCK' ORDER BY id LIMIT 10);
