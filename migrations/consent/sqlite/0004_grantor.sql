-- Who grants or denies, 1 for the patient and 2 for who acts for them, and their own signature.
ALTER TABLE directive ADD COLUMN grantor BIGINT NOT NULL DEFAULT 1;
ALTER TABLE directive ADD COLUMN statement BLOB;
ALTER TABLE directive ADD COLUMN public_key BLOB;
ALTER TABLE directive ADD COLUMN signature BLOB;
