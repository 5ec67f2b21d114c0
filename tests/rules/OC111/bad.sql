TRUNCATE settlement;
