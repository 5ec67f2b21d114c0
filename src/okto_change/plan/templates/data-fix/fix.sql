UPDATE @table@
   SET status = 'CORRECTED'
 WHERE id = {{ id }}
   AND status = 'WRONG';
