-- Rows that an import has written and whose blocking keys it has not, all of them; keys_until is the last key that was.
CREATE TABLE unindexed (
    first_row  BIGINT NOT NULL PRIMARY KEY,
    last_row   BIGINT NOT NULL,
    keys_until BIGINT
) WITHOUT ROWID;
