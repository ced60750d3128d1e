-- What the API of each cluster has, as its hosts say themselves: read once a version, since it has megabytes.

CREATE TABLE served_apis (
    cluster TEXT PRIMARY KEY,
    -- The version of Proxmox VE it was read from.
    version TEXT NOT NULL,
    -- What is kept of it, as JSON; it has the digest of what was read.
    json    TEXT NOT NULL,
    read    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
