-- A signature is evidence of one directive: it cannot be used again after that was revoked. Where one was, the first keeps it.
UPDATE directive SET statement = NULL, public_key = NULL, signature = NULL
WHERE signature IS NOT NULL AND EXISTS (
    SELECT 1 FROM directive earlier WHERE earlier.signature = directive.signature
        AND (earlier.created_at, earlier.directive_id) < (directive.created_at, directive.directive_id));
CREATE UNIQUE INDEX directive_signature ON directive (signature);

-- One row a user that opens emergency access: whoever holds it counts and opens alone.
CREATE TABLE emergency_lock (
    member_id TEXT   NOT NULL,
    user_name TEXT   NOT NULL,
    openings  BIGINT NOT NULL,
    PRIMARY KEY (member_id, user_name)
);

-- Policies that were shipped with a release and in force as long as none was activated.
CREATE TABLE policy_shipped (
    version TEXT NOT NULL PRIMARY KEY,
    source  TEXT NOT NULL
);

-- What follows from a review.
ALTER TABLE emergency_session ADD COLUMN follow_up TEXT NOT NULL DEFAULT '';

-- Notices that somebody took note of and that are old enough to go.
CREATE INDEX notice_acknowledged ON notice (acknowledged_at);
