-- Bailiwick's state. Times are RFC 3339 UTC with nine digits of a second, so that text order is time order.
-- JSON columns hold canonical JSON of types that belong to the rooms above; the store looks inside none of them.

CREATE TABLE documents (
    cluster    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    source     TEXT NOT NULL,
    text       TEXT NOT NULL,
    json       TEXT NOT NULL CHECK (json_valid(json)),
    hash       TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    updated    TEXT NOT NULL,
    PRIMARY KEY (cluster, kind, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX documents_by_source ON documents (source, cluster);

-- Every version there ever was; a removal is a version of its own.
CREATE TABLE document_versions (
    cluster    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    source     TEXT NOT NULL,
    text       TEXT NOT NULL,
    json       TEXT NOT NULL CHECK (json_valid(json)),
    hash       TEXT NOT NULL,
    at         TEXT NOT NULL,
    removed    INTEGER NOT NULL CHECK (removed IN (0, 1)),
    PRIMARY KEY (cluster, kind, name, generation)
) STRICT, WITHOUT ROWID;

CREATE TABLE ownership (
    cluster      TEXT NOT NULL,
    object       TEXT NOT NULL,
    source       TEXT NOT NULL,
    identity     TEXT NOT NULL CHECK (json_valid(identity)),
    last_applied TEXT NOT NULL CHECK (json_valid(last_applied)),
    updated      TEXT NOT NULL,
    PRIMARY KEY (cluster, object)
) STRICT, WITHOUT ROWID;

CREATE TABLE plans (
    hash       TEXT PRIMARY KEY,
    cluster    TEXT NOT NULL,
    state      TEXT NOT NULL,
    risk       TEXT NOT NULL,
    origin     TEXT NOT NULL CHECK (json_valid(origin)),
    submitter  TEXT NOT NULL,
    created    TEXT NOT NULL,
    changed    TEXT NOT NULL,
    json       TEXT NOT NULL CHECK (json_valid(json)),
    rendered   TEXT
) STRICT;
CREATE INDEX plans_by_cluster ON plans (cluster, created);
CREATE INDEX plans_by_state ON plans (state, cluster);

-- The last plan applied to a cluster: the parent of the next one.
CREATE TABLE parents (
    cluster TEXT PRIMARY KEY,
    plan    TEXT NOT NULL REFERENCES plans (hash),
    at      TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    plan    TEXT NOT NULL REFERENCES plans (hash),
    cluster TEXT NOT NULL,
    state   TEXT NOT NULL,
    started TEXT NOT NULL,
    ended   TEXT
) STRICT;
CREATE INDEX runs_by_cluster ON runs (cluster, id);
-- Two runs of one cluster at once cannot even be written down.
CREATE UNIQUE INDEX runs_one_at_a_time ON runs (cluster) WHERE state = 'running';

CREATE TABLE run_steps (
    run      INTEGER NOT NULL REFERENCES runs (id),
    step     INTEGER NOT NULL CHECK (step >= 0),
    call     INTEGER NOT NULL CHECK (call >= 0),
    state    TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    upid     TEXT,
    intent   TEXT NOT NULL CHECK (json_valid(intent)),
    outcome  TEXT,
    detail   TEXT CHECK (detail IS NULL OR json_valid(detail)),
    intended TEXT NOT NULL,
    sent     TEXT,
    done     TEXT,
    PRIMARY KEY (run, step, call)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    plan      TEXT NOT NULL REFERENCES plans (hash),
    principal TEXT NOT NULL,
    decision  TEXT NOT NULL,
    method    TEXT NOT NULL,
    reason    TEXT,
    signature TEXT,
    json      TEXT NOT NULL CHECK (json_valid(json)),
    -- What the decision spends (plan, key, signed time): recorded once, refused ever after.
    spends    TEXT UNIQUE,
    at        TEXT NOT NULL,
    expires   TEXT,
    used      TEXT,
    voided    TEXT
) STRICT;
CREATE INDEX approvals_by_plan ON approvals (plan);
CREATE INDEX approvals_by_signature ON approvals (signature) WHERE signature IS NOT NULL;

CREATE TABLE freezes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    scope    TEXT NOT NULL CHECK (scope IN ('global', 'cluster', 'kind')),
    of       TEXT CHECK ((of IS NULL) = (scope = 'global')),
    reason   TEXT NOT NULL,
    who      TEXT NOT NULL,
    since    TEXT NOT NULL,
    until    TEXT,
    thawed   TEXT,
    thawed_by TEXT
) STRICT;

CREATE TABLE ledger_records (
    seq     INTEGER PRIMARY KEY,
    action  TEXT NOT NULL,
    subject TEXT NOT NULL,
    plan    TEXT,
    mac     TEXT NOT NULL,
    line    TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_by_plan ON ledger_records (plan, seq) WHERE plan IS NOT NULL;
CREATE INDEX ledger_by_subject ON ledger_records (subject, seq);

-- Against accidents. Against malice there is the chain.
CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger_records
BEGIN SELECT RAISE(ABORT, 'a ledger record is never changed'); END;
CREATE TRIGGER ledger_is_not_shortened BEFORE DELETE ON ledger_records
BEGIN SELECT RAISE(ABORT, 'a ledger record is never removed'); END;

CREATE TABLE ledger_head (
    only   INTEGER PRIMARY KEY CHECK (only = 1),
    ledger TEXT NOT NULL,
    seq    INTEGER NOT NULL,
    mac    TEXT NOT NULL,
    key    TEXT NOT NULL
) STRICT;
