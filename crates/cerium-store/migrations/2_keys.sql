-- Who may ask. A key itself is shown once and kept nowhere; `id` is its beginning, and tells it from
-- others. A revoked key keeps its row, so that it can be seen what it was and since when it is none.
CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    tier TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
