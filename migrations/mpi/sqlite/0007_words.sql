-- A steward's word that a decision spoke, on which person, and what stood there before, so that it can be taken back. Twice the
-- same is not said: the state is that of the review task.
ALTER TABLE link_event ADD COLUMN candidate_id TEXT;
ALTER TABLE link_event ADD COLUMN word_before BIGINT;
CREATE INDEX link_event_from ON link_event (from_person, sequence) WHERE from_person IS NOT NULL;
-- The record that left a person last: the person's id goes on to resolve to where that record is.
ALTER TABLE person ADD COLUMN left_by BIGINT;
UPDATE person SET left_by = (
    SELECT r.record_row FROM link_event e JOIN source_record r ON r.record_id = e.record_id
    WHERE e.from_person = person.person_id AND e.to_person <> person.person_id
    ORDER BY e.sequence DESC LIMIT 1)
WHERE merged_into IS NOT NULL;
CREATE INDEX person_left_by ON person (left_by) WHERE left_by IS NOT NULL;
