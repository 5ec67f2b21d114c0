DELETE FROM settlement WHERE status = 'STUCK' OR 1 = 1;
