DELETE FROM settlement WHERE status = 'STUCK' AND 1 = 1;
