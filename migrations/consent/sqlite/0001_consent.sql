CREATE TABLE directive (
    directive_id TEXT   NOT NULL PRIMARY KEY,
    member_id    TEXT   NOT NULL,
    local_id     TEXT   NOT NULL,
    effect       BIGINT NOT NULL,
    overridable  BIGINT NOT NULL,
    payload      BLOB   NOT NULL,
    valid_from   BIGINT,
    valid_to     BIGINT,
    created_at   BIGINT NOT NULL,
    created_by   TEXT   NOT NULL,
    revoked_at   BIGINT
) WITHOUT ROWID;
CREATE INDEX directive_patient ON directive (member_id, local_id);

CREATE TABLE patient_epoch (
    member_id TEXT   NOT NULL,
    local_id  TEXT   NOT NULL,
    epoch     BIGINT NOT NULL,
    PRIMARY KEY (member_id, local_id)
) WITHOUT ROWID;

CREATE TABLE emergency_session (
    session_id     TEXT   NOT NULL PRIMARY KEY,
    person_id      TEXT   NOT NULL,
    member_id      TEXT   NOT NULL,
    user_name      TEXT   NOT NULL,
    reason         BIGINT NOT NULL,
    reason_text    TEXT   NOT NULL,
    opened_at      BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    closed_at      BIGINT,
    review_due_at  BIGINT NOT NULL,
    review_outcome BIGINT NOT NULL,
    review_note    TEXT   NOT NULL,
    reviewed_by    TEXT   NOT NULL
) WITHOUT ROWID;
CREATE INDEX emergency_session_member ON emergency_session (member_id, opened_at, session_id);
CREATE INDEX emergency_session_opened ON emergency_session (opened_at, session_id);

CREATE TABLE replay (
    caller     TEXT   NOT NULL,
    request_id TEXT   NOT NULL,
    body_hash  BLOB   NOT NULL,
    response   BLOB   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (caller, request_id)
) WITHOUT ROWID;
