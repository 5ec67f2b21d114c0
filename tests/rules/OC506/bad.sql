DELTE FROM payments WHERE id = 7;
