DELETE FROM payments WHERE id = 7;
