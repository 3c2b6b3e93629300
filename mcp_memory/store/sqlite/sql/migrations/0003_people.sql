-- A key is unique among the memories that count: one that waits for approval may ask for the key of another.
DROP INDEX memories_by_key;

CREATE UNIQUE INDEX memories_by_key ON memories (user, key) WHERE key IS NOT NULL AND state = 'active';

CREATE INDEX memories_pending ON memories (user, row_id, created_at) WHERE state = 'pending';

-- The order of importance, so that a profile reads what it shows and nothing else. The numbers are those of
-- store.importance: 90 days in microseconds for each version after the first, up to four.
CREATE INDEX memories_by_importance ON memories (
    user, pinned DESC, (key IS NOT NULL) DESC, (updated_at + 7776000000000 * min(version - 1, 4)) DESC, row_id DESC,
    state, expires_at
);
