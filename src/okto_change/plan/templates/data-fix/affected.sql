SELECT count(*)
  FROM @table@
 WHERE id = {{ id }}
   AND status = 'WRONG';
