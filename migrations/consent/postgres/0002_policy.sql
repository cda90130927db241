CREATE TABLE policy_version (
    version    TEXT   NOT NULL PRIMARY KEY,
    number     BIGINT NOT NULL UNIQUE,
    summary    TEXT   NOT NULL,
    source     TEXT   NOT NULL,
    sha256     BYTEA  NOT NULL UNIQUE,
    drafted_at BIGINT NOT NULL,
    drafted_by TEXT   NOT NULL
);

-- The last one is in force.
CREATE TABLE policy_activation (
    sequence     BIGINT NOT NULL PRIMARY KEY,
    version      TEXT   NOT NULL REFERENCES policy_version (version),
    activated_at BIGINT NOT NULL,
    activated_by TEXT   NOT NULL
);
CREATE INDEX policy_activation_version ON policy_activation (version, sequence);

-- What was asked and decided. Ids are in the order of time.
CREATE TABLE decision (
    decision_id TEXT   NOT NULL PRIMARY KEY,
    decided_at  BIGINT NOT NULL,
    payload     BYTEA  NOT NULL
);
CREATE INDEX decision_decided ON decision (decided_at, decision_id);
