-- A cluster of source records. A person that was merged away names its survivor.
CREATE TABLE person (
    person_id   TEXT   NOT NULL PRIMARY KEY,
    created_at  BIGINT NOT NULL,
    merged_into TEXT
);

CREATE INDEX person_merged ON person (merged_into);

CREATE TABLE source_record (
    record_row   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id    TEXT   NOT NULL UNIQUE,
    member_id    TEXT   NOT NULL,
    local_id     TEXT   NOT NULL,
    person_id    TEXT   NOT NULL REFERENCES person (person_id),
    demographics BYTEA  NOT NULL,
    keys         BYTEA  NOT NULL,
    updated_at   BIGINT NOT NULL,
    UNIQUE (member_id, local_id)
);
CREATE INDEX source_record_person ON source_record (person_id, record_row);

-- What scoring a candidate reads, apart from the full record.
CREATE TABLE comparison (
    record_row BIGINT PRIMARY KEY REFERENCES source_record (record_row),
    person_id  TEXT NOT NULL,
    prepared   BYTEA NOT NULL
);

CREATE TABLE block_key (
    key        BIGINT NOT NULL,
    record_row BIGINT NOT NULL,
    PRIMARY KEY (key, record_row)
);

CREATE TABLE link_event (
    sequence      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_id     TEXT   NOT NULL,
    from_person   TEXT,
    to_person     TEXT   NOT NULL,
    kind          BIGINT NOT NULL,
    weight_bits   DOUBLE PRECISION NOT NULL,
    model_version TEXT   NOT NULL,
    actor         TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    decided_at    BIGINT NOT NULL
);
CREATE INDEX link_event_record ON link_event (record_id);

CREATE TABLE review_task (
    task_id      TEXT   NOT NULL PRIMARY KEY,
    record_id    TEXT   NOT NULL,
    candidate_id TEXT   NOT NULL,
    probability  DOUBLE PRECISION NOT NULL,
    reason       TEXT   NOT NULL,
    state        BIGINT NOT NULL,
    opened_at    BIGINT NOT NULL,
    resolved_at  BIGINT,
    resolved_by  TEXT,
    UNIQUE (record_id, candidate_id)
);
CREATE INDEX review_task_state ON review_task (state, opened_at, task_id);

CREATE TABLE replay (
    caller     TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    body_hash  BYTEA  NOT NULL,
    response   BYTEA  NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller, request_id)
);
