-- Read by SQLite and PostgreSQL alike: types and clauses that both know.

-- A response. One that was deleted while later ones follow it keeps its row, without its object,
-- until they are gone too: its items are part of what they were asked.
CREATE TABLE responses (
    id TEXT PRIMARY KEY NOT NULL,
    parent TEXT REFERENCES responses (id),
    conversation TEXT,
    server TEXT NOT NULL,
    running BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    object TEXT,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    n_bytes BIGINT NOT NULL
);
CREATE INDEX responses_parent ON responses (parent);
CREATE INDEX responses_used ON responses (used_at);

-- What a response was asked and what it answered, or what a conversation holds.
CREATE TABLE items (
    owner TEXT NOT NULL,
    position BIGINT NOT NULL,
    answered BIGINT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (owner, position)
);
CREATE INDEX items_id ON items (id);

-- The events of a response, in pieces; `first` numbers the first event of a piece.
CREATE TABLE events (
    owner TEXT NOT NULL,
    first BIGINT NOT NULL,
    frames TEXT NOT NULL,
    PRIMARY KEY (owner, first)
);

CREATE TABLE conversations (
    id TEXT PRIMARY KEY NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    n_bytes BIGINT NOT NULL
);
CREATE INDEX conversations_used ON conversations (used_at);

-- Who is alive: the responses that a server writes are lost when its lease has run out.
CREATE TABLE servers (
    id TEXT PRIMARY KEY NOT NULL,
    lease_until BIGINT NOT NULL
);
