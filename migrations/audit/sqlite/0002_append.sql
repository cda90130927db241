-- What a caller named its request, to be asked for by it. Events before this one say it in their leaf alone.
ALTER TABLE event ADD COLUMN request_id TEXT NOT NULL DEFAULT '';
CREATE INDEX event_request ON event (member_id, request_id) WHERE request_id <> '';

-- A batch in one statement, which is all or nothing by itself. Bytes are hexadecimal, since JSON has none.
CREATE VIEW log_append AS
    SELECT 0 AS size_before, 0 AS size_after, '' AS events, '' AS subjects, '' AS nodes WHERE FALSE;

CREATE TRIGGER log_append_is_all_or_nothing INSTEAD OF INSERT ON log_append BEGIN
    UPDATE log_head SET size = NEW.size_after WHERE id = 1 AND size = NEW.size_before;
    SELECT RAISE(ABORT, 'the log has grown') WHERE changes() = 0;
    INSERT INTO event (sequence, event_id, kind, outcome, member_id, occurred_at, leaf, request_id)
        SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, unhex(value ->> 6),
            value ->> 7
        FROM json_each(NEW.events);
    INSERT INTO event_subject (token, sequence)
        SELECT value ->> 0, value ->> 1 FROM json_each(NEW.subjects);
    INSERT INTO node (level, position, hash)
        SELECT value ->> 0, value ->> 1, unhex(value ->> 2) FROM json_each(NEW.nodes);
END;
