-- Whom to tell of events. The secret is here as it is: a signature cannot be made from its hash.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    -- JSON: a list of kinds of events.
    kinds TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- Certificates (PEM) to trust beside the usual ones.
    ca TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    -- Null: it is on. Otherwise why it is off.
    off TEXT,
    -- The last event that it was told of, or that was none for it.
    told BIGINT NOT NULL,
    -- Not before then. Also held by the process that is telling it: another one would begin only afterwards.
    next_at BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    -- Failures since the last success, and since when.
    failures BIGINT NOT NULL,
    failing_since BIGINT,
    -- Of the last attempt: when, and what went wrong.
    tried_at BIGINT,
    error TEXT
);
