SELECT nextval('settlement_id_seq');
