CREATE TABLE event (
    sequence    INTEGER NOT NULL PRIMARY KEY,
    event_id    TEXT   NOT NULL UNIQUE,
    kind        BIGINT NOT NULL,
    outcome     BIGINT NOT NULL,
    member_id   TEXT,
    occurred_at BIGINT NOT NULL,
    leaf        BLOB   NOT NULL
);
CREATE INDEX event_member ON event (member_id, sequence);
CREATE INDEX event_occurred ON event (occurred_at, sequence);

CREATE TABLE event_subject (
    token    BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (token, sequence)
) WITHOUT ROWID;

CREATE TABLE node (
    level    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    hash     BLOB   NOT NULL,
    PRIMARY KEY (level, position)
) WITHOUT ROWID;

CREATE TABLE log_head (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL
);
INSERT INTO log_head (id, size) VALUES (1, 0);

CREATE TRIGGER event_is_not_changed BEFORE UPDATE ON event BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
CREATE TRIGGER event_is_not_deleted BEFORE DELETE ON event BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
CREATE TRIGGER event_subject_is_not_changed BEFORE UPDATE ON event_subject BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
CREATE TRIGGER event_subject_is_not_deleted BEFORE DELETE ON event_subject BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
CREATE TRIGGER node_is_not_changed BEFORE UPDATE ON node BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
CREATE TRIGGER node_is_not_deleted BEFORE DELETE ON node BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
