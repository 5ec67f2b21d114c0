UPDATE settlement SET status = 'COMMIT' WHERE id = 17;
