-- What stewards decide on several records at once, and take back.
ALTER TABLE link_event ADD COLUMN undoes BIGINT;
CREATE INDEX link_event_person ON link_event (to_person, sequence);
