-- Models that decide, that decided, and that may: sealed, since frequencies of names are learnt from the records.
CREATE TABLE model (
    model_row     INTEGER PRIMARY KEY,
    version       TEXT   NOT NULL UNIQUE,
    body          BLOB,
    state         BIGINT NOT NULL,
    compared_with TEXT   NOT NULL,
    records       BIGINT NOT NULL,
    step          TEXT   NOT NULL,
    done          BIGINT NOT NULL,
    total         BIGINT NOT NULL,
    failure       TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    promoted_at   BIGINT,
    -- When whoever works on it said so last.
    touched_at    BIGINT NOT NULL
);

-- Decisions that come out otherwise under a model, and whether they were made anew since it is in force.
CREATE TABLE model_change (
    change_row   INTEGER PRIMARY KEY,
    model_row    BIGINT NOT NULL REFERENCES model (model_row),
    record_id    TEXT   NOT NULL,
    person_id    TEXT   NOT NULL,
    before_code  TEXT   NOT NULL,
    after_code   TEXT   NOT NULL,
    candidate_id TEXT,
    probability  REAL NOT NULL,
    carried_out  BIGINT NOT NULL
);
CREATE INDEX model_change_model ON model_change (model_row, carried_out, change_row);
