CREATE TABLE event (
    sequence    BIGINT NOT NULL PRIMARY KEY,
    event_id    TEXT   NOT NULL UNIQUE,
    kind        BIGINT NOT NULL,
    outcome     BIGINT NOT NULL,
    member_id   TEXT,
    occurred_at BIGINT NOT NULL,
    leaf        BYTEA  NOT NULL
);
CREATE INDEX event_member ON event (member_id, sequence);
CREATE INDEX event_occurred ON event (occurred_at, sequence);

CREATE TABLE event_subject (
    token    BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (token, sequence)
);

CREATE TABLE node (
    level    BIGINT NOT NULL,
    position BIGINT NOT NULL,
    hash     BYTEA  NOT NULL,
    PRIMARY KEY (level, position)
);

CREATE TABLE log_head (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL
);
INSERT INTO log_head (id, size) VALUES (1, 0);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only';
END
$$;

CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER event_subject_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event_subject
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER node_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON node
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
