-- What was used up here, and how new the policy was that a run went by. Safe to run again.

CREATE TABLE IF NOT EXISTS okto_change.authorisation (
    statement   text        PRIMARY KEY CHECK (statement ~ '^[0-9a-f]{64}$'),
    run         text        NOT NULL,
    change      text        NOT NULL,
    environment text        NOT NULL,
    at          timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX IF NOT EXISTS authorisation_change ON okto_change.authorisation (change, environment);
REVOKE ALL ON okto_change.authorisation FROM PUBLIC;
COMMENT ON INDEX  okto_change.authorisation_change      IS 'What was used up for one change in one environment.';
COMMENT ON TABLE  okto_change.authorisation             IS 'The ledger: each signed decision serves one run, whichever journal or machine runs it.';
COMMENT ON COLUMN okto_change.authorisation.statement   IS 'sha256 of the signed statement, hexadecimal.';
COMMENT ON COLUMN okto_change.authorisation.run         IS 'The run that it authorised; written in the transaction of its effect.';
COMMENT ON COLUMN okto_change.authorisation.change      IS 'The change, by the name of its folder.';
COMMENT ON COLUMN okto_change.authorisation.environment IS 'The environment, as in the policy.';
COMMENT ON COLUMN okto_change.authorisation.at          IS 'When it was written, by the clock of the server.';

CREATE TABLE IF NOT EXISTS okto_change.trust_state (
    repo           text        PRIMARY KEY,
    policy_version integer     NOT NULL CHECK (policy_version > 0),
    commit         text        NOT NULL,
    at             timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
REVOKE ALL ON okto_change.trust_state FROM PUBLIC;
COMMENT ON TABLE  okto_change.trust_state                IS 'How new the policy was that runs went by here: an older one is refused.';
COMMENT ON COLUMN okto_change.trust_state.repo           IS 'The UUID of the change repository.';
COMMENT ON COLUMN okto_change.trust_state.policy_version IS 'The highest version of its policy that a run went by.';
COMMENT ON COLUMN okto_change.trust_state.commit         IS 'The commit of the protected branch that the last run read its policy from.';
COMMENT ON COLUMN okto_change.trust_state.at             IS 'When it was written, by the clock of the server.';
