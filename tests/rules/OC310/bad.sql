SELECT pg_notify('settlements', '17');
