-- with {"as": "check"}
SELECT count(*) FROM settlement WHERE status = 'PENDING';
