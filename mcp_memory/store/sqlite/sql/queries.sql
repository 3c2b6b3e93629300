-- Every statement of the SQLite store, by name. A block starts at its "name:" comment and ends at the next; {word}
-- stands for the "fragment:" of that name.

-- fragment: living
m.state = 'active' AND (m.expires_at IS NULL OR m.expires_at > :now)

-- fragment: in_filter
(:agent IS NULL OR m.agent IS :agent)
    AND (:since IS NULL OR m.updated_at >= :since) AND (:until IS NULL OR m.updated_at < :until)
    AND (:topics IS NULL OR json_valid(m.topics) AND EXISTS (
        SELECT 1 FROM json_each(m.topics) AS t WHERE t.value IN (SELECT value FROM json_each(:topics))))

-- fragment: own_rows
u.number << 32 AND u.number << 32 | 0xffffffff

-- fragment: change
c.seq AS change_seq, c.id AS change_id, c.at AS change_at, c.tool, c.client, c.client_version, c.system, c.summary,
    c.undoes, c.undone_by

-- fragment: revision_and_change
r.*, {change}
FROM revisions AS r JOIN changes AS c ON c.seq = r.change

-- name: begin
BEGIN IMMEDIATE

-- name: turn
-- What a writer must know before it writes: may it, and as which user.
SELECT (SELECT CAST(value AS INTEGER) FROM settings WHERE name = 'min_writer') AS min_writer, number, last_seq
FROM (SELECT 1) LEFT JOIN users ON users.name = :user

-- name: add_user
INSERT INTO users (name) VALUES (:user) RETURNING number

-- name: add_change
INSERT INTO changes (user, id, at, tool, client, client_version, system, summary, undoes)
VALUES (:number, :id, :at, :tool, :client, :client_version, :system, :summary, :undoes)
RETURNING seq

-- name: mark_change
UPDATE changes SET undone_by = :undone_by WHERE seq = :seq AND user = :number

-- name: undoes_of
SELECT undoes FROM changes WHERE seq = :seq AND user = :number

-- name: change_by_id
SELECT {change} FROM changes AS c WHERE c.user = :number AND c.id = :id

-- name: latest_undoable
SELECT {change} FROM changes AS c
WHERE c.user = :number AND c.undone_by IS NULL AND c.undoes IS NULL AND NOT c.system ORDER BY c.seq DESC LIMIT 1

-- name: save_memory
INSERT INTO memories (row_id, user, id, content, key, topics, pinned, metadata, agent, team, session_id, source, state,
    created_at, updated_at, worded_at, expires_at, version, seq, digest, fingerprint, terms, term_count)
VALUES (:row_id, :number, :id, :content, :key, :topics, :pinned, :metadata, :agent, :team, :session_id, :source, :state,
    :created_at, :updated_at, :worded_at, :expires_at, :version, :seq, :digest, :fingerprint, :terms, :term_count)
ON CONFLICT (row_id) DO UPDATE SET content = excluded.content, key = excluded.key, topics = excluded.topics,
    pinned = excluded.pinned, metadata = excluded.metadata, agent = excluded.agent, team = excluded.team,
    session_id = excluded.session_id, source = excluded.source, state = excluded.state, created_at = excluded.created_at,
    updated_at = excluded.updated_at, worded_at = excluded.worded_at, expires_at = excluded.expires_at,
    version = excluded.version, seq = excluded.seq, digest = excluded.digest, fingerprint = excluded.fingerprint,
    terms = excluded.terms, term_count = excluded.term_count

-- name: remove_memory
DELETE FROM memories WHERE row_id = :row_id

-- name: add_revision
INSERT INTO revisions (row_id, memory, change, operation, reason, id, content, key, topics, pinned, metadata, agent, team,
    session_id, source, state, created_at, updated_at, worded_at, expires_at, version, digest)
VALUES (:revision, :row_id, :change, :operation, :reason, :id, :content, :key, :topics, :pinned, :metadata, :agent, :team,
    :session_id, :source, :state, :created_at, :updated_at, :worded_at, :expires_at, :version, :digest)

-- name: add_past_wording
INSERT INTO past_wordings (row_id, memory, superseded_by, held_from, held_until, fingerprint, terms, term_count)
VALUES (:revision, :row_id, :change, :held_from, :held_until, :fingerprint, :terms, :term_count)

-- name: memories_by_ids
SELECT * FROM memories WHERE user = :number AND id IN (SELECT value FROM json_each(:ids))

