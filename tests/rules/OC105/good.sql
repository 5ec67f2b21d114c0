UPDATE settlement SET reference = md5(merchant_id::text) WHERE id = 17;
