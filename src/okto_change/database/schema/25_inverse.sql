-- How to take definitions back, written in the transaction that changed them, and what lies in the trash.

CREATE TABLE IF NOT EXISTS okto_change.inverse (
    run      text    NOT NULL,
    unit     text    NOT NULL,
    position integer NOT NULL,
    kind     text    NOT NULL CHECK (kind IN ('lock', 'demand', 'statement')),
    text     text    NOT NULL,
    message  text    NOT NULL,
    PRIMARY KEY (run, unit, position)
);
COMMENT ON TABLE  okto_change.inverse          IS 'What a rollback runs to take definitions back, in order; every line was tried before it was kept.';
COMMENT ON COLUMN okto_change.inverse.run      IS 'The run that changed the definitions.';
COMMENT ON COLUMN okto_change.inverse.unit     IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.inverse.position IS 'The order in which the lines run, from 1.';
COMMENT ON COLUMN okto_change.inverse.kind     IS 'lock: keeps writers away; demand: counts what speaks against the undo; statement: takes back.';
COMMENT ON COLUMN okto_change.inverse.text     IS 'SQL, every name quoted by the server.';
COMMENT ON COLUMN okto_change.inverse.message  IS 'What a demand that is not met means; empty otherwise.';

CREATE TABLE IF NOT EXISTS okto_change.definition (
    run    text NOT NULL,
    unit   text NOT NULL,
    object text NOT NULL,
    before text,
    after  text,
    PRIMARY KEY (run, unit, object),
    CONSTRAINT definition_differs CHECK (before IS DISTINCT FROM after)
);
COMMENT ON TABLE  okto_change.definition        IS 'Every object that a run made, changed or dropped: fingerprints, by which a rollback sees whether it is still so.';
COMMENT ON COLUMN okto_change.definition.run    IS 'The run that changed the definitions.';
COMMENT ON COLUMN okto_change.definition.unit   IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.definition.object IS 'Kind and name, as people read it.';
COMMENT ON COLUMN okto_change.definition.before IS 'sha256 of its definition before the change; null if it was not there.';
COMMENT ON COLUMN okto_change.definition.after  IS 'sha256 of its definition after the change; null if it was gone.';

CREATE TABLE IF NOT EXISTS okto_change.trash (
    run    text        NOT NULL,
    unit   text        NOT NULL,
    object text        NOT NULL,
    place  text        NOT NULL,
    at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, unit, place)
);
COMMENT ON TABLE  okto_change.trash        IS 'What was put aside instead of being dropped. A rollback brings it back; a later change may drop it for good.';
COMMENT ON COLUMN okto_change.trash.run    IS 'The run that put it aside.';
COMMENT ON COLUMN okto_change.trash.unit   IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.trash.object IS 'Kind and name before, as people read it.';
COMMENT ON COLUMN okto_change.trash.place  IS 'Kind and name since, quoted for SQL.';
COMMENT ON COLUMN okto_change.trash.at     IS 'When, by the clock of the server.';
