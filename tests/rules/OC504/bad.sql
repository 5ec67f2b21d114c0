UPDATE U&"s\0065ttlement" SET status = 'RELEASED' WHERE id = 17;
