-- The journal: append-only, hash-chained. Safe to run again.

CREATE TABLE IF NOT EXISTS okto_change.entry (
    number      bigint      PRIMARY KEY CHECK (number > 0),
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    kind        text        NOT NULL,
    run         text        NOT NULL,
    change      text        NOT NULL,
    environment text        NOT NULL,
    content     text        NOT NULL,
    previous    text        NOT NULL UNIQUE,
    hash        text        NOT NULL UNIQUE
);
CREATE INDEX IF NOT EXISTS entry_run    ON okto_change.entry (run, number);
CREATE INDEX IF NOT EXISTS entry_change ON okto_change.entry (change, environment, number);
REVOKE ALL ON okto_change.entry FROM PUBLIC;
COMMENT ON INDEX  okto_change.entry_run         IS 'The story of one run.';
COMMENT ON INDEX  okto_change.entry_change      IS 'The story of one change in one environment.';
COMMENT ON TABLE  okto_change.entry             IS 'The journal. Only INSERT of the next entry is possible; `okto-change audit verify` checks the chain.';
COMMENT ON COLUMN okto_change.entry.number      IS 'Counts from 1 without gaps.';
COMMENT ON COLUMN okto_change.entry.at          IS 'When it was written, by the clock of this server; never before the entry before it.';
COMMENT ON COLUMN okto_change.entry.actor       IS 'Who acted: a person of the policy.';
COMMENT ON COLUMN okto_change.entry.kind        IS 'What is about to happen or was seen, e.g. committing.';
COMMENT ON COLUMN okto_change.entry.run         IS 'The run that it tells of.';
COMMENT ON COLUMN okto_change.entry.change      IS 'The change, by the name of its folder.';
COMMENT ON COLUMN okto_change.entry.environment IS 'The environment, as in the policy.';
COMMENT ON COLUMN okto_change.entry.content     IS 'The entry itself as canonical JSON, ASCII only. Every other column but previous and hash repeats a part of it.';
COMMENT ON COLUMN okto_change.entry.previous    IS 'The hash of the entry before, sha256: and zeros for the first.';
COMMENT ON COLUMN okto_change.entry.hash        IS 'sha256 over previous and content, as sha256:...';

CREATE OR REPLACE FUNCTION okto_change.entry_refuse() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'the journal okto_change.entry is append-only: % refused', TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
COMMENT ON FUNCTION okto_change.entry_refuse() IS 'Refuses whatever would change or remove what the journal says.';

CREATE OR REPLACE FUNCTION okto_change.entry_follow() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last_number   bigint;
    last_hash     text;
    expected_hash text := 'sha256:' || encode(sha256(convert_to(NEW.previous || NEW.content, 'UTF8')), 'hex');
BEGIN
    PERFORM pg_advisory_xact_lock(8028638781570183029);
    SELECT e.number, e.hash INTO last_number, last_hash FROM okto_change.entry AS e ORDER BY e.number DESC LIMIT 1;
    IF NOT FOUND THEN
        last_number := 0;
        last_hash := 'sha256:' || repeat('0', 64);
    END IF;
    IF NEW.number <> last_number + 1 OR NEW.previous <> last_hash OR NEW.hash <> expected_hash THEN
        RAISE EXCEPTION 'entry % does not follow entry % of the journal', NEW.number, last_number
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION okto_change.entry_follow() IS 'Lets only the next entry of the chain in, one writer at a time.';

DROP TRIGGER IF EXISTS entry_refuse ON okto_change.entry;
DROP TRIGGER IF EXISTS entry_follow ON okto_change.entry;
CREATE TRIGGER entry_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON okto_change.entry
    FOR EACH STATEMENT EXECUTE FUNCTION okto_change.entry_refuse();
CREATE TRIGGER entry_follow BEFORE INSERT ON okto_change.entry
    FOR EACH ROW EXECUTE FUNCTION okto_change.entry_follow();
ALTER TABLE okto_change.entry ENABLE ALWAYS TRIGGER entry_refuse;
ALTER TABLE okto_change.entry ENABLE ALWAYS TRIGGER entry_follow;
COMMENT ON TRIGGER entry_refuse ON okto_change.entry IS 'Fires always, under session_replication_role = replica too.';
COMMENT ON TRIGGER entry_follow ON okto_change.entry IS 'Fires always, under session_replication_role = replica too.';
