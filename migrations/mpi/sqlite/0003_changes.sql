-- The order in which decisions became visible: the one writer makes it that of their numbers.
ALTER TABLE link_event ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT 0;
CREATE INDEX link_event_order ON link_event (transaction_id, sequence);
