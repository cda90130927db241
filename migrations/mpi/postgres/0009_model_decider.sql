-- Who put a model in force or gave it up, and why.
ALTER TABLE model ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
ALTER TABLE model ADD COLUMN decided_why TEXT NOT NULL DEFAULT '';
