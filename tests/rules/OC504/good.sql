UPDATE "settlement" SET status = U&'RELEAS\0045D' WHERE id = 17;
