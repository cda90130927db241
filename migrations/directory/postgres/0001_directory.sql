CREATE TABLE member (
    member_id    TEXT   NOT NULL PRIMARY KEY,
    display_name TEXT   NOT NULL,
    region       TEXT   NOT NULL,
    kind         BIGINT NOT NULL,
    state        BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE member_purpose (
    member_id TEXT   NOT NULL REFERENCES member (member_id),
    purpose   BIGINT NOT NULL,
    PRIMARY KEY (member_id, purpose)
);

CREATE TABLE certificate (
    fingerprint BYTEA  NOT NULL PRIMARY KEY,
    member_id   TEXT   NOT NULL REFERENCES member (member_id),
    not_after   BIGINT NOT NULL,
    revoked_at  BIGINT
);
CREATE INDEX certificate_member ON certificate (member_id);

CREATE TABLE token_key (
    member_id      TEXT NOT NULL REFERENCES member (member_id),
    kid            TEXT NOT NULL,
    public_key_pem TEXT NOT NULL,
    revoked_at     BIGINT,
    PRIMARY KEY (member_id, kid)
);

CREATE TABLE endpoint (
    member_id       TEXT NOT NULL PRIMARY KEY REFERENCES member (member_id),
    uri             TEXT NOT NULL,
    tls_server_name TEXT NOT NULL
);
