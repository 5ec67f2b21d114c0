UPDATE card SET blocked = true WHERE id = 4711 AND last_four = '1111';
