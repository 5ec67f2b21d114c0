DELETE FROM settlement WHERE status = 'STUCK';
