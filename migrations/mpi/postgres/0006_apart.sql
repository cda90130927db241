-- Who is kept apart from a person, whichever of the two comes again.
CREATE INDEX review_task_candidate ON review_task (candidate_id, state);
