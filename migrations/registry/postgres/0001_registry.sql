CREATE TABLE document (
    document_id   TEXT   NOT NULL PRIMARY KEY,
    custodian     TEXT   NOT NULL,
    local_id      TEXT   NOT NULL,
    unique_id     TEXT   NOT NULL,
    type_code     TEXT   NOT NULL,
    class_code    TEXT   NOT NULL,
    status        BIGINT NOT NULL,
    created_at    BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    sha256        BYTEA  NOT NULL,
    liveness      BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    replaces      TEXT,
    replaced_by   TEXT,
    facts         BYTEA  NOT NULL,
    UNIQUE (custodian, unique_id)
);
CREATE INDEX document_record ON document (custodian, local_id, status, created_at);

CREATE TABLE replay (
    caller     TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    body_hash  BYTEA  NOT NULL,
    response   BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller, request_id)
);
