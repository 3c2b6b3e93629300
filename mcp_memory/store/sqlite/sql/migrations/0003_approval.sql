-- A key is unique among the memories that count: one that waits for approval may ask for the key of another.
DROP INDEX memories_by_key;

CREATE UNIQUE INDEX memories_by_key ON memories (user, key) WHERE key IS NOT NULL AND state = 'active';

CREATE INDEX memories_pending ON memories (user, row_id, created_at) WHERE state = 'pending';
