-- Keys that demographics and comparison records are sealed under, wrapped by a key that is kept elsewhere. The one with the
-- highest number seals.
CREATE TABLE data_key (
    key_id     BIGINT NOT NULL PRIMARY KEY,
    wrapped    BLOB   NOT NULL,
    wrapped_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
) WITHOUT ROWID;
