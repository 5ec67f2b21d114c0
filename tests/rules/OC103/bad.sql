UPDATE settlement SET status = NULL WHERE merchant_id = NULL::bigint;
