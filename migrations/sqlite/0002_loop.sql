-- What the loop keeps: what happened, in words; the conditions of objects, sources and clusters; the agents' inbox; where each source
-- stands; what is suspended. None of it proves anything (that is the ledger's); losing it loses no document, plan, approval or run.

CREATE TABLE events (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      TEXT NOT NULL,
    cluster TEXT,
    object  TEXT NOT NULL,
    type    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    message TEXT NOT NULL,
    actor   TEXT NOT NULL,
    plan    TEXT,
    ledger  INTEGER
) STRICT;
CREATE INDEX events_by_object ON events (object, id);

CREATE TABLE conditions (
    cluster             TEXT NOT NULL,
    object              TEXT NOT NULL,
    type                TEXT NOT NULL,
    status              TEXT NOT NULL CHECK (status IN ('True', 'False', 'Unknown')),
    reason              TEXT NOT NULL,
    message             TEXT NOT NULL,
    observed_generation INTEGER NOT NULL CHECK (observed_generation >= 0),
    since               TEXT NOT NULL,
    PRIMARY KEY (cluster, object, type)
) STRICT, WITHOUT ROWID;

-- The changes of conditions; the newest of each object are kept.
CREATE TABLE condition_history (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster TEXT NOT NULL,
    object  TEXT NOT NULL,
    type    TEXT NOT NULL,
    status  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    message TEXT NOT NULL,
    observed_generation INTEGER NOT NULL,
    at      TEXT NOT NULL
) STRICT;
CREATE INDEX condition_history_by_object ON condition_history (cluster, object, id);

-- What somebody handed in and what became of it.
CREATE TABLE submissions (
    id        TEXT PRIMARY KEY,
    cluster   TEXT NOT NULL,
    source    TEXT NOT NULL,
    submitter TEXT NOT NULL,
    recipe    TEXT NOT NULL CHECK (json_valid(recipe)),
    state     TEXT NOT NULL,
    plan      TEXT,
    message   TEXT NOT NULL,
    at        TEXT NOT NULL,
    changed   TEXT NOT NULL
) STRICT;
CREATE INDEX submissions_by_state ON submissions (state, at);

CREATE TABLE source_state (
    source   TEXT NOT NULL,
    cluster  TEXT NOT NULL,
    -- What was last read and handed in, and what was last applied: for Git, commits.
    seen     TEXT,
    applied  TEXT,
    detail   TEXT NOT NULL CHECK (json_valid(detail)),
    updated  TEXT NOT NULL,
    PRIMARY KEY (source, cluster)
) STRICT, WITHOUT ROWID;

CREATE TABLE suspensions (
    scope  TEXT NOT NULL CHECK (scope IN ('cluster', 'source', 'object')),
    name   TEXT NOT NULL,
    reason TEXT NOT NULL,
    who    TEXT NOT NULL,
    since  TEXT NOT NULL,
    PRIMARY KEY (scope, name)
) STRICT, WITHOUT ROWID;

-- Which documents a plan is about.
CREATE TABLE plan_documents (
    plan    TEXT NOT NULL REFERENCES plans (hash),
    key     TEXT NOT NULL,
    source  TEXT NOT NULL,
    object  TEXT NOT NULL,
    PRIMARY KEY (plan, key, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX plan_documents_by_key ON plan_documents (key);

INSERT OR IGNORE INTO plan_documents (plan, key, source, object)
SELECT plans.hash, json_extract(document.value, '$.key'), json_extract(document.value, '$.source'),
       json_extract(document.value, '$.object')
FROM plans, json_each(plans.json, '$.documents') AS document;

-- Somebody wants the loop to look now; it says when it did.
CREATE TABLE triggers (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster TEXT,
    source  TEXT,
    who     TEXT NOT NULL,
    at      TEXT NOT NULL,
    done    TEXT,
    message TEXT
) STRICT;
CREATE INDEX triggers_open ON triggers (id) WHERE done IS NULL;