-- name: twins
SELECT * FROM memories WHERE user = :number AND fingerprint = :fingerprint
UNION
SELECT * FROM memories WHERE user = :number AND key = :key

-- name: expired
SELECT * FROM memories WHERE user = :number AND expires_at <= :now ORDER BY expires_at LIMIT :limit

-- name: revisions_of_change
SELECT {revision_and_change} WHERE r.change = :change AND c.user = :number ORDER BY r.row_id

-- name: history
SELECT {revision_and_change} WHERE r.memory = :memory ORDER BY r.row_id

-- name: revisions_by_id
-- A deleted memory and a later one with the same id are told apart by `memory`: the newest counts.
SELECT {revision_and_change} JOIN users AS u ON u.number = c.user
WHERE u.name = :user AND r.memory = (
    SELECT memory FROM revisions WHERE id = :id AND row_id BETWEEN {own_rows} ORDER BY row_id DESC LIMIT 1)
ORDER BY r.row_id

-- name: memory
SELECT m.* FROM users AS u JOIN memories AS m ON m.user = u.number
WHERE u.name = :user AND m.id = :id AND {living}

-- name: memory_by_key
SELECT m.* FROM users AS u JOIN memories AS m ON m.user = u.number
WHERE u.name = :user AND m.key = :key AND {living}

-- name: living
SELECT m.* FROM users AS u
JOIN json_each(:rows) AS j ON j.value BETWEEN 0 AND 0xffffffff
JOIN memories AS m ON m.row_id = (u.number << 32 | j.value)
WHERE u.name = :user AND {living}

-- name: page
SELECT m.* FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN u.number << 32 AND (u.number << 32) + :before - 1
WHERE u.name = :user AND {living}
    AND {in_filter}
ORDER BY m.row_id DESC LIMIT :limit

-- name: count
SELECT count(*) AS total FROM users AS u
JOIN memories AS m ON m.row_id BETWEEN {own_rows}
WHERE u.name = :user AND {living}
    AND {in_filter}

-- fragment: living_postings
SELECT rowid FROM memory_index
        WHERE memory_index MATCH '"' || u.number || 'x' || j.value || '"' ORDER BY rowid DESC LIMIT :depth
    ) AS f
    CROSS JOIN memories AS m INDEXED BY memories_for_search ON m.row_id = f.rowid
    WHERE {living}) AS postings, u.memory_count, u.term_count
FROM users AS u CROSS JOIN json_each(:terms) AS j
WHERE u.name = :user

-- name: candidates
-- Each term is looked up as the index holds it, marked with the user's number, so that a lookup meets no other user's
-- postings. A posting is packed into one integer (row, length, kept) and a term's postings into one string: a Python
-- object for each would cost far more.
SELECT j.key AS term, (
    SELECT json_group_array((f.rowid & 0xffffffff) << 17 | (min(m.term_count, 0xffff) << 1) | ({in_filter})) FROM (
        {living_postings}

-- name: candidates_unfiltered
-- The same where the filter keeps everything, which is not worth asking of every posting.
SELECT j.key AS term, (
    SELECT json_group_array((f.rowid & 0xffffffff) << 17 | (min(m.term_count, 0xffff) << 1) | 1) FROM (
        {living_postings}

-- name: past_candidates
SELECT j.key AS term, (
    SELECT json_group_array((f.rowid & 0xffffffff) << 17 | (min(p.term_count, 0xffff) << 1) | ({in_filter}))
    FROM past_index AS f
    CROSS JOIN past_wordings AS p ON p.row_id = f.rowid
    CROSS JOIN changes AS c ON c.seq = p.superseded_by AND c.undone_by IS NULL
    CROSS JOIN memories AS m ON m.row_id = p.memory AND m.fingerprint <> p.fingerprint
    WHERE f.past_index MATCH '"' || u.number || 'x' || j.value || '"' AND {living}) AS postings,
    u.memory_count, u.term_count
FROM users AS u CROSS JOIN json_each(:terms) AS j
WHERE u.name = :user

-- name: past
SELECT r.*, {change}, p.held_from, p.held_until
FROM users AS u
JOIN json_each(:seqs) AS j ON j.value BETWEEN 0 AND 0xffffffff
JOIN past_wordings AS p ON p.row_id = (u.number << 32 | j.value)
JOIN revisions AS r ON r.row_id = p.row_id
JOIN changes AS c ON c.seq = p.superseded_by AND c.undone_by IS NULL
JOIN memories AS m ON m.row_id = p.memory AND m.fingerprint <> p.fingerprint
WHERE u.name = :user
