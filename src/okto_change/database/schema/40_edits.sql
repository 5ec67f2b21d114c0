-- Images of config edits. They lie beside the journal, readable by the owner of schema okto_change only.

CREATE TABLE IF NOT EXISTS okto_change.edit_image (
    run     text        NOT NULL,
    unit    integer     NOT NULL,
    target  text        NOT NULL,
    file    text        NOT NULL,
    before  bytea       NOT NULL,
    after   bytea       NOT NULL,
    at      timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, unit)
);
REVOKE ALL ON okto_change.edit_image FROM PUBLIC;
COMMENT ON TABLE  okto_change.edit_image        IS 'What a config edit found and left: one row per edit, durable before the file is swapped.';
COMMENT ON COLUMN okto_change.edit_image.run    IS 'The run that edits.';
COMMENT ON COLUMN okto_change.edit_image.unit   IS 'The unit of the plan, counted from 1.';
COMMENT ON COLUMN okto_change.edit_image.target IS 'The config target, as in the policy.';
COMMENT ON COLUMN okto_change.edit_image.file   IS 'The file, relative to the root of the target.';
COMMENT ON COLUMN okto_change.edit_image.before IS 'The whole content that the edit found.';
COMMENT ON COLUMN okto_change.edit_image.after  IS 'The whole content that the edit left.';
COMMENT ON COLUMN okto_change.edit_image.at     IS 'When the row was written, by the clock of the server.';
