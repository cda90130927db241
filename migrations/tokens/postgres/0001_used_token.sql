-- Tokens that were used, until they have ended. The hash is of the token's id and its member.
CREATE TABLE used_token (
    token     BYTEA  NOT NULL PRIMARY KEY,
    forget_at BIGINT NOT NULL
);
CREATE INDEX used_token_forget ON used_token (forget_at);
