-- Documents that emergency access is for; none for all.
ALTER TABLE emergency_session ADD COLUMN scope BYTEA;
