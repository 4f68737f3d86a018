-- Several processes on one database share the meshes: one holds a mesh at a time.

-- A process says every second that it is there.
CREATE TABLE processes (
    id TEXT PRIMARY KEY,
    seen_at BIGINT NOT NULL
);

CREATE TABLE leases (
    -- A mesh's name; "#" is the lease on rollouts as wholes.
    mesh TEXT PRIMARY KEY,
    -- Null: free.
    holder TEXT
);

-- By the database's clock: what other processes wrote since.
ALTER TABLE updates ADD COLUMN written_at BIGINT NOT NULL DEFAULT 0;
