UPDATE settlement SET reference = gen_random_uuid() WHERE id = 17;
