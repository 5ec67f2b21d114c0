SELECT setval('settlement_id_seq', 1000);
