UPDATE settlеment SET status = 'RELEASED' WHERE id = 17;
