UPDATE settlement SET status = 'RELEASED';
