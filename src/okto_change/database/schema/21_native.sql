-- Images of large fixes: a table of their own for each, in the types of the rows. Owner only. Safe to run again.

CREATE TABLE IF NOT EXISTS okto_change.image_native (
    capture integer    NOT NULL REFERENCES okto_change.capture,
    relid   oid        NOT NULL,
    source  integer    NOT NULL REFERENCES okto_change.capture,
    sign    smallint   NOT NULL CHECK (sign IN (1, -1)),
    op      "char"     NOT NULL CHECK (op IN ('I', 'U', 'D')),
    rows    bigint     NOT NULL,
    columns smallint[] NOT NULL,
    writer  xid        NOT NULL,
    spread  boolean    NOT NULL DEFAULT false,
    PRIMARY KEY (capture, relid)
);
ALTER TABLE okto_change.image_native
    ADD COLUMN IF NOT EXISTS home     integer REFERENCES okto_change.capture,
    ADD COLUMN IF NOT EXISTS foreseen boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS uniform  boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS image_native_home ON okto_change.image_native (home) WHERE home IS NOT NULL;
COMMENT ON INDEX  okto_change.image_native_home    IS 'Which captures share a table of images.';
REVOKE ALL ON okto_change.image_native FROM PUBLIC;
COMMENT ON TABLE  okto_change.image_native         IS 'Tables rows_<source>_<relid>_old (whole rows before) and _new (key and changed columns after) with the images of large fixes.';
COMMENT ON COLUMN okto_change.image_native.capture IS 'The capture.';
COMMENT ON COLUMN okto_change.image_native.relid   IS 'The table that held the rows.';
COMMENT ON COLUMN okto_change.image_native.source  IS 'The capture whose tables hold the images: this one, or the one that it takes back or does again.';
COMMENT ON COLUMN okto_change.image_native.sign    IS '1: from the old rows to the new ones; -1: back.';
COMMENT ON COLUMN okto_change.image_native.op      IS 'What the source did: I insert, U update, D delete.';
COMMENT ON COLUMN okto_change.image_native.rows    IS 'How many rows.';
COMMENT ON COLUMN okto_change.image_native.columns IS 'Numbers of the columns changed, which the table of new rows holds beside the key.';
COMMENT ON COLUMN okto_change.image_native.writer  IS 'The (sub)transaction that wrote the rows, as their xmin shows it: with another one somebody wrote them since.';
COMMENT ON COLUMN okto_change.image_native.home    IS 'Of a chunk of a batch: the capture whose tables hold the images of other chunks too, each row with its source in c0.';
COMMENT ON COLUMN okto_change.image_native.foreseen IS 'The new values stand beside the old rows, in columns n<number>; there is no table of new rows.';
COMMENT ON COLUMN okto_change.image_native.uniform IS 'Foreseen values that are the same for every row: they stand in the only row of the table of new rows.';
COMMENT ON COLUMN okto_change.image_native.spread  IS 'The images have been written out as text; those count now.';
