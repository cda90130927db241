-- What the log was at some size, as its key signed it. What was signed never changes.
CREATE TABLE checkpoint (
    size      INTEGER NOT NULL PRIMARY KEY,
    note      TEXT   NOT NULL,
    signed_at BIGINT NOT NULL
);

-- The size of the last one. Its update is the lock between processes that sign; 0 as long as there is none.
CREATE TABLE checkpoint_head (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    size BIGINT NOT NULL
);
INSERT INTO checkpoint_head (id, size) VALUES (1, 0);

CREATE TRIGGER checkpoint_is_not_changed BEFORE UPDATE ON checkpoint BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
CREATE TRIGGER checkpoint_is_not_deleted BEFORE DELETE ON checkpoint BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
