UPDATE card SET blocked = true WHERE pan = '4111 1111 1111 1111';
