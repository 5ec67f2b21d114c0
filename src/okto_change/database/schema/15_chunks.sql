-- Large fixes in chunks: what each run goes through, every chunk that was committed, and who asked for a pause. Safe to run again.

CREATE TABLE IF NOT EXISTS okto_change.batch (
    run        text        NOT NULL,
    unit       text        NOT NULL,
    upper      text,
    chunks     bigint,
    invariants jsonb       NOT NULL,
    at         timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    closed_xid bigint,
    PRIMARY KEY (run, unit)
);
REVOKE ALL ON okto_change.batch FROM PUBLIC;
COMMENT ON TABLE  okto_change.batch            IS 'One row per batch step of a run, written before its first chunk.';
COMMENT ON COLUMN okto_change.batch.run        IS 'The run.';
COMMENT ON COLUMN okto_change.batch.unit       IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.batch.upper      IS 'The largest key when the run began, as text; rows that came later are left out. Null for an empty table.';
COMMENT ON COLUMN okto_change.batch.chunks     IS 'How many chunks there will be, estimated from the statistics of the table; null where there are none.';
COMMENT ON COLUMN okto_change.batch.invariants IS 'What the invariants over the whole gave before the first chunk: name to rows as text.';
COMMENT ON COLUMN okto_change.batch.at         IS 'When it began.';
COMMENT ON COLUMN okto_change.batch.closed_xid IS 'The transaction (64 bits) that judged the whole after the last chunk; null until then.';

CREATE TABLE IF NOT EXISTS okto_change.chunk (
    run          text        NOT NULL,
    unit         text        NOT NULL,
    number       bigint      NOT NULL CHECK (number > 0),
    first        text        NOT NULL,
    last         text        NOT NULL,
    rows         jsonb       NOT NULL,
    writes       jsonb       NOT NULL,
    xid          bigint      NOT NULL,
    at           timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    undone_by    text,
    undone_xid   bigint,
    undone_at    timestamptz,
    PRIMARY KEY (run, unit, number)
);
ALTER TABLE okto_change.chunk
    ADD COLUMN IF NOT EXISTS redone_by  text,
    ADD COLUMN IF NOT EXISTS redone_xid bigint,
    ADD COLUMN IF NOT EXISTS left_rows  bigint NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS chunk_undone ON okto_change.chunk (undone_by) WHERE undone_by IS NOT NULL;
REVOKE ALL ON okto_change.chunk FROM PUBLIC;
COMMENT ON TABLE  okto_change.chunk            IS 'One row per chunk of a batch, written in the transaction of the chunk: it is the cursor, too.';
COMMENT ON COLUMN okto_change.chunk.run        IS 'The run.';
COMMENT ON COLUMN okto_change.chunk.unit       IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.chunk.number     IS 'Counts from 1 without gaps, in the order of keys and commits.';
COMMENT ON COLUMN okto_change.chunk.first      IS 'Smallest key of the chunk, as text.';
COMMENT ON COLUMN okto_change.chunk.last       IS 'Largest key of the chunk, as text.';
COMMENT ON COLUMN okto_change.chunk.rows       IS 'Rows that each statement changed, in order; null where it does not tell.';
COMMENT ON COLUMN okto_change.chunk.writes     IS 'Rows inserted, updated, deleted and imaged by table.';
COMMENT ON COLUMN okto_change.chunk.xid        IS 'The transaction (64 bits).';
COMMENT ON COLUMN okto_change.chunk.at         IS 'When it was written, by the clock of the server.';
COMMENT ON COLUMN okto_change.chunk.undone_by  IS 'The run that last took the chunk back, or the rest of it; null while it stands.';
COMMENT ON COLUMN okto_change.chunk.undone_xid IS 'The transaction that did.';
COMMENT ON COLUMN okto_change.chunk.undone_at  IS 'When it did.';
COMMENT ON COLUMN okto_change.chunk.redone_by  IS 'The run that last put it back after an undo.';
COMMENT ON COLUMN okto_change.chunk.redone_xid IS 'The transaction that did.';
COMMENT ON COLUMN okto_change.chunk.left_rows  IS 'Rows that the undo left alone, since others had changed them; a later undo may take them back.';

CREATE TABLE IF NOT EXISTS okto_change.pause (
    run    text        PRIMARY KEY,
    person text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
REVOKE ALL ON okto_change.pause FROM PUBLIC;
COMMENT ON TABLE  okto_change.pause        IS 'Runs that somebody asked to stop between two chunks; the run takes the row away when it goes on.';
COMMENT ON COLUMN okto_change.pause.run    IS 'The run.';
COMMENT ON COLUMN okto_change.pause.person IS 'Who asked, as in the policy.';
COMMENT ON COLUMN okto_change.pause.at     IS 'When, by the clock of the server.';
