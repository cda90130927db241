-- What a caller named its request, to be asked for by it. Events before this one say it in their leaf alone.
ALTER TABLE event ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
CREATE INDEX event_request ON event (member_id, request_id) WHERE request_id <> '';

-- A batch in one statement, which is all or nothing by itself. Bytes are hexadecimal, since JSON has none.
CREATE VIEW log_append AS
    SELECT 0::BIGINT AS size_before, 0::BIGINT AS size_after, ''::TEXT AS events, ''::TEXT AS subjects, ''::TEXT AS nodes
    WHERE FALSE;

CREATE FUNCTION append_to_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE log_head SET size = NEW.size_after WHERE id = 1 AND size = NEW.size_before;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the log has grown';
    END IF;
    INSERT INTO event (sequence, event_id, kind, outcome, member_id, occurred_at, leaf, request_id)
        SELECT (value ->> 0)::BIGINT, value ->> 1, (value ->> 2)::BIGINT, (value ->> 3)::BIGINT, value ->> 4,
            (value ->> 5)::BIGINT, decode(value ->> 6, 'hex'), value ->> 7
        FROM json_array_elements(NEW.events::JSON);
    INSERT INTO event_subject (token, sequence)
        SELECT (value ->> 0)::BIGINT, (value ->> 1)::BIGINT FROM json_array_elements(NEW.subjects::JSON);
    INSERT INTO node (level, position, hash)
        SELECT (value ->> 0)::BIGINT, (value ->> 1)::BIGINT, decode(value ->> 2, 'hex')
        FROM json_array_elements(NEW.nodes::JSON);
    RETURN NEW;
END
$$;

CREATE TRIGGER log_append_is_all_or_nothing INSTEAD OF INSERT ON log_append
    FOR EACH ROW EXECUTE FUNCTION append_to_log();
