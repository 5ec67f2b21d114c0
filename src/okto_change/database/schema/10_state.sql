-- The schema itself, its version, and what is applied. Safe to run again.

-- IF NOT EXISTS would demand CREATE on the database even where an administrator has made the schema for us.
DO $$
BEGIN
    IF pg_catalog.to_regnamespace('okto_change') IS NULL THEN
        CREATE SCHEMA okto_change;
    END IF;
END
$$;
REVOKE ALL ON SCHEMA okto_change FROM PUBLIC;
COMMENT ON SCHEMA okto_change IS 'State of okto-change in this database: what is applied, the rows to put back, the journal. Owner only.';

CREATE TABLE IF NOT EXISTS okto_change.installed (
    only_row boolean     PRIMARY KEY CHECK (only_row),
    version  integer     NOT NULL CHECK (version > 0),
    digest   text        NOT NULL,
    at       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
COMMENT ON TABLE  okto_change.installed          IS 'The version of this schema; one row.';
COMMENT ON COLUMN okto_change.installed.only_row IS 'Always true: there is one row.';
COMMENT ON COLUMN okto_change.installed.version  IS 'Counts up with every release that changes the schema; an older okto-change refuses a newer schema.';
COMMENT ON COLUMN okto_change.installed.digest   IS 'sha256 of the schema files that were run.';
COMMENT ON COLUMN okto_change.installed.at       IS 'When they were run.';

CREATE TABLE IF NOT EXISTS okto_change.target ();
COMMENT ON TABLE okto_change.target IS 'Has no rows. A run holds it in EXCLUSIVE mode until its transaction ends: one run per target.';

CREATE TABLE IF NOT EXISTS okto_change.applied (
    run         text        NOT NULL,
    unit        text        NOT NULL,
    change      text        NOT NULL,
    environment text        NOT NULL,
    digest      text        NOT NULL,
    executor    text        NOT NULL,
    xid         bigint      NOT NULL,
    at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    undone_by   text,
    undone_xid  bigint,
    undone_at   timestamptz,
    PRIMARY KEY (run, unit),
    CONSTRAINT applied_undone CHECK (
        (undone_by IS NULL) = (undone_at IS NULL) AND (undone_by IS NULL) = (undone_xid IS NULL)
    )
);
ALTER TABLE okto_change.applied
    ADD COLUMN IF NOT EXISTS left_rows  bigint NOT NULL DEFAULT 0,
    ADD COLUMN IF NOT EXISTS redone_by  text,
    ADD COLUMN IF NOT EXISTS redone_xid bigint;
CREATE UNIQUE INDEX IF NOT EXISTS applied_once
    ON okto_change.applied (change, environment, unit) WHERE undone_by IS NULL;
COMMENT ON INDEX  okto_change.applied_once        IS 'A unit of a change stands at most once in an environment, whoever runs it.';
COMMENT ON TABLE  okto_change.applied             IS 'One row per unit that was committed, written in the same transaction as its effect.';
COMMENT ON COLUMN okto_change.applied.run         IS 'The run that applied it.';
COMMENT ON COLUMN okto_change.applied.unit        IS 'The unit of the plan: one or several steps that share a transaction.';
COMMENT ON COLUMN okto_change.applied.change      IS 'The change, by the name of its folder.';
COMMENT ON COLUMN okto_change.applied.environment IS 'The environment, as in the policy.';
COMMENT ON COLUMN okto_change.applied.digest      IS 'The plan digest that was cleared, sha256:...';
COMMENT ON COLUMN okto_change.applied.executor    IS 'The person who ran it, as in the policy.';
COMMENT ON COLUMN okto_change.applied.xid         IS 'The transaction that applied it (64 bits).';
COMMENT ON COLUMN okto_change.applied.at          IS 'When the row was written, by the clock of the server.';
COMMENT ON COLUMN okto_change.applied.undone_by   IS 'The run that undid it; null while it stands.';
COMMENT ON COLUMN okto_change.applied.undone_xid  IS 'The transaction that undid it (64 bits).';
COMMENT ON COLUMN okto_change.applied.undone_at   IS 'When it was undone.';
COMMENT ON COLUMN okto_change.applied.left_rows   IS 'Rows that the undo left alone, since others had changed them; a later undo may take them back.';
COMMENT ON COLUMN okto_change.applied.redone_by   IS 'The run that last put it back after an undo.';
COMMENT ON COLUMN okto_change.applied.redone_xid  IS 'The transaction that put it back (64 bits).';

CREATE TABLE IF NOT EXISTS okto_change.altered (
    run     text  NOT NULL,
    unit    text  NOT NULL,
    objects jsonb NOT NULL,
    PRIMARY KEY (run, unit)
);
REVOKE ALL ON okto_change.altered FROM PUBLIC;
COMMENT ON TABLE  okto_change.altered         IS 'What a unit did to definitions: an undo script is held against it.';
COMMENT ON COLUMN okto_change.altered.run     IS 'The run that applied it.';
COMMENT ON COLUMN okto_change.altered.unit    IS 'The unit of the plan.';
COMMENT ON COLUMN okto_change.altered.objects IS 'Object -> sha256 of all that defined it before; null where it was not there.';
