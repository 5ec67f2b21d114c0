UPDATE merchants
   SET settings = jsonb_set(settings, '{daily_limit}', {{ daily_limit }})
 WHERE id = {{ merchant_id }};
