-- The ledger: decisions that were used up, and the newest policy that a run went by.

-- name: ledger_take
INSERT INTO okto_change.authorisation (statement, run, change, environment)
SELECT s, %(run)s, %(change)s, %(environment)s
  FROM pg_catalog.unnest(%(statements)s::text[]) AS s
ON CONFLICT (statement) DO NOTHING

-- name: ledger_taken_by_others
SELECT statement, run, change FROM okto_change.authorisation
 WHERE statement = ANY (%(statements)s::text[]) AND run <> %(run)s
 ORDER BY statement

-- name: ledger_give_back
DELETE FROM okto_change.authorisation WHERE run = %(run)s

-- name: ledger_consumed
SELECT statement FROM okto_change.authorisation WHERE change = %(change)s AND environment = %(environment)s

-- name: trust_seen
SELECT policy_version, commit FROM okto_change.trust_state WHERE repo = %(repo)s

-- name: trust_note
INSERT INTO okto_change.trust_state AS t (repo, policy_version, commit)
VALUES (%(repo)s, %(policy_version)s, %(commit)s)
ON CONFLICT (repo) DO UPDATE
   SET policy_version = greatest(t.policy_version, EXCLUDED.policy_version), commit = EXCLUDED.commit,
       at = pg_catalog.clock_timestamp()

-- name: clock
SELECT pg_catalog.clock_timestamp()
