-- One row per user. `number` prefixes every row id of the user, so that one user's rows are one range in every index.
CREATE TABLE users (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    last_seq INTEGER NOT NULL DEFAULT 0,  -- number of writes so far; sequences are never reused
    made_up INTEGER NOT NULL DEFAULT 0,   -- how often vectors were made up for
    vector_seq INTEGER NOT NULL DEFAULT 0 -- how often the index was made anew
) STRICT;

-- What belongs to the file and not to a process.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO settings (name, value) VALUES
    ('min_writer', '1'),
    ('index_version', '1'), -- 0: a reindex is under way, or was not finished
    ('search_languages', ''), -- empty: not chosen yet
    ('embedding_model', '');

-- One row per call that wrote. `seq` is the only order.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL REFERENCES users (number) ON DELETE CASCADE,
    id TEXT NOT NULL,
    at INTEGER NOT NULL,
    tool TEXT NOT NULL,
    client TEXT,
    client_version TEXT,
    system INTEGER NOT NULL,
    summary TEXT NOT NULL,
    undoes INTEGER REFERENCES changes (seq),
    undone_by INTEGER REFERENCES changes (seq),
    UNIQUE (user, id)
) STRICT;

CREATE INDEX changes_by_user ON changes (user, seq);

-- The current state. row_id = user << 32 | sequence of the write that created the memory.
CREATE TABLE memories (
    row_id INTEGER PRIMARY KEY,
    user INTEGER NOT NULL REFERENCES users (number) ON DELETE CASCADE,
    id TEXT NOT NULL,
    content TEXT NOT NULL,
    key TEXT,
    topics TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    agent TEXT,
    team TEXT,
    session_id TEXT,
    source TEXT,
    state TEXT NOT NULL CHECK (state IN ('active', 'pending')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    worded_at INTEGER NOT NULL,
    expires_at INTEGER,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    digest BLOB NOT NULL,
    fingerprint BLOB NOT NULL,
    terms TEXT NOT NULL, -- exactly what the index holds, each marked with the user's number: 7xtea, and 7xtea² if repeated
    term_count INTEGER NOT NULL,
    UNIQUE (user, id),
    UNIQUE (user, fingerprint)
) STRICT;

CREATE UNIQUE INDEX memories_by_key ON memories (user, key) WHERE key IS NOT NULL;

CREATE INDEX memories_by_expiry ON memories (user, expires_at) WHERE expires_at IS NOT NULL;

-- All that a search asks of a candidate, so that it reads no wide row.
CREATE INDEX memories_for_search ON memories (row_id, term_count, state, expires_at, updated_at, agent, topics);

-- Every version of every memory, never changed. row_id = user << 32 | sequence of the write; `memory` is a row_id of
-- `memories`, which may be gone.
CREATE TABLE revisions (
    row_id INTEGER PRIMARY KEY,
    memory INTEGER NOT NULL,
    change INTEGER NOT NULL REFERENCES changes (seq) ON DELETE CASCADE,
    operation TEXT NOT NULL,
    reason TEXT,
    id TEXT NOT NULL,
    content TEXT NOT NULL,
    key TEXT,
    topics TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    agent TEXT,
    team TEXT,
    session_id TEXT,
    source TEXT,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    worded_at INTEGER NOT NULL,
    expires_at INTEGER,
    version INTEGER NOT NULL,
    digest BLOB NOT NULL
) STRICT;

CREATE INDEX revisions_by_memory ON revisions (memory, row_id);

CREATE INDEX revisions_by_id ON revisions (id);

CREATE INDEX revisions_by_change ON revisions (change);

-- Former wordings for include_past. They count while the memory lives and the change that superseded them stands.
CREATE TABLE past_wordings (
    row_id INTEGER PRIMARY KEY REFERENCES revisions (row_id) ON DELETE CASCADE,
    memory INTEGER NOT NULL,
    superseded_by INTEGER NOT NULL REFERENCES changes (seq) ON DELETE CASCADE,
    held_from INTEGER NOT NULL,
    held_until INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    terms TEXT NOT NULL,
    term_count INTEGER NOT NULL
) STRICT;

CREATE INDEX past_wordings_by_memory ON past_wordings (memory);

CREATE INDEX past_wordings_by_change ON past_wordings (superseded_by);

-- The vector of the current wording, made at `version`. One of another model is never compared.
CREATE TABLE vectors (
    row_id INTEGER PRIMARY KEY REFERENCES memories (row_id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    model TEXT NOT NULL,
    scale REAL NOT NULL,
    vector BLOB NOT NULL,
    made_up INTEGER NOT NULL DEFAULT 0 -- the user's made_up when it came later than its memory, else 0
) STRICT;

CREATE INDEX vectors_made_up ON vectors (row_id, made_up) WHERE made_up > 0;

-- Inverted indexes over terms made in Python: no case, no accents, no punctuation is left for the tokenizer to find.
CREATE VIRTUAL TABLE memory_index USING fts5 (
    terms, content = 'memories', content_rowid = 'row_id', detail = none, columnsize = 0, tokenize = 'ascii'
);

CREATE VIRTUAL TABLE memory_terms USING fts5vocab (memory_index, row);

CREATE VIRTUAL TABLE past_index USING fts5 (
    terms, content = 'past_wordings', content_rowid = 'row_id', detail = none, columnsize = 0, tokenize = 'ascii'
);

CREATE TRIGGER memory_added AFTER INSERT ON memories BEGIN
    INSERT INTO memory_index (rowid, terms) VALUES (new.row_id, new.terms);
END;

CREATE TRIGGER memory_removed AFTER DELETE ON memories BEGIN
    INSERT INTO memory_index (memory_index, rowid, terms) VALUES ('delete', old.row_id, old.terms);
END;

CREATE TRIGGER memory_reindexed AFTER UPDATE OF terms ON memories WHEN new.terms IS NOT old.terms BEGIN
    INSERT INTO memory_index (memory_index, rowid, terms) VALUES ('delete', old.row_id, old.terms);
    INSERT INTO memory_index (rowid, terms) VALUES (new.row_id, new.terms);
END;

CREATE TRIGGER memory_reworded AFTER UPDATE OF content ON memories WHEN new.content IS NOT old.content BEGIN
    DELETE FROM vectors WHERE row_id = old.row_id;
END;

CREATE TRIGGER revision_added AFTER INSERT ON revisions BEGIN
    UPDATE users SET last_seq = new.row_id & 0xffffffff WHERE number = new.row_id >> 32;
END;

CREATE TRIGGER past_added AFTER INSERT ON past_wordings BEGIN
    INSERT INTO past_index (rowid, terms) VALUES (new.row_id, new.terms);
END;

CREATE TRIGGER past_reindexed AFTER UPDATE OF terms ON past_wordings WHEN new.terms IS NOT old.terms BEGIN
    INSERT INTO past_index (past_index, rowid, terms) VALUES ('delete', old.row_id, old.terms);
    INSERT INTO past_index (rowid, terms) VALUES (new.row_id, new.terms);
END;

CREATE TRIGGER past_removed AFTER DELETE ON past_wordings BEGIN
    INSERT INTO past_index (past_index, rowid, terms) VALUES ('delete', old.row_id, old.terms);
END;

-- One step of a change: what it does to the memory, the revision that keeps it, and the vector of a new wording. All in
-- one statement, since each statement costs a switch of threads.
CREATE VIEW steps AS
SELECT m.*, r.row_id AS revision, r.change, r.operation, r.reason, v.model, v.scale, v.vector
FROM memories AS m JOIN revisions AS r ON r.memory = m.row_id LEFT JOIN vectors AS v ON v.row_id = m.row_id;

CREATE TRIGGER step_taken INSTEAD OF INSERT ON steps BEGIN
    DELETE FROM memories WHERE row_id = new.row_id AND new.operation IN ('delete', 'expire');
    INSERT INTO memories (row_id, user, id, content, key, topics, pinned, metadata, agent, team, session_id, source, state,
        created_at, updated_at, worded_at, expires_at, version, seq, digest, fingerprint, terms, term_count)
    SELECT new.row_id, new.user, new.id, new.content, new.key, new.topics, new.pinned, new.metadata, new.agent, new.team,
        new.session_id, new.source, new.state, new.created_at, new.updated_at, new.worded_at, new.expires_at, new.version,
        new.seq, new.digest, new.fingerprint, new.terms, new.term_count
    WHERE new.operation NOT IN ('delete', 'expire')
    ON CONFLICT (row_id) DO UPDATE SET content = excluded.content, key = excluded.key, topics = excluded.topics,
        pinned = excluded.pinned, metadata = excluded.metadata, agent = excluded.agent, team = excluded.team,
        session_id = excluded.session_id, source = excluded.source, state = excluded.state,
        created_at = excluded.created_at, updated_at = excluded.updated_at, worded_at = excluded.worded_at,
        expires_at = excluded.expires_at, version = excluded.version, seq = excluded.seq, digest = excluded.digest,
        fingerprint = excluded.fingerprint, terms = excluded.terms, term_count = excluded.term_count;
    INSERT INTO revisions (row_id, memory, change, operation, reason, id, content, key, topics, pinned, metadata, agent,
        team, session_id, source, state, created_at, updated_at, worded_at, expires_at, version, digest)
    VALUES (new.revision, new.row_id, new.change, new.operation, new.reason, new.id, new.content, new.key, new.topics,
        new.pinned, new.metadata, new.agent, new.team, new.session_id, new.source, new.state, new.created_at,
        new.updated_at, new.worded_at, new.expires_at, new.version, new.digest);
    INSERT INTO vectors (row_id, version, model, scale, vector)
    SELECT new.row_id, new.version, new.model, new.scale, new.vector WHERE new.vector IS NOT NULL
    ON CONFLICT (row_id) DO UPDATE SET version = excluded.version, model = excluded.model, scale = excluded.scale,
        vector = excluded.vector, made_up = 0;
END;
