-- What is told: how far each webhook was told of the events, and the indexes that metrics are counted from.

CREATE TABLE webhooks (
    name     TEXT PRIMARY KEY,
    -- The last event that needs no more telling.
    position INTEGER NOT NULL CHECK (position >= 0),
    -- Events that were let go before it could be told of them, since it was last told something.
    missed   INTEGER NOT NULL CHECK (missed >= 0),
    -- Failed attempts at the next event, when to try again, and why the last one failed.
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    next     TEXT,
    error    TEXT,
    changed  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX plans_counted ON plans (cluster, state, risk, changed);
CREATE INDEX runs_open ON runs (cluster, state, plan) WHERE state IN ('running', 'stopped', 'undetermined');
CREATE INDEX conditions_drifted ON conditions (cluster, object) WHERE type = 'Drifted' AND status = 'True';
