DELETE FROM settlement WHERE random() < 0.1;
