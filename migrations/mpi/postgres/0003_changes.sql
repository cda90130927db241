-- The order in which decisions became visible: a transaction that began later may take a smaller number and be done earlier.
ALTER TABLE link_event ADD COLUMN transaction_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE link_event ALTER COLUMN transaction_id SET DEFAULT pg_current_xact_id()::text::bigint;
CREATE INDEX link_event_order ON link_event (transaction_id, sequence);
