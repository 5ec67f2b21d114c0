SELECT count(*) FROM settlement;
