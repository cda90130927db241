ALTER TABLE document ADD COLUMN liveness_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE document ADD COLUMN liveness_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE document ADD COLUMN replaced TEXT NOT NULL DEFAULT '';
-- Read from the facts; NULL where an earlier release registered the document, until this one has read them.
ALTER TABLE document ADD COLUMN labels TEXT;
ALTER TABLE document ADD COLUMN service_from BIGINT;
ALTER TABLE document ADD COLUMN service_to BIGINT;
CREATE INDEX document_unread ON document (document_id) WHERE labels IS NULL;
CREATE INDEX document_probe ON document (liveness_at) WHERE status = 1;

WITH RECURSIVE chain (document_id, replaced, depth) AS (
    SELECT document_id, replaces, 1 FROM document WHERE replaces IS NOT NULL
    UNION ALL
    SELECT c.document_id, d.replaces, c.depth + 1 FROM chain c JOIN document d ON d.document_id = c.replaced
    WHERE d.replaces IS NOT NULL AND c.depth < 200
)
UPDATE document SET replaced = whole.replaced
FROM (SELECT document_id, group_concat(replaced, ' ' ORDER BY depth) AS replaced FROM chain GROUP BY document_id) AS whole
WHERE whole.document_id = document.document_id;

CREATE TABLE relation (
    target      TEXT   NOT NULL,
    document_id TEXT   NOT NULL,
    kind        BIGINT NOT NULL,
    PRIMARY KEY (target, document_id)
) WITHOUT ROWID;

-- What each change left of a pointer. The one writer makes the order of the numbers that in which changes became visible.
CREATE TABLE document_change (
    sequence        INTEGER PRIMARY KEY,
    document_id     TEXT   NOT NULL,
    custodian       TEXT   NOT NULL,
    kind            BIGINT NOT NULL,
    status          BIGINT NOT NULL,
    liveness        BIGINT NOT NULL,
    liveness_at     BIGINT NOT NULL,
    liveness_reason TEXT   NOT NULL,
    replaced_by     TEXT,
    changed_at      BIGINT NOT NULL
);
-- A registration is found by its pointer, which tells the same.
CREATE INDEX document_change_document ON document_change (document_id, sequence) WHERE kind <> 1;

-- When a pointer was withdrawn, or found dead, was not kept: it is known from now on.
INSERT INTO document_change
    (document_id, custodian, kind, status, liveness, liveness_at, liveness_reason, replaced_by, changed_at)
SELECT document_id, custodian, 1, 1, 0, 0, '', NULL, registered_at FROM document ORDER BY registered_at, document_id;
INSERT INTO document_change
    (document_id, custodian, kind, status, liveness, liveness_at, liveness_reason, replaced_by, changed_at)
SELECT d.document_id, d.custodian, 2, 2, 0, 0, '', d.replaced_by, n.registered_at
FROM document d JOIN document n ON n.document_id = d.replaced_by ORDER BY n.registered_at, n.document_id;
INSERT INTO document_change
    (document_id, custodian, kind, status, liveness, liveness_at, liveness_reason, replaced_by, changed_at)
SELECT document_id, custodian, 3, 3, 0, 0, '', replaced_by, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
FROM document WHERE status = 3 ORDER BY document_id;
INSERT INTO document_change
    (document_id, custodian, kind, status, liveness, liveness_at, liveness_reason, replaced_by, changed_at)
SELECT document_id, custodian, 4, status, liveness, 0, '', replaced_by, CAST(strftime('%s', 'now') AS INTEGER) * 1000000
FROM document WHERE liveness <> 0 ORDER BY document_id;

-- What tells this log from others: tokens of one mean nothing in another.
CREATE TABLE change_log (log_id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
INSERT INTO change_log (log_id) VALUES (lower(hex(randomblob(16))));

CREATE TABLE retrieval (
    custodian TEXT   NOT NULL,
    hour      BIGINT NOT NULL,
    outcome   BIGINT NOT NULL,
    bucket    BIGINT NOT NULL,
    count     BIGINT NOT NULL,
    PRIMARY KEY (custodian, hour, outcome, bucket)
) WITHOUT ROWID;
