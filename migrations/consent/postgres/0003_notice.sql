-- What patients and privacy officers are told. A notice for privacy officers has no local id.
CREATE TABLE notice (
    notice_id       TEXT   NOT NULL PRIMARY KEY,
    member_id       TEXT   NOT NULL,
    local_id        TEXT   NOT NULL,
    kind            BIGINT NOT NULL,
    actor_member    TEXT   NOT NULL,
    actor_user      TEXT   NOT NULL,
    session_id      TEXT   NOT NULL,
    document_id     TEXT   NOT NULL,
    created_at      BIGINT NOT NULL,
    acknowledged_at BIGINT
);
CREATE INDEX notice_party ON notice (member_id, local_id, notice_id);

-- When a review that nobody made in time went on to the operator.
ALTER TABLE emergency_session ADD COLUMN escalated_at BIGINT;
CREATE INDEX emergency_session_due ON emergency_session (review_outcome, review_due_at);

-- How often a user opened emergency access of late.
CREATE INDEX emergency_session_user ON emergency_session (member_id, user_name, opened_at);
