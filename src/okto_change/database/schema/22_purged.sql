-- What is left of images after their time: how many there were and their digest. Safe to run again.

CREATE TABLE IF NOT EXISTS okto_change.purged (
    number  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target  text        NOT NULL,
    origin  text        NOT NULL,
    capture integer     REFERENCES okto_change.capture,
    run     text        NOT NULL,
    unit    text        NOT NULL,
    object  text        NOT NULL,
    part    text        NOT NULL,
    rows    bigint      NOT NULL,
    digest  text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX IF NOT EXISTS purged_run ON okto_change.purged (run, unit);
REVOKE ALL ON okto_change.purged FROM PUBLIC;
COMMENT ON INDEX  okto_change.purged_run     IS 'Whether a unit can still be taken back.';
COMMENT ON TABLE  okto_change.purged         IS 'Images that `okto-change purge` took away, written in the same transaction; the journal says the same.';
COMMENT ON COLUMN okto_change.purged.number  IS 'Counts up.';
COMMENT ON COLUMN okto_change.purged.target  IS 'The target of the policy under whose name they were taken away.';
COMMENT ON COLUMN okto_change.purged.origin  IS 'The run that changed the rows; the journal tells of the purge under its name.';
COMMENT ON COLUMN okto_change.purged.capture IS 'The capture; null for a config edit.';
COMMENT ON COLUMN okto_change.purged.run     IS 'The run that kept the images: the origin, or one that took it back.';
COMMENT ON COLUMN okto_change.purged.unit    IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.purged.object  IS 'The table, or the file of a config edit.';
COMMENT ON COLUMN okto_change.purged.part    IS 'text: rows of okto_change.image; old, new: a native table; before, after: the content of a file.';
COMMENT ON COLUMN okto_change.purged.rows    IS 'How many images.';
COMMENT ON COLUMN okto_change.purged.digest  IS 'sha256 over the sorted sha256 of each image''s text, or of the file''s content.';
COMMENT ON COLUMN okto_change.purged.at      IS 'When they were taken away.';
