UPDATE settlement SET status = NULL WHERE merchant_id IS NULL;
