DELETE FROM settlement WHERE id = 17;
