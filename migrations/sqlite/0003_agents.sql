-- The agents' tokens. Of a token only its SHA-256 is kept; the token itself was shown once.

CREATE TABLE agent_tokens (
    id         TEXT PRIMARY KEY,
    agent      TEXT NOT NULL,
    hash       TEXT NOT NULL CHECK (length(hash) = 64),
    created    TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires    TEXT,
    revoked    TEXT,
    revoked_by TEXT,
    used       TEXT
) STRICT;
CREATE INDEX agent_tokens_by_agent ON agent_tokens (agent, created);
