-- Times are milliseconds since 1970-01-01T00:00:00Z. Hashes are hexadecimal. Yes and no are 1 and 0.

CREATE TABLE meshes (
    name TEXT PRIMARY KEY,
    title TEXT,
    zone TEXT
);

CREATE TABLE nodes (
    id BIGINT PRIMARY KEY,
    mesh TEXT NOT NULL,
    node_type TEXT NOT NULL,
    dialect TEXT NOT NULL,
    chip BIGINT,
    version TEXT,
    running TEXT,
    elf TEXT,
    slot TEXT,
    is_root BIGINT NOT NULL,
    parent BIGINT,
    layer BIGINT,
    rssi BIGINT,
    uptime_s BIGINT,
    state TEXT,
    progress BIGINT,
    error TEXT,
    detail TEXT,
    unsigned_allowed BIGINT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    name TEXT,
    tags TEXT NOT NULL
);
CREATE INDEX nodes_mesh ON nodes (mesh, id);

CREATE TABLE releases (
    id TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    project TEXT NOT NULL,
    notes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL
);

CREATE TABLE images (
    release_id TEXT NOT NULL REFERENCES releases (id) ON DELETE CASCADE,
    chip BIGINT NOT NULL,
    -- Empty: for every type.
    node_type TEXT NOT NULL,
    file TEXT NOT NULL,
    size BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    image_hash TEXT NOT NULL,
    elf TEXT,
    signed BIGINT NOT NULL,
    PRIMARY KEY (release_id, chip, node_type)
);

CREATE TABLE rollouts (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    release_id TEXT NOT NULL REFERENCES releases (id),
    spec TEXT NOT NULL,
    phase TEXT NOT NULL,
    wave BIGINT NOT NULL,
    baseline TEXT NOT NULL,
    holds TEXT NOT NULL,
    reason TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- Counts changes: the entity tag.
    revision BIGINT NOT NULL
);

CREATE TABLE updates (
    rollout_id TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    node BIGINT NOT NULL,
    wave BIGINT NOT NULL,
    variant BIGINT NOT NULL,
    image_hash TEXT NOT NULL,
    elf TEXT,
    -- The image hash before, or "elf:" and the first half of app_elf_sha256.
    before_image TEXT,
    state TEXT NOT NULL,
    since BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    triggered_at BIGINT,
    last_trigger_at BIGINT,
    triggers BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    dropped_at BIGINT,
    progress BIGINT NOT NULL,
    reason TEXT NOT NULL,
    code TEXT,
    PRIMARY KEY (rollout_id, node)
);

-- Every trigger and abort, written before it is published.
CREATE TABLE triggers (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    rollout_id TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    mesh TEXT NOT NULL,
    kind TEXT NOT NULL,
    nodes TEXT NOT NULL,
    topic TEXT NOT NULL,
    message TEXT NOT NULL,
    reason TEXT NOT NULL
);

-- What happened, and why: every decision of the engine among it.
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    rollout_id TEXT,
    node BIGINT,
    mesh TEXT,
    text TEXT NOT NULL
);
CREATE INDEX events_rollout ON events (rollout_id, seq);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    -- SHA-256 of the secret part, which is 256 random bits.
    hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);

CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    role TEXT NOT NULL,
    source TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    status BIGINT NOT NULL
);

CREATE TABLE idempotency (
    token_id TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    status BIGINT NOT NULL,
    body TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (token_id, key)
);
