INSERT INTO settlement (id, status) VALUES (17, 'PENDING');
INSERT INTO settlement DEFAULT VALUES;
