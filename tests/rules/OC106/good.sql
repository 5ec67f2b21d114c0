DELETE FROM settlement WHERE id % 10 = 0;
