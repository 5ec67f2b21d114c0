-- Images: what the rows of a run were and became, written by triggers in the transaction that changed them.
-- Owner only: they are copies of data. Safe to run again.

CREATE TABLE IF NOT EXISTS okto_change.capture (
    id     integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run    text        NOT NULL,
    unit   text        NOT NULL,
    undoes integer     REFERENCES okto_change.capture,
    xid    bigint      NOT NULL DEFAULT pg_catalog.pg_current_xact_id()::text::bigint,
    at     timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX IF NOT EXISTS capture_run ON okto_change.capture (run, unit);
CREATE INDEX IF NOT EXISTS capture_undoes ON okto_change.capture (undoes) WHERE undoes IS NOT NULL;
REVOKE ALL ON okto_change.capture FROM PUBLIC;
COMMENT ON TABLE  okto_change.capture        IS 'One row per transaction whose row changes were captured: a unit of a run, or an undo of one.';
COMMENT ON COLUMN okto_change.capture.id     IS 'Number of the capture; its triggers and images carry it.';
COMMENT ON COLUMN okto_change.capture.run    IS 'The run that captured.';
COMMENT ON COLUMN okto_change.capture.unit   IS 'The unit of the plan: the steps that share the transaction.';
COMMENT ON COLUMN okto_change.capture.undoes IS 'The capture whose effect this one takes back; null for a run that applies a plan.';
COMMENT ON COLUMN okto_change.capture.xid    IS 'The transaction (64 bits).';
COMMENT ON COLUMN okto_change.capture.at     IS 'When capture began, by the clock of the server.';

CREATE TABLE IF NOT EXISTS okto_change.captured_table (
    capture integer NOT NULL REFERENCES okto_change.capture,
    relid   oid     NOT NULL,
    shape   jsonb   NOT NULL,
    PRIMARY KEY (capture, relid)
);
REVOKE ALL ON okto_change.captured_table FROM PUBLIC;
COMMENT ON TABLE  okto_change.captured_table         IS 'The shape of each table that has images: they can be read only while the table still has it.';
COMMENT ON COLUMN okto_change.captured_table.capture IS 'The capture.';
COMMENT ON COLUMN okto_change.captured_table.relid   IS 'The table.';
COMMENT ON COLUMN okto_change.captured_table.shape   IS 'Schema, name, kind, and the columns in order: number, name, type, modifier, how generated.';

CREATE TABLE IF NOT EXISTS okto_change.image (
    capture integer NOT NULL,
    relid   oid     NOT NULL,
    op      "char"  NOT NULL,
    before  text,
    after   text
);
-- It took numbers from a sequence, and lastval() told the author's statements of that one.
ALTER TABLE okto_change.image DROP COLUMN IF EXISTS ordinal;
CREATE INDEX IF NOT EXISTS image_capture ON okto_change.image (capture, relid);
REVOKE ALL ON okto_change.image FROM PUBLIC;
COMMENT ON TABLE  okto_change.image         IS 'One row per row event; rows as text under pinned settings (ISO dates, UTC, hex, exact floats).';
COMMENT ON COLUMN okto_change.image.capture IS 'The capture; no foreign key, this table is written once per changed row.';
COMMENT ON COLUMN okto_change.image.relid   IS 'The table that held the row: a leaf, never a partitioned table.';
COMMENT ON COLUMN okto_change.image.op      IS 'I insert, U update (u where the row after has an image of its own), D delete, T truncated row; t marks the TRUNCATE itself.';
COMMENT ON COLUMN okto_change.image.before  IS 'The row before; null for an insert.';
COMMENT ON COLUMN okto_change.image.after   IS 'The row after; null for a delete.';

CREATE TABLE IF NOT EXISTS okto_change.image_sequence (
    capture    integer NOT NULL,
    seqid      oid     NOT NULL,
    last_value bigint  NOT NULL,
    is_called  boolean NOT NULL,
    filenode   oid     NOT NULL,
    PRIMARY KEY (capture, seqid)
);
REVOKE ALL ON okto_change.image_sequence FROM PUBLIC;
COMMENT ON TABLE  okto_change.image_sequence            IS 'Where sequences owned by a truncated table stood, for TRUNCATE RESTART IDENTITY.';
COMMENT ON COLUMN okto_change.image_sequence.capture    IS 'The capture.';
COMMENT ON COLUMN okto_change.image_sequence.seqid      IS 'The sequence.';
COMMENT ON COLUMN okto_change.image_sequence.last_value IS 'Its last value before the first TRUNCATE.';
COMMENT ON COLUMN okto_change.image_sequence.is_called  IS 'Whether that value was handed out.';
COMMENT ON COLUMN okto_change.image_sequence.filenode   IS 'Its file; another one afterwards means that it was restarted.';

CREATE TABLE IF NOT EXISTS okto_change.unchecked (
    capture  integer     PRIMARY KEY REFERENCES okto_change.capture,
    snapshot pg_snapshot
);
REVOKE ALL ON okto_change.unchecked FROM PUBLIC;
COMMENT ON TABLE  okto_change.unchecked          IS 'Captures of what was written in the role of a replica, where no foreign key is checked, and of their undos.';
COMMENT ON COLUMN okto_change.unchecked.capture  IS 'The capture.';
COMMENT ON COLUMN okto_change.unchecked.snapshot IS 'Of an undo: which transactions were over before it put rows back; null for the change itself.';

CREATE TABLE IF NOT EXISTS okto_change.unchecked_row (
    capture integer NOT NULL REFERENCES okto_change.capture,
    key     oid     NOT NULL,
    row     bytea   NOT NULL,
    PRIMARY KEY (capture, key, row)
);
REVOKE ALL ON okto_change.unchecked_row FROM PUBLIC;
COMMENT ON TABLE  okto_change.unchecked_row         IS 'Rows that an undo took away while they referred to nothing: their redo leaves them so.';
COMMENT ON COLUMN okto_change.unchecked_row.capture IS 'The undo.';
COMMENT ON COLUMN okto_change.unchecked_row.key     IS 'The foreign key, as pg_constraint numbers it.';
COMMENT ON COLUMN okto_change.unchecked_row.row     IS 'sha256 of the image of the row.';

CREATE OR REPLACE FUNCTION okto_change.capture_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        PERFORM set_config('okto_change.unchecked', 'on', true);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO okto_change.image (capture, relid, op, before, after)
        VALUES (TG_ARGV[0]::integer, TG_RELID, 'U', OLD::text, NEW::text);
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO okto_change.image (capture, relid, op, after)
        VALUES (TG_ARGV[0]::integer, TG_RELID, 'I', NEW::text);
    ELSE
        INSERT INTO okto_change.image (capture, relid, op, before)
        VALUES (TG_ARGV[0]::integer, TG_RELID, 'D', OLD::text);
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION okto_change.capture_row() FROM PUBLIC;
COMMENT ON FUNCTION okto_change.capture_row() IS 'Writes one image per row event. Argument: the capture.';

CREATE OR REPLACE FUNCTION okto_change.capture_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
#variable_conflict use_variable
DECLARE
    this integer := TG_ARGV[0];
    came "char" := CASE TG_OP WHEN 'INSERT' THEN 'I' ELSE 'u' END;
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        PERFORM set_config('okto_change.unchecked', 'on', true);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO okto_change.image (capture, relid, op, before)
        SELECT this, TG_RELID, TG_OP::"char", ROW(o.*)::text FROM okto_old AS o;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO okto_change.image (capture, relid, op, after)
        SELECT this, TG_RELID, came, ROW(n.*)::text FROM okto_new AS n;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION okto_change.capture_rows() FROM PUBLIC;
COMMENT ON FUNCTION okto_change.capture_rows() IS 'Writes the images of one statement: the settings are pinned once, not once a row. Argument: the capture.';

CREATE OR REPLACE FUNCTION okto_change.row_text(relid oid, row_ text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('ROW(%s)::text', string_agg(
               CASE WHEN a.attgenerated = 'v' THEN 'NULL'
                    ELSE format('%s.%I%s', row_, a.attname, CASE a.atttypid WHEN 142 THEN '::text' WHEN 143 THEN '::text[]' ELSE '' END) END,
               ', ' ORDER BY a.attnum))
      FROM pg_attribute AS a
     WHERE a.attrelid = relid AND a.attnum > 0 AND NOT a.attisdropped
$$;
REVOKE ALL ON FUNCTION okto_change.row_text(oid, text) FROM PUBLIC;
COMMENT ON FUNCTION okto_change.row_text(oid, text) IS 'The expression for the text of a whole row, with all of each xml: its own text leaves the declaration out. Arguments: the table, how the row is called.';

CREATE OR REPLACE FUNCTION okto_change.capture_columns() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    written text := okto_change.row_text(TG_RELID, '($1)');
    before text;
    after text;
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        PERFORM set_config('okto_change.unchecked', 'on', true);
    END IF;
    IF TG_OP <> 'INSERT' THEN
        EXECUTE 'SELECT ' || written INTO before USING OLD;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        EXECUTE 'SELECT ' || written INTO after USING NEW;
    END IF;
    INSERT INTO okto_change.image (capture, relid, op, before, after)
    VALUES (TG_ARGV[0]::integer, TG_RELID, TG_OP::"char", before, after);
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION okto_change.capture_columns() FROM PUBLIC;
COMMENT ON FUNCTION okto_change.capture_columns() IS 'Writes one image per row event, column by column, for tables that hold xml. Argument: the capture.';

CREATE OR REPLACE FUNCTION okto_change.capture_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET row_security = off
AS $$
DECLARE
    this integer := TG_ARGV[0];
    seq record;
BEGIN
    IF current_setting('session_replication_role') = 'replica' THEN
        PERFORM set_config('okto_change.unchecked', 'on', true);
    END IF;
    IF pg_table_size(TG_RELID) > TG_ARGV[1]::bigint THEN
        RAISE EXCEPTION USING ERRCODE = 'OKT01', MESSAGE = format(
            'TRUNCATE of %I.%I would copy %s, the limit is %s', TG_TABLE_SCHEMA, TG_TABLE_NAME,
            pg_size_pretty(pg_table_size(TG_RELID)), pg_size_pretty(TG_ARGV[1]::bigint));
    END IF;
    EXECUTE format('INSERT INTO okto_change.image (capture, relid, op, before) SELECT $1, $2, ''T'', %s FROM ONLY %I.%I AS okto_row',
                   okto_change.row_text(TG_RELID, 'okto_row'), TG_TABLE_SCHEMA, TG_TABLE_NAME)
      USING this, TG_RELID;
    INSERT INTO okto_change.image (capture, relid, op) VALUES (this, TG_RELID, 't');
    FOR seq IN
        SELECT c.oid, n.nspname, c.relname
          FROM pg_depend AS d
          JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'S'
          JOIN pg_namespace AS n ON n.oid = c.relnamespace
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
           AND d.refobjid = TG_RELID AND d.deptype IN ('a', 'i')
    LOOP
        EXECUTE format('INSERT INTO okto_change.image_sequence (capture, seqid, last_value, is_called, filenode)
                        SELECT $1, $2, last_value, is_called, pg_relation_filenode($2) FROM %I.%I ON CONFLICT DO NOTHING',
                       seq.nspname, seq.relname)
          USING this, seq.oid;
    END LOOP;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION okto_change.capture_truncate() FROM PUBLIC;
COMMENT ON FUNCTION okto_change.capture_truncate() IS 'Copies a table before TRUNCATE. Arguments: the capture, the limit in bytes.';

-- What they write must read the same whatever the session has set.
DO $$
DECLARE
    capturing text;
BEGIN
    FOREACH capturing IN ARRAY ARRAY['capture_row', 'capture_rows', 'capture_columns', 'capture_truncate'] LOOP
        EXECUTE pg_catalog.format(
            'ALTER FUNCTION okto_change.%I()
                 SET search_path = pg_catalog, pg_temp
                 SET datestyle = ''ISO, YMD''
                 SET intervalstyle = ''postgres''
                 SET timezone = ''UTC''
                 SET extra_float_digits = 1
                 SET bytea_output = ''hex''
                 SET lc_monetary = ''C''
                 SET xmloption = ''content''
                 SET quote_all_identifiers = off', capturing);
    END LOOP;
END
$$;

-- Long rows are compressed in a tenth of the time where the server has lz4.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_settings AS s
                WHERE s.name = 'default_toast_compression' AND 'lz4' = ANY (s.enumvals)) THEN
        EXECUTE 'ALTER TABLE okto_change.image ALTER before SET COMPRESSION lz4, ALTER after SET COMPRESSION lz4'; -- no words of 13
    END IF;
END
$$;
