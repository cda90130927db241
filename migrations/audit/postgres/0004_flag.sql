-- Signs of misuse, in the order in which they were raised. They are no part of the log: it can raise them again.
CREATE TABLE flag (
    number      BIGINT NOT NULL PRIMARY KEY,
    reason      TEXT   NOT NULL,
    sequence    BIGINT NOT NULL,
    occurred_at BIGINT NOT NULL,
    member_id   TEXT   NOT NULL,
    user_name   TEXT   NOT NULL,
    sentence    TEXT   NOT NULL,
    -- Positions of events, divided by commas.
    evidence    TEXT   NOT NULL,
    -- Who has looked at it, as MEMBER and USER, and what came of it.
    looked_member TEXT,
    looked_user   TEXT,
    looked_note   TEXT,
    looked_at     BIGINT,
    UNIQUE (sequence, reason)
);
CREATE INDEX flag_member ON flag (member_id, number);
CREATE INDEX flag_open ON flag (number) WHERE looked_at IS NULL;
CREATE INDEX flag_member_open ON flag (member_id, number) WHERE looked_at IS NULL;

-- The number of the last sign, and up to where the log was watched. Its update is the lock between processes that watch.
CREATE TABLE flag_head (
    id       BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    number   BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);
INSERT INTO flag_head (id, number, sequence) SELECT 1, 0, size FROM log_head;
