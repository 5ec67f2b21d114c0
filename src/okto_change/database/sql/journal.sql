-- The journal: the next entry, and entries as they lie there.

-- name: journal_there
SELECT pg_catalog.to_regclass('okto_change.entry') IS NOT NULL

-- name: journal_lock
-- One appender at a time, to the end of its transaction. A statement of its own, so that the next one sees what was committed
-- meanwhile. The key spells "okto-jou" and is never changed; okto_change.entry_follow() takes the same.
SELECT pg_catalog.pg_advisory_xact_lock(8028638781570183029)

-- name: journal_begin
-- Limits of an entry's transaction in milliseconds, and whether COMMIT returns only when the entry is on disk, whatever the role
-- or the database is set to. With "off" the next entry that waits for the disk puts this one there, too.
SELECT pg_catalog.set_config('lock_timeout', %(lock)s::text, true),
       pg_catalog.set_config('statement_timeout', %(statement)s::text, true),
       pg_catalog.set_config('idle_in_transaction_session_timeout', '60000', true),
       pg_catalog.set_config('synchronous_commit', CASE WHEN %(durable)s THEN 'on' ELSE 'off' END, true)

-- name: journal_next
-- Number and previous hash of the next entry, its moment (the server's clock, never before the last entry's), and the number
-- of the run's last entry, 0 without one.
SELECT coalesce(e.number, 0) + 1, e.hash, greatest(pg_catalog.clock_timestamp(), e.at),
       (SELECT coalesce(max(r.number), 0) FROM okto_change.entry AS r WHERE r.run = %(run)s)
FROM (VALUES (1)) AS one (row)
LEFT JOIN LATERAL (SELECT number, hash, at FROM okto_change.entry ORDER BY number DESC LIMIT 1) AS e ON true

-- name: journal_append
INSERT INTO okto_change.entry (number, at, actor, kind, run, change, environment, content, previous, hash)
VALUES (%(number)s, %(at)s, %(actor)s, %(kind)s, %(run)s, %(change)s, %(environment)s, %(content)s, %(previous)s, %(hash)s)

-- name: journal_page
-- The next entries after a number, in order; a filter that is null lets all through.
SELECT number, content, previous, hash, at, actor, kind, run, change, environment
FROM okto_change.entry
WHERE number > %(after)s
  AND (%(change)s::text IS NULL OR change = %(change)s)
  AND (%(environment)s::text IS NULL OR environment = %(environment)s)
  AND (%(run)s::text IS NULL OR run = %(run)s)
ORDER BY number
LIMIT %(size)s

-- name: journal_guards
-- The triggers that stand as they were installed: enabled always, for every row or statement, with our function.
SELECT t.tgname::text
FROM pg_catalog.pg_trigger AS t
WHERE t.tgrelid = 'okto_change.entry'::regclass::oid AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr = ''
  AND (t.tgname, t.tgfoid, t.tgtype::int) IN (
      ('entry_refuse', 'okto_change.entry_refuse()'::regprocedure::oid, 2 + 8 + 16 + 32),
      ('entry_follow', 'okto_change.entry_follow()'::regprocedure::oid, 1 + 2 + 4))
